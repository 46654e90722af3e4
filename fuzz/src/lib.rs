#![doc = include_str!("../README.md")]

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod input;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod webhooks;

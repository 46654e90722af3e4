//! What can be wrong with a proof: each mistake with a sentence and what to do about it. The modules beside this one make the
//! mistakes and see whether a proof then holds.

mod body;
mod encoding;
mod path_secret;
mod secret;
mod token;

pub use body::BodyMistake;
pub use encoding::Encoding;
pub use path_secret::PathSecretMistake;
pub use secret::SecretMistake;
pub use token::TokenMistake;

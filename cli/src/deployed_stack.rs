//! A deployed stack, if this build can reach one.

#[cfg(feature = "aws")]
mod reached;
#[cfg(not(feature = "aws"))]
mod unreachable;

#[cfg(feature = "aws")]
pub use reached::{Stack, StackError, open, secret, secret_of_arn};
#[cfg(not(feature = "aws"))]
pub use unreachable::{Stack, StackError, open, secret, secret_of_arn};

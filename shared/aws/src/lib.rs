#![doc = include_str!("../README.md")]

mod clients;
mod delivery_records;
mod dynamodb;
#[cfg(feature = "event-bus")]
mod event_bridge;
mod joined_reads;
mod lease;
#[cfg(feature = "operator")]
pub mod operator;
mod pauses;
mod platform;
mod port_error;
mod resume_points;
mod s3;
mod secret_documents;
mod secrets_manager;
mod sqs;
#[cfg(test)]
mod test_service;
mod throttling;
mod time_shards;
pub mod timeouts;

pub use clients::Clients;
pub use delivery_records::DynamoDeliveryRecords;
pub use dynamodb::DynamoLedger;
#[cfg(feature = "event-bus")]
pub use event_bridge::EventBridge;
pub use lease::DynamoLease;
pub use platform::Aws;
pub use resume_points::DynamoResumePoints;
pub use s3::{S3Payloads, S3Refused};
pub use secret_documents::{ReplaceError, SecretDocument};
pub use secrets_manager::SecretsManagerSecrets;
pub use sqs::{RELEASE_ATTRIBUTE, SqsQueue};

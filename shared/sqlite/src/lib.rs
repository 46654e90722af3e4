#![doc = include_str!("../README.md")]

mod data_directory;
mod database;
mod dead_letters;
mod delivery_records;
mod eraser;
mod key_file;
mod lease;
mod ledger;
mod local_secret;
mod outbox;
mod payloads;
mod platform;
pub mod private_file;
mod queue;
mod records;
mod refused;
mod resume_file;

pub use data_directory::{AnnouncedAddress, DEFAULT_PATH, DataDirectory, DataDirectoryError};
pub use database::{Database, OpenError};
pub use dead_letters::SqliteDeadLetters;
pub use delivery_records::SqliteDeliveryRecords;
pub use eraser::SqliteEraser;
pub use key_file::KeyFile;
pub use lease::FileLease;
pub use ledger::SqliteLedger;
pub use local_secret::LocalSecret;
pub use outbox::{OutboxDepth, SqliteOutbox};
pub use payloads::SqlitePayloads;
pub use platform::Sqlite;
pub use queue::{MAX_RECEIVES, QueueDepth, SqliteQueue, UnprocessedMessage};
pub use records::SqliteRecords;
pub use refused::{MAX_REFUSED_BYTES, MAX_REFUSED_REQUESTS, RefusedRequests};
pub use resume_file::{ResumeFile, ResumeFileError};

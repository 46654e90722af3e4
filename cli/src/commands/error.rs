//! Why a command failed, in words for its user.

use std::io;
use std::path::PathBuf;

use intake_outbound::signing_secrets::SecretError;
use intake_pipeline::delivery_record::ReadBodyError;
use intake_pipeline::erasure::ErasureError;
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue_message::MessageError;
use intake_pipeline::records::ReadEventDataError;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_simulator::error::SimulatorError;
use intake_sqlite::{DataDirectoryError, OpenError};

use super::keys::not_changed::NotChanged;
use super::resync::resync_error::ResyncError;
use super::sample_events::sample_error::SampleError;
use crate::capture::CaptureError;
use crate::client::SendError;
use crate::deployed_stack::StackError;
use crate::forwarding::ForwardingError;
use crate::key_files::KeyFileError;
use crate::records::OpenRecordsError;
use crate::repair::OpenRepairError;
use crate::replay_target::OpenTargetError;
use crate::server::{DEFAULT_ADDRESS, ServerError};
use crate::stored_document::DocumentError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Forwarding.
    #[error(transparent)]
    Forwarding(#[from] ForwardingError),
    /// The only secret that signs was to be taken out.
    #[error("it is the only secret that signs what is forwarded; add another first, or say --even-the-last")]
    LastSigningSecret,
    /// Secrets that sign were asked for on a stack.
    #[error("what is forwarded is of a data directory; a stack puts its events on a bus, and signs nothing")]
    NothingSignsOnAStack,
    /// The secrets that sign what is forwarded.
    #[error(transparent)]
    SigningSecret(#[from] SecretError),
    /// The data directory.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The database file.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database, once it is open.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What was recorded.
    #[error(transparent)]
    Records(#[from] OpenRecordsError),
    /// A deployed stack.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// An erasure.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// Where a replay goes.
    #[error(transparent)]
    ReplayTarget(#[from] OpenTargetError),
    /// A replay that goes nowhere.
    #[error("nobody said where to send the events; say --to with a url, or --stack for its event bus")]
    NowhereToReplay,
    /// What is put right.
    #[error(transparent)]
    Repair(#[from] OpenRepairError),
    /// A message that is kept in quarantine.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A delivery that is not in quarantine.
    #[error(
        "nothing of delivery {id} is in quarantine; `quarantine` lists what is, and `deliveries show` says what became of it"
    )]
    NotInQuarantine {
        /// Its id.
        id: DeliveryId,
    },
    /// A message that is not a dead letter.
    #[error("no dead letter has the id {id}, and none is of a delivery with it; `dead-letters` lists what there is")]
    NoDeadLetter {
        /// The id, as it was given.
        id: String,
    },
    /// Key files.
    #[error(transparent)]
    KeyFiles(#[from] KeyFileError),
    /// What a provider would send.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// A document with keys.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Keys that were not changed.
    #[error(transparent)]
    Keys(#[from] NotChanged),
    /// Too much for a key.
    #[error("more than 64 KiB were given, which is no key; give the key alone")]
    KeyTooLarge,
    /// A key that is in use.
    #[error(
        "the key was used at {last}, so the provider may still depend on it; let it change over first, or say --yes"
    )]
    KeyInUse {
        /// When it was used last.
        last: String,
    },
    /// A client whose account is in use, perhaps by another client of it.
    #[error(
        "account {account:?} had a delivery at {last}, from this client or another one with the same account, for the records \
         do not tell them apart; let it change over first, or say --yes"
    )]
    AccountInUse {
        /// The account.
        account: String,
        /// When it had its last delivery.
        last: String,
    },
    /// Nobody knows whether a key is in use.
    #[error("whether the key was used within the last hour cannot be read; say --yes to take it out all the same")]
    UseUnknown {
        /// The cause.
        #[source]
        error: Box<Self>,
    },
    /// No signing key was superseded.
    #[error("no key was superseded")]
    NothingToRetire,
    /// A client that is not there.
    #[error("there is no such client; `keys list sterling` shows those that are there")]
    UnknownClient,
    /// Sending.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No server to send to.
    #[error(
        "no server runs on the data directory {}, and nobody answers at http://{DEFAULT_ADDRESS}; start one with `serve` or `demo`, \
         name its --data-directory, or send elsewhere with --url",
        path.display()
    )]
    NoServer {
        /// The data directory.
        path: PathBuf,
    },
    /// An answer that is not ours.
    #[error("the answer names no delivery, so it is not ours, and --wait cannot find what becomes of it")]
    NoDeliveryId,
    /// The resync.
    #[error(transparent)]
    Resync(#[from] ResyncError),
    /// The sample invocations.
    #[error(transparent)]
    SampleEvents(#[from] SampleError),
    /// A captured request of another form.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A captured request that cannot be read.
    #[error("{} is neither a file that can be read nor the id of a refused request; `refused` lists the ids", path.display())]
    UnreadableCapture {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A refused request that is not kept.
    #[error("no refused request has the id {id}; `refused` lists those that are kept")]
    UnknownRefusal {
        /// The id.
        id: DeliveryId,
    },
    /// A file that was asked for.
    #[error("{} cannot be read; check its name, or name another with --{option}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The option that names it.
        option: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// No account at NowCerts.
    #[error(
        "nobody said how to reach nowcerts' queue; give --connection-string and --queue, or write {} in the form of the \
         secret on aws",
        path.display()
    )]
    NoAccount {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A key for a provider that signs nothing.
    #[error("--key is not for {provider}, {reason}")]
    KeyNotUsed {
        /// The provider.
        provider: ProviderName,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// An entity that is not known.
    #[error("nothing is known of {component} {id}; `entities` lists what is known")]
    UnknownEntity {
        /// What it is.
        component: String,
        /// Its id.
        id: String,
    },
    /// A delivery without a record.
    #[error(
        "there is no record of delivery {id}; `deliveries` lists what there is, and records are kept for 30 days, or as \
         long as DELIVERY_RETENTION_DAYS says"
    )]
    UnknownDelivery {
        /// Its id.
        id: DeliveryId,
    },
    /// An event that is not there.
    #[error(
        "there is no event {id}; `events` lists what there is, and an event is named by <delivery id>.<index>, by its own id \
         or by its delivery's"
    )]
    UnknownEvent {
        /// What was looked for.
        id: String,
    },
    /// A delivery that left no event like the one that was looked for.
    #[error(
        "there is no such event of delivery {delivery_id}, whose outcomes are: {outcomes}; a duplicate leaves no event of its \
         own, and `deliveries show {delivery_id}` names the delivery that brought it first"
    )]
    NoEventOfDelivery {
        /// The delivery.
        delivery_id: DeliveryId,
        /// What became of its events.
        outcomes: String,
    },
    /// An event's data.
    #[error(transparent)]
    EventData(#[from] ReadEventDataError),
    /// A body that was received.
    #[error(transparent)]
    Body(#[from] ReadBodyError),
    /// Several entities of one id.
    #[error("there is more than one {component} {id}; say which one is meant:{candidates}")]
    AmbiguousEntity {
        /// What they are.
        component: String,
        /// Their id.
        id: String,
        /// Each on a line, with the options that mean it.
        candidates: String,
    },
    /// Two secrets for one URL.
    #[error("--url ends with a secret already; leave --key out, or leave the secret out of --url")]
    TwoPathSecrets,
    /// One of the two secrets is missing.
    #[error("--authority-secret and --verification-secret belong together; give both, or none for the data directory")]
    OneSecretOnly,
    /// No base of a URL. It is not repeated: a whole URL may have been pasted.
    #[error(
        "--base-url is what comes before /webhooks/ in an https url, such as https://hooks.example.com; plain http is for this \
         machine only, because anyone who sees the url can deliver"
    )]
    InvalidBaseUrl,
    /// The log of the demo.
    #[error("the log {} cannot be written or read", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A stack without this webhook.
    #[error(
        "the stack {stack} has no webhook for {provider}; enable the provider there, or name another place with --url"
    )]
    NoWebhook {
        /// The provider.
        provider: ProviderName,
        /// The stack.
        stack: String,
    },
    /// An option of another provider.
    #[error("--{option} is for {belongs_to}; leave it out, or send as {belongs_to}")]
    OptionOfAnotherProvider {
        /// The option.
        option: &'static str,
        /// Whose it is.
        belongs_to: ProviderName,
    },
    /// Standard output or input.
    #[error("standard input or output broke")]
    Terminal(#[source] io::Error),
}

//! Why NurtureCloud can't be asked.

use intake_outbound::NoClient;
use intake_providers::nurturecloud::resync::{CredentialsError, InvalidBaseUrl, InvalidPlan};
use intake_sqlite::ResumeFileError;

/// The client secret, where no file is named.
pub(super) const CLIENT_SECRET_VARIABLE: &str = "NURTURECLOUD_CLIENT_SECRET";

/// Why nothing can be asked for.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The base URL.
    #[error("--base-url cannot be used: {0}")]
    BaseUrl(#[from] InvalidBaseUrl),
    /// There is no client secret.
    #[error(
        "there is no client secret; name a file with --client-secret-file, or set the environment variable \
         {CLIENT_SECRET_VARIABLE}"
    )]
    NoClientSecret,
    /// Client id or client secret.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What was asked for.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// Ids of which nobody can say whose they are.
    #[error("--id is for one business and one component; call the command once for each")]
    IdsOfSeveral,
    /// The resume point.
    #[error(transparent)]
    ResumeFile(#[from] ResumeFileError),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] NoClient),
}

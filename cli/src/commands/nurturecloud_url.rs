//! `nurturecloud-url`: the secret URLs that NurtureCloud may deliver to.

use std::path::Path;
use std::process::ExitCode;

use intake_outbound::is_this_machine;
use intake_pipeline::intake::IntakeSettings;
use intake_pipeline::key_cache::MIN_REREAD_INTERVAL;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::path_secret::PathSecret;
use intake_simulator::TEST_ACCOUNT;
use reqwest::Url;

use super::describe::table;
use super::{CommandError, explain, print};
#[cfg(not(feature = "aws"))]
use crate::deployed_stack::StackError;
use crate::path_secrets::{self, PathSecretError, PathSecrets};
use crate::server::{self, SECRET_REFRESH};
use crate::stored_document::{self, StoredDocument};
use intake_sqlite::DataDirectory;
use intake_sqlite::private_file::FileLock;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What the account is called: 1 to 64 letters, digits, dots, hyphens and underscores. It is part of its events' source and
    /// identity and of its entities, so a URL that replaces another one of the same account needs the same name.
    #[arg(long, default_value = TEST_ACCOUNT, conflicts_with_all = ["list", "remove"])]
    account: String,
    /// Where the webhooks are reached, such as https://hooks.example.com. [default: the server on this machine]
    #[arg(long, value_name = "URL", conflicts_with_all = ["list", "remove"])]
    base_url: Option<String>,
    /// A deployed stack's secret, instead of the data directory.
    #[arg(long, value_name = "ARN")]
    secret: Option<String>,
    /// List the active secrets by account and fingerprint.
    #[arg(long, conflicts_with = "remove")]
    list: bool,
    /// Take the secret with this fingerprint out, so that its URL is refused.
    #[arg(long, value_name = "FINGERPRINT")]
    remove: Option<String>,
    /// With --remove: yes, even when no other secret is left.
    #[arg(long, requires = "remove")]
    even_the_last: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    if arguments.list {
        let document = arguments.document(&DataDirectory::at(data_directory)).await?;
        print(&list(&path_secrets::read(&document).await?))?;
    } else if let Some(fingerprint) = &arguments.remove {
        let directory = DataDirectory::at(data_directory);
        let document = arguments.document(&directory).await?;
        let _lock = arguments.lock(&directory)?;
        let account = path_secrets::remove(&document, fingerprint, arguments.even_the_last).await?;
        print(&format!(
            "The secret is taken out of {account}; its URL is refused within {}.\n",
            arguments.until_refused()
        ))?;
    } else {
        arguments.add(data_directory).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(secrets: &PathSecrets) -> String {
    let rows: Vec<_> =
        secrets.iter().map(|(account, fingerprint)| [account.to_string(), fingerprint.to_string()]).collect();
    if rows.is_empty() {
        return "There is no active secret.\n".to_owned();
    }
    format!("{}\n", table(["account", "fingerprint"], rows))
}

impl Arguments {
    async fn add(&self, data_directory: &Path) -> Result<(), CommandError> {
        let account = AccountName::new(&self.account).map_err(PathSecretError::from)?;
        let base_url = self.checked_base_url(data_directory)?;
        let directory = match self.secret {
            Some(_) => DataDirectory::at(data_directory),
            None => DataDirectory::create(data_directory)?,
        };
        let document = self.document(&directory).await?;
        let _lock = self.lock(&directory)?;
        let secret = path_secrets::generate()?;
        path_secrets::add(&document, &account, &secret).await?;
        // The URL alone is the output, so that it can be piped to where it is needed.
        explain(&format!(
            "This URL is shown this once; only the hash of its secret is kept, in {} (account {account}, fingerprint {}).\n\
             Give it to NurtureCloud as the `targetUrl` of POST /management/webhooks/create-subscription. Anyone who knows it can\n\
             deliver, so hand it on by a way that is safe for a secret. It counts within {} s.\n\n",
            document.name(),
            secret.hash().fingerprint(),
            MIN_REREAD_INTERVAL.as_secs(),
        ))?;
        print(&format!("{}\n", url(&base_url, &secret)))
    }

    /// The document with the active secrets.
    async fn document(&self, directory: &DataDirectory) -> Result<StoredDocument, CommandError> {
        match &self.secret {
            Some(secret) => stack(secret).await,
            None => Ok(StoredDocument::File(directory.keys(ProviderName::NurtureCloud))),
        }
    }

    /// Keeps other commands from changing the file, if there is one to change.
    fn lock(&self, directory: &DataDirectory) -> Result<Option<FileLock>, PathSecretError> {
        let is_file =
            self.secret.is_none() && directory.keys(ProviderName::NurtureCloud).parent().is_some_and(Path::exists);
        Ok(is_file.then(|| stored_document::lock(&directory.keys(ProviderName::NurtureCloud))).transpose()?)
    }

    fn checked_base_url(&self, data_directory: &Path) -> Result<Url, CommandError> {
        let text = match (&self.base_url, &self.secret) {
            (Some(base_url), _) => base_url.clone(),
            (None, Some(_)) => return Err(CommandError::NoBaseUrl),
            (None, None) => server::base_url(&DataDirectory::at(data_directory)),
        };
        base_url(&text).ok_or(CommandError::InvalidBaseUrl)
    }

    fn until_refused(&self) -> String {
        match self.secret {
            Some(_) => {
                let default = IntakeSettings::default().secret_refresh.as_secs();
                format!("the function's SECRET_REFRESH_SECONDS ({default} s unless they are set)")
            }
            None => format!("{} s", SECRET_REFRESH.as_secs()),
        }
    }
}

#[cfg(feature = "aws")]
async fn stack(secret: &str) -> Result<StoredDocument, CommandError> {
    Ok(StoredDocument::Secret(intake_aws::SecretDocument::connect(secret).await))
}

#[cfg(not(feature = "aws"))]
async fn stack(_secret: &str) -> Result<StoredDocument, CommandError> {
    Err(StackError::BuiltWithoutAws.into())
}

/// Reads what comes before `/webhooks/`. A secret may not travel over plain HTTP, except within this machine.
fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_this_machine(&url));
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let is_base = !format!("{}/", url.path()).contains("/webhooks/");
    (is_safe && is_bare && is_base).then_some(url)
}

fn url(base_url: &Url, secret: &PathSecret) -> String {
    let base_url = base_url.as_str().trim_end_matches('/');
    format!("{base_url}{}/{}", ProviderName::NurtureCloud.source_path(), secret.reveal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_base_and_the_webhooks_path_and_the_secret() {
        let secret = PathSecret::of_randomness([7; 32]);
        for (base, expected) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("https://hooks.example.com/", "https://hooks.example.com"),
            ("https://hooks.example.com/intake/", "https://hooks.example.com/intake"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            let whole = url(&base_url(base).unwrap(), &secret);
            assert_eq!(whole, format!("{expected}/webhooks/nurturecloud/{}", secret.reveal()));
        }
    }

    #[test]
    fn a_base_that_would_send_the_secret_in_the_open_or_is_more_than_a_base_is_none() {
        for text in [
            "http://hooks.example.com",
            "hooks.example.com",
            "ftp://hooks.example.com",
            "https://hooks.example.com/?x=1",
            "https://hooks.example.com/#x",
            "https://user:password@hooks.example.com",
            "https://hooks.example.com/webhooks/nurturecloud",
            "https://hooks.example.com/webhooks",
        ] {
            assert!(base_url(text).is_none(), "{text}");
        }
    }
}

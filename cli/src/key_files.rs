//! Key files, by the names that the simulator gives them: those of a data directory and those beside the samples.

use std::collections::BTreeMap;
use std::path::Path;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::secrets::SecretText;
use intake_simulator::IMITATIONS;
use intake_simulator::error::SimulatorError;
use intake_simulator::imitation::Imitation;
use intake_simulator::key_files::{KeyFiles, KeyFolder, KeyPurpose, NewKeyFile};
use intake_sqlite::DataDirectory;
use secrecy::ExposeSecret as _;

use crate::server::{DEFAULT_ADDRESS, SECRET_REFRESH};
use crate::stored_document::{self, DocumentError, Found, StoredDocument};

/// Why test keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The keys themselves.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// A file.
    #[error(transparent)]
    File(#[from] DocumentError),
}

/// Reads the key files of a folder, every provider's, each by `read`.
///
/// # Errors
/// What `read` says.
pub fn read_all<E>(folder: KeyFolder, read: impl Fn(&Path) -> Result<Option<String>, E>) -> Result<KeyFiles, E> {
    let mut keys = KeyFiles::none(folder.clone());
    for name in IMITATIONS.iter().flat_map(|imitation| imitation.key_names()) {
        if let Some(text) = read(&folder.path(*name))? {
            keys.insert(*name, text);
        }
    }
    Ok(keys)
}

/// The key files of a data directory that are there and can be read.
#[must_use]
pub fn of_directory(directory: &DataDirectory) -> KeyFiles {
    let Ok(keys) =
        read_all(folder(directory), |path| Ok::<_, std::convert::Infallible>(std::fs::read_to_string(path).ok()));
    keys
}

/// Makes test keys for every provider that has none yet.
///
/// # Errors
/// [`KeyFileError`].
pub async fn ensure_test_keys(directory: &DataDirectory) -> Result<(), KeyFileError> {
    let purpose = KeyPurpose::Server {
        base_url: format!("http://{DEFAULT_ADDRESS}"),
        secret_refresh: SECRET_REFRESH,
        now: SystemClock.now(),
    };
    for imitation in IMITATIONS {
        ensure_test_keys_of(*imitation, folder(directory), &purpose).await?;
    }
    Ok(())
}

async fn ensure_test_keys_of(
    imitation: &dyn Imitation,
    folder: KeyFolder,
    purpose: &KeyPurpose,
) -> Result<(), KeyFileError> {
    let names = imitation.key_names();
    let Some(locked) = names.first() else { return Ok(()) };
    let _lock = stored_document::lock(&folder.path(*locked))?;
    let mut versions = BTreeMap::new();
    let mut found = KeyFiles::none(folder.clone());
    for &name in names {
        let Found { text, version } = StoredDocument::File(folder.path(name)).read().await?;
        versions.insert(name, version);
        if let Some(text) = text {
            found.insert(name, text.reveal());
        }
    }
    for NewKeyFile { name, text } in imitation.test_keys(&found, purpose)? {
        let document = StoredDocument::File(folder.path(name));
        let seen = match versions.remove(&name) {
            Some(version) => version,
            None => document.read().await?.version,
        };
        document.replace(&SecretText::new(text.expose_secret().to_owned()), &seen).await?;
    }
    Ok(())
}

fn folder(directory: &DataDirectory) -> KeyFolder {
    KeyFolder::DataDirectory(directory.key_folder())
}

#[cfg(test)]
mod tests {
    use intake_pipeline::secrets::Secrets as _;
    use intake_providers::ProviderName;
    use intake_providers::nurturecloud::NurtureCloud;
    use intake_providers::path_secret::PathSecretHash;
    use intake_providers::registry::{VisitWebhooks, visit_webhooks};
    use intake_providers::webhook::Webhook;
    use intake_sqlite::KeyFile;

    use super::*;

    /// What the folder of the keys holds, by file name.
    fn files(directory: &DataDirectory) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(directory.key_folder()).unwrap().map(Result::unwrap);
        let text = |file: &std::fs::DirEntry| std::fs::read_to_string(file.path()).unwrap();
        files.map(|file| (file.file_name().into_string().unwrap(), text(&file))).collect()
    }

    #[tokio::test]
    async fn test_keys_are_made_once_and_read_as_the_secrets_on_aws_are() {
        struct Check(BTreeMap<ProviderName, String>);
        impl VisitWebhooks for Check {
            fn visit<W: Webhook>(&mut self) {
                let read = W::read_keys(&self.0[&W::NAME]).unwrap();
                assert!(!W::is_unset(&read.keys) && read.problems.is_empty(), "{}", W::NAME);
            }
        }
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        ensure_test_keys(&directory).await.unwrap();
        let mut secrets = BTreeMap::new();
        for imitation in IMITATIONS.iter().filter(|imitation| imitation.webhook().is_some()) {
            let secret = KeyFile::new(directory.keys(imitation.name())).fetch().await.unwrap();
            secrets.insert(imitation.name(), secret.reveal().to_owned());
        }
        visit_webhooks(&mut Check(secrets));

        let made = files(&directory);
        ensure_test_keys(&directory).await.unwrap();
        assert_eq!(files(&directory), made);
    }

    #[tokio::test]
    async fn a_test_secret_that_was_taken_out_stays_out_and_a_new_one_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        ensure_test_keys(&directory).await.unwrap();
        let test_secret = || files(&directory)["nurturecloud-path-secret"].trim().to_owned();
        let first = test_secret();
        let path = directory.keys(ProviderName::NurtureCloud);
        std::fs::write(&path, "{\"keys\":[]}").unwrap();

        ensure_test_keys(&directory).await.unwrap();
        let active = NurtureCloud::read_keys(&std::fs::read_to_string(&path).unwrap()).unwrap().keys;
        let holds = |secret: &str| {
            let offered = PathSecretHash::of_path(&format!("/{secret}")).unwrap();
            active.iter().any(|(_, hash)| hash.is_of_the_same_secret(&offered))
        };
        assert!(holds(&test_secret()) && !holds(&first));
    }

    #[tokio::test]
    async fn keys_that_nobody_here_can_sign_with_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        std::fs::write(directory.keys(ProviderName::Accredit), "{}").unwrap();
        let error = ensure_test_keys(&directory).await.unwrap_err().to_string();
        assert!(error.contains("choose another --data-directory"), "{error}");
        assert_eq!(std::fs::read_to_string(directory.keys(ProviderName::Accredit)).unwrap(), "{}");
    }
}

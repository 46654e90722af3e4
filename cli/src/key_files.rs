//! Keys in files: the active keys that verify, and the test keys that sign.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::oauth::authority::{Authority, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};
use intake_providers::oauth::serialize_exposed;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::DataDirectory;
use intake_sqlite::private_file::{create_private_file, remove_if_present, replace_private_file};
use rsa::PrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::authority_store::{self, First, StoreError, StoredAuthority};
use crate::path_secrets::{self, PathSecretError};
use crate::server::{DEFAULT_ADDRESS, SECRET_REFRESH};
use crate::stored_document::{self, StoredDocument};
use intake_providers::oauth::TOKEN_PATH;

/// The account of test keys.
pub const TEST_ACCOUNT: &str = "main";

/// The client with which test deliveries of Sterling get their tokens.
pub const TEST_CLIENT_ID: &str = "demo";

/// The size of a test key, the least that is accepted.
const TEST_KEY_BITS: usize = 2048;

/// Why test keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TestKeyError {
    /// The keys that are there are somebody's real ones.
    #[error(
        "{} holds keys, and there is no {} to sign test deliveries with; choose another --data-directory",
        keys.display(),
        private_key.display()
    )]
    NotForTests {
        /// The active keys.
        keys: PathBuf,
        /// The private key that isn't there.
        private_key: PathBuf,
    },
    /// A file could not be written.
    #[error("the key file {} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A key pair could not be made.
    #[error("no test key could be made")]
    Rsa(#[from] rsa::Error),
    /// A key could not be written as PEM.
    #[error("the test key could not be written as pem")]
    Pem(#[from] rsa::pkcs8::Error),
    /// A public key could not be written as PEM.
    #[error("the public test key could not be written as pem")]
    PublicPem(#[from] rsa::pkcs8::spki::Error),
    /// No secret could be made.
    #[error("the operating system gave no randomness for a test key; try again")]
    NoRandomness,
    /// Sterling's authority.
    #[error(transparent)]
    Authority(#[from] StoreError),
    /// NurtureCloud's secrets.
    #[error(transparent)]
    PathSecret(#[from] PathSecretError),
    /// The keys could not be written as JSON.
    #[error("the test keys could not be written as json")]
    Json(#[from] serde_json::Error),
}

/// The secret with a provider's active keys, as it is written down.
#[derive(Serialize)]
struct KeySetDocument<K> {
    keys: [K; 1],
}

#[derive(Serialize)]
struct AccreditKeyDocument<'a> {
    account: &'a str,
    public_key: &'a str,
    padding: &'a str,
}

#[derive(Serialize)]
struct MachnetKeyDocument<'a> {
    account: &'a str,
    secret: &'a str,
}

/// A key pair as Accredit would hold one.
#[derive(Debug)]
pub struct AccreditTestKey {
    /// The active keys, in the form of the secret on AWS.
    pub secret: String,
    /// The private key as PEM.
    pub private_key: SecretString,
}

/// Makes a key pair for tests.
///
/// # Errors
/// [`TestKeyError`]; only when the operating system gives no randomness.
pub fn new_accredit_key() -> Result<AccreditTestKey, TestKeyError> {
    let key = PrivateKey::new(&mut getrandom::SysRng, TEST_KEY_BITS)?;
    let public_key = key.to_public_key().to_public_key_pem(LineEnding::LF)?;
    let entry = AccreditKeyDocument { account: TEST_ACCOUNT, public_key: &public_key, padding: "pkcs1-v1.5" };
    Ok(AccreditTestKey {
        secret: secret_document(entry)?,
        private_key: key.to_pkcs8_pem(LineEnding::LF)?.as_str().into(),
    })
}

/// Makes a shared secret for tests, in the form of the secret on AWS.
///
/// # Errors
/// [`TestKeyError`].
pub fn new_machnet_key() -> Result<String, TestKeyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| TestKeyError::NoRandomness)?;
    Ok(secret_document(MachnetKeyDocument { account: TEST_ACCOUNT, secret: &hex::encode(bytes) })?)
}

/// A client of the token endpoint with its secret, as it is written down. `Debug` doesn't show the secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientCredentials {
    /// The client id.
    pub client_id: String,
    /// The secret.
    #[serde(serialize_with = "serialize_exposed")]
    pub client_secret: SecretString,
}

/// The settings of an authority that is new.
#[derive(Clone, Debug)]
pub struct NewAuthority {
    /// The token's `iss`.
    pub issuer: String,
    /// The token's `aud`.
    pub audience: String,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// Whether a short lifetime is meant.
    pub short_tokens_are_meant: bool,
    /// How long whoever reads the documents may keep them.
    pub secret_refresh: Duration,
}

impl Default for NewAuthority {
    /// For the server on this machine.
    fn default() -> Self {
        Self {
            issuer: format!("http://{DEFAULT_ADDRESS}{TOKEN_PATH}"),
            audience: format!("http://{DEFAULT_ADDRESS}{}", ProviderName::Sterling.source_path()),
            token_lifetime: DEFAULT_TOKEN_LIFETIME,
            short_tokens_are_meant: false,
            secret_refresh: SECRET_REFRESH,
        }
    }
}

impl NewAuthority {
    /// Makes the authority, with a key that signs at once.
    ///
    /// # Errors
    /// When the lifetime is too short to be meant, or there is no randomness.
    pub fn make(self, now: Timestamp) -> Result<Authority, StoreError> {
        let key = NewSigningKey::generate().ok_or(StoreError::NoRandomness)?;
        Ok(Authority::new(
            self.issuer,
            self.audience,
            self.token_lifetime,
            self.short_tokens_are_meant,
            self.secret_refresh,
            key,
            now,
        )?)
    }
}

/// Makes the test client of Sterling, and the authority if there is none, unless they are there.
async fn ensure_sterling_client(directory: &DataDirectory) -> Result<(), TestKeyError> {
    let path = directory.sterling_client();
    let known: Option<ClientCredentials> =
        std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let store = StoredAuthority::of_directory(directory)?;
    let is_known = |authority: &Authority| {
        known.as_ref().is_some_and(|client| {
            let secret = ClientSecret::new(client.client_secret.clone());
            authority.authenticate(&client.client_id, &secret).is_some()
        })
    };
    if authority_store::read(&store).await?.as_ref().is_some_and(is_known) {
        return Ok(());
    }
    let secret = ClientSecret::generate().ok_or(StoreError::NoRandomness)?;
    authority_store::change(&store, First::Verification, |current| {
        let mut authority = match current {
            Some(authority) => authority,
            None => NewAuthority::default().make(SystemClock.now())?,
        };
        // The secret that it may have had is lost.
        let _ = authority.remove_client(TEST_CLIENT_ID);
        authority.add_client_secret(TEST_CLIENT_ID, None, &secret)?;
        Ok((authority, ()))
    })
    .await?;
    let client = ClientCredentials { client_id: TEST_CLIENT_ID.to_owned(), client_secret: secret.reveal().into() };
    let text = serde_json::to_string_pretty(&client)? + "\n";
    replace_private_file(&path, &text).map_err(|source| TestKeyError::Unwritable { path, source })
}

/// Makes the secret of NurtureCloud's test deliveries and lets it be active, unless it is.
async fn ensure_nurturecloud_secret(directory: &DataDirectory) -> Result<(), TestKeyError> {
    let keys = directory.keys(ProviderName::NurtureCloud);
    let path = directory.nurturecloud_path_secret();
    let _lock = stored_document::lock(&keys).map_err(PathSecretError::from)?;
    let document = StoredDocument::File(keys);
    let active = path_secrets::read(&document).await?;
    if std::fs::read_to_string(&path).is_ok_and(|secret| active.hold(secret.trim())) {
        return Ok(());
    }
    // One that is there and not active was taken out, and stays out.
    let secret = path_secrets::generate()?;
    replace_private_file(&path, &format!("{}\n", secret.reveal()))
        .map_err(|source| TestKeyError::Unwritable { path, source })?;
    let account = AccountName::new(TEST_ACCOUNT).map_err(PathSecretError::from)?;
    Ok(path_secrets::add(&document, &account, &secret).await?)
}

/// Makes test keys for every provider that has none yet.
///
/// # Errors
/// [`TestKeyError`].
pub async fn ensure_test_keys(directory: &DataDirectory) -> Result<(), TestKeyError> {
    for &provider in ProviderName::ALL {
        let keys = directory.keys(provider);
        match provider {
            ProviderName::Accredit => {
                let private_key = directory.accredit_private_key();
                match (keys.exists(), private_key.exists()) {
                    (true, true) => {}
                    (true, false) => return Err(TestKeyError::NotForTests { keys, private_key }),
                    (false, _) => {
                        let made = new_accredit_key()?;
                        // A private key without its public half is what a run that was cut short left.
                        remove_if_present(&private_key)
                            .map_err(|source| TestKeyError::Unwritable { path: private_key.clone(), source })?;
                        write(&private_key, made.private_key.expose_secret())?;
                        write(&keys, &made.secret)?;
                    }
                }
            }
            ProviderName::Machnet if keys.exists() => {}
            ProviderName::Machnet => write(&keys, &new_machnet_key()?)?,
            ProviderName::NurtureCloud => ensure_nurturecloud_secret(directory).await?,
            ProviderName::Sterling => ensure_sterling_client(directory).await?,
            // Its messages prove themselves by the login with which they are consumed, and a login can't be made up.
            ProviderName::NowCerts => {}
        }
    }
    Ok(())
}

fn secret_document(entry: impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&KeySetDocument { keys: [entry] })? + "\n")
}

fn write(path: &Path, text: &str) -> Result<(), TestKeyError> {
    create_private_file(path, text).map_err(|source| TestKeyError::Unwritable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use intake_pipeline::secrets::Secrets as _;
    use intake_providers::accredit::Accredit;
    use intake_providers::machnet::Machnet;
    use intake_providers::nurturecloud::NurtureCloud;
    use intake_providers::sterling::Sterling;
    use intake_providers::webhook::Webhook;
    use intake_sqlite::KeyFile;

    use super::*;

    #[tokio::test]
    async fn test_keys_are_made_once_and_read_as_the_secrets_on_aws_are() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        ensure_test_keys(&directory).await.unwrap();
        let fetch = async |provider| KeyFile::new(directory.keys(provider)).fetch().await.unwrap().reveal().to_owned();
        let accredit = fetch(ProviderName::Accredit).await;
        let machnet = fetch(ProviderName::Machnet).await;
        let nurturecloud = fetch(ProviderName::NurtureCloud).await;
        let read = Accredit::read_keys(&accredit).unwrap();
        assert_eq!((read.keys.len(), read.problems), (1, vec![]));
        let read = Machnet::read_keys(&machnet).unwrap();
        assert_eq!((read.keys.len(), read.problems), (1, vec![]));

        let read = NurtureCloud::read_keys(&nurturecloud).unwrap();
        assert_eq!((read.keys.len(), read.problems), (1, vec![]));

        let sterling = fetch(ProviderName::Sterling).await;
        assert!(!Sterling::is_unset(&Sterling::read_keys(&sterling).unwrap().keys));
        ensure_test_keys(&directory).await.unwrap();
        assert_eq!(fetch(ProviderName::Sterling).await, sterling);
        assert_eq!(fetch(ProviderName::Accredit).await, accredit);
        assert_eq!(fetch(ProviderName::Machnet).await, machnet);
        assert_eq!(fetch(ProviderName::NurtureCloud).await, nurturecloud);
    }

    #[tokio::test]
    async fn a_test_secret_that_was_taken_out_stays_out_and_a_new_one_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let directory = DataDirectory::create(parent.path()).unwrap();
        ensure_test_keys(&directory).await.unwrap();
        let test_secret = || std::fs::read_to_string(directory.nurturecloud_path_secret()).unwrap().trim().to_owned();
        let first = test_secret();
        let document = StoredDocument::File(directory.keys(ProviderName::NurtureCloud));
        let (_, fingerprint) = path_secrets::read(&document).await.unwrap().iter().next().unwrap();
        path_secrets::remove(&document, fingerprint.as_str(), true).await.unwrap();

        ensure_test_keys(&directory).await.unwrap();
        let active = path_secrets::read(&document).await.unwrap();
        assert!(active.hold(&test_secret()) && !active.hold(&first));
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

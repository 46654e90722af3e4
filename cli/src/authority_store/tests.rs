use std::cell::RefCell;
use std::sync::Mutex;
use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_providers::oauth::authority::{ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey, Verification};
use intake_providers::timestamp::Timestamp;

use super::*;

/// Two documents in memory, and a crash after a given number of writes.
struct Crashing {
    documents: Mutex<[String; 2]>,
    writes_left: Mutex<usize>,
    written: Mutex<Vec<Document>>,
}

impl Crashing {
    fn new(documents: [String; 2], writes: usize) -> Self {
        Self { documents: Mutex::new(documents), writes_left: Mutex::new(writes), written: Mutex::default() }
    }

    fn documents(&self) -> [String; 2] {
        self.documents.lock().unwrap().clone()
    }

    fn verification(&self) -> Verification {
        serde_json::from_str(&self.documents()[1]).unwrap()
    }
}

impl AuthorityStore for Crashing {
    fn name(&self, document: Document) -> String {
        format!("{document:?}")
    }

    async fn read(&self, document: Document) -> Result<Found, StoreError> {
        let text = self.documents()[document as usize].clone();
        Ok(Found { version: Version(text.clone()), text: Some(SecretText::new(text)) })
    }

    async fn replace(&self, document: Document, text: &SecretText, seen: &Version) -> Result<(), StoreError> {
        let mut left = self.writes_left.lock().unwrap();
        let Some(fewer) = left.checked_sub(1) else {
            return Err(DocumentError::from(PortError::of("write", "crash")).into());
        };
        *left = fewer;
        let mut documents = self.documents.lock().unwrap();
        assert_eq!(documents[document as usize], seen.0);
        documents[document as usize] = text.reveal().to_owned();
        self.written.lock().unwrap().push(document);
        Ok(())
    }
}

fn authority() -> Authority {
    let key = NewSigningKey::generate().unwrap();
    let (issuer, audience) = ("issuer".to_owned(), "audience".to_owned());
    let refresh = Duration::from_secs(300);
    Authority::new(issuer, audience, DEFAULT_TOKEN_LIFETIME, false, refresh, key, Timestamp::EPOCH).unwrap()
}

async fn add(store: &impl AuthorityStore, client_id: &str) -> Result<(), StoreError> {
    change(store, First::Verification, |current| {
        let mut authority = current.unwrap_or_else(authority);
        authority.add_client_secret(client_id, None, &ClientSecret::generate().unwrap())?;
        Ok((authority, ()))
    })
    .await
}

async fn remove(store: &impl AuthorityStore, client_id: &str) -> Result<(), StoreError> {
    change(store, First::Authority, |current| {
        let mut authority = current.unwrap();
        authority.remove_client(client_id)?;
        Ok((authority, ()))
    })
    .await
}

const UNSET: &str = r#"{"keys":[]}"#;

fn unset() -> [String; 2] {
    [UNSET.to_owned(), UNSET.to_owned()]
}

#[tokio::test]
async fn what_is_added_verifies_first_and_what_is_removed_goes_from_the_authority_first() {
    let store = Crashing::new(unset(), 99);
    add(&store, "one").await.unwrap();
    assert_eq!(store.written.take_all(), [Document::Authority, Document::Verification]);
    add(&store, "two").await.unwrap();
    assert_eq!(store.written.take_all(), [Document::Verification, Document::Authority]);
    remove(&store, "one").await.unwrap();
    assert_eq!(store.written.take_all(), [Document::Authority, Document::Verification]);
    assert_eq!(store.verification().clients.len(), 1);
}

trait TakeAll<T> {
    fn take_all(&self) -> Vec<T>;
}

impl<T> TakeAll<T> for Mutex<Vec<T>> {
    fn take_all(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock().unwrap())
    }
}

#[tokio::test]
async fn a_crash_between_the_two_writes_is_set_right_by_the_same_command() {
    for writes in 0..2 {
        let store = Crashing::new(unset(), writes);
        assert!(add(&store, "one").await.is_err());
        let store = Crashing::new(store.documents(), 99);
        add(&store, "one").await.unwrap();
        assert_eq!(store.verification(), read(&store).await.unwrap().unwrap().verification().unwrap());

        let store = Crashing::new(store.documents(), writes);
        assert!(remove(&store, "one").await.is_err());
        let store = Crashing::new(store.documents(), 99);
        let again = remove(&store, "one").await;
        assert_eq!(again.is_ok(), writes == 0);
        assert_eq!(store.verification().clients, []);
    }
}

#[tokio::test]
async fn the_verification_document_of_another_authority_is_not_overwritten() {
    let other = serde_json::to_string(&authority().verification().unwrap()).unwrap();
    let store = Crashing::new([UNSET.to_owned(), other.clone()], 99);
    let error = add(&store, "one").await.unwrap_err().to_string();
    assert!(error.contains("verifies the tokens of another authority"), "{error}");
    assert_eq!(store.documents()[1], other);
}

#[tokio::test]
async fn a_file_that_was_changed_since_it_was_read_is_left_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let directory = DataDirectory::create(parent.path()).unwrap();
    let store = StoredAuthority::of_directory(&directory).unwrap();
    add(&store, "one").await.unwrap();
    let path = directory.sterling_authority();
    let edited = RefCell::new(String::new());
    let result = change(&store, First::Verification, |current| {
        *edited.borrow_mut() = std::fs::read_to_string(&path).unwrap() + "\n";
        std::fs::write(&path, &*edited.borrow()).unwrap();
        Ok((current.unwrap(), ()))
    });
    let error = result.await.unwrap_err().to_string();
    assert!(error.contains("was changed since it was read"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), *edited.borrow());
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_named_and_not_repeated() {
    let store = Crashing::new([r#"{"keys":["hunter2"]}"#.to_owned(), UNSET.to_owned()], 99);
    let error = add(&store, "one").await.unwrap_err();
    assert!(error.to_string().starts_with("Authority is not an authority's document"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn two_commands_do_not_change_the_files_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let directory = DataDirectory::create(parent.path()).unwrap();
    let first = StoredAuthority::of_directory(&directory).unwrap();
    let error = StoredAuthority::of_directory(&directory).unwrap_err().to_string();
    assert!(error.starts_with("another command is changing "), "{error}");
    drop(first);
    StoredAuthority::of_directory(&directory).unwrap();
}

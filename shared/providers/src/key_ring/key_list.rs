//! Documents of the form `{"keys": [...]}`, changed entry by entry. Entries that are not changed stay as they are written.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::change::{Change, Circumstances, Made, Removal, Write};
use super::error::KeyRingError;
use super::guide::Guide;
use super::key_id::KeyId;
use super::listing::{KeyListing, KeyState, ListedKey};
use super::new_key::NewKey;
use super::{Documents, KeyDocument, KeyRing};
use crate::account::AccountName;
use crate::active_keys::{ActiveKeys, KeySetError, MAX_ACTIVE_KEYS};
use crate::json_object;
use crate::json_place::JsonPlace;
use crate::signature::KeyFingerprint;
use crate::webhook::Webhook;

/// What a stack has in such a secret before anything was put into it.
const EMPTY: &str = r#"{"keys":[]}"#;

/// A webhook whose secret has that form, with keys of one kind. That makes it a [`KeyRing`].
pub(crate) trait ListedKeys: Webhook<Keys = ActiveKeys<Self::Key>> {
    /// A key.
    type Key;
    /// The one document, as [`KeyRing::documents`].
    const DOCUMENT: &'static [KeyDocument; 1];
    /// As [`KeyRing::webhook_output`].
    const WEBHOOK_OUTPUT: &'static str;
    /// As [`KeyRing::guide`].
    const GUIDE: Guide;

    /// A key's fingerprint, and what it is.
    fn describe(key: &Self::Key) -> (KeyFingerprint, String);

    /// Takes or makes a key of this account.
    ///
    /// # Errors
    /// [`KeyRingError`], when what was given is not accepted as a key.
    fn entry(account: &AccountName, new: &NewKey, circumstances: &Circumstances) -> Result<NewEntry, KeyRingError>;
}

/// An entry to add.
pub(crate) struct NewEntry {
    json: Box<RawValue>,
    made: Option<Made>,
    next: String,
}

impl NewEntry {
    /// An entry, the secret in it if it was just made, and what is to be done at the provider next.
    pub(crate) fn new(entry: &impl Serialize, made: Option<Made>, next: String) -> Result<Self, KeyRingError> {
        let json = serde_json::value::to_raw_value(entry).map_err(|_| KeyRingError::Json)?;
        Ok(Self { json, made, next })
    }
}

impl<W: ListedKeys + Send + Sync> KeyRing for W {
    fn documents(&self) -> &'static [KeyDocument] {
        W::DOCUMENT
    }

    fn webhook_output(&self) -> Option<&'static str> {
        Some(W::WEBHOOK_OUTPUT)
    }

    fn guide(&self) -> Guide {
        W::GUIDE
    }

    fn list(&self, documents: Documents<'_>) -> KeyListing {
        list::<W>(documents)
    }

    fn add(
        &self,
        documents: Documents<'_>,
        new: &NewKey,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        let account = new.account_or_main();
        let NewEntry { json, made, next } = W::entry(&account, new, circumstances)?;
        let before = list::<W>(documents).keys;
        let (write, key) = add::<W>(documents, new, json)?;
        Ok(Change {
            writes: vec![write],
            key,
            made,
            counts: circumstances.counts_when_added(),
            next: format!("{next}\n{}", rotation(W::NAME.as_str(), &before, &account)),
        })
    }

    fn remove(
        &self,
        documents: Documents<'_>,
        key: &ListedKey,
        removal: Removal,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        remove::<W>(documents, key, removal, circumstances)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyList {
    keys: Vec<Box<RawValue>>,
}

impl KeyList {
    fn read(text: &str) -> Result<Self, KeySetError> {
        json_object::read(text).map_err(|error| KeySetError::Malformed { form: EMPTY, place: JsonPlace::from(&error) })
    }

    fn write(&self) -> Result<Write, KeyRingError> {
        let text = serde_json::to_string_pretty(self).map_err(|_| KeyRingError::Json)? + "\n";
        Ok(Write { document: 0, text: SecretString::from(text) })
    }
}

/// The keys of the document.
fn list<W: ListedKeys>(documents: Documents<'_>) -> KeyListing {
    let text = documents.text(0).unwrap_or(EMPTY);
    match rows::<W>(text) {
        Ok(keys) => KeyListing { keys, problems: Vec::new() },
        Err(error) => {
            KeyListing::of_problem(format!("{error}; `keys add {} --replace` puts a key in its place", W::NAME))
        }
    }
}

fn rows<W: ListedKeys>(text: &str) -> Result<Vec<ListedKey>, KeySetError> {
    let read = W::read_keys(text)?;
    let mut usable = read.keys.iter();
    let all = read.keys.len() + read.problems.len();
    let row = |position| {
        if let Some(problem) = read.problems.iter().find(|problem| problem.position == position) {
            return Some(ListedKey {
                account: None,
                id: KeyId::Position(position),
                position: Some(position),
                kind: "unreadable".to_owned(),
                state: KeyState::Unusable(problem.reason.clone()),
                recorded_as: None,
            });
        }
        let (account, key) = usable.next()?;
        let (fingerprint, kind) = W::describe(key);
        Some(ListedKey { position: Some(position), ..ListedKey::active(account, &fingerprint, kind) })
    };
    Ok((1..=all).filter_map(row).collect())
}

/// Adds an entry with this key to the document. The entry is checked as the webhook will read it.
fn add<W: ListedKeys>(
    documents: Documents<'_>,
    new: &NewKey,
    entry: Box<RawValue>,
) -> Result<(Write, ListedKey), KeyRingError> {
    let text = documents.text(0).unwrap_or(EMPTY);
    let must_replace = new.options.has("replace");
    let (mut list, keys) = match (KeyList::read(text), rows::<W>(text)) {
        (Ok(_), Ok(_)) if must_replace => return Err(KeyRingError::NothingToReplace),
        (Ok(list), Ok(keys)) => (list, keys),
        (Err(_), _) | (_, Err(_)) if must_replace => (KeyList { keys: Vec::new() }, Vec::new()),
        (Err(error), _) | (_, Err(error)) => {
            let remedy = "mend it, or say --replace to put this key in its place";
            return Err(KeyRingError::Unreadable { reason: error.to_string(), remedy });
        }
    };
    if list.keys.len() >= MAX_ACTIVE_KEYS {
        return Err(KeyRingError::TooMany { found: list.keys.len() });
    }
    list.keys.push(entry);
    let write = list.write()?;
    let added = rows::<W>(secrecy::ExposeSecret::expose_secret(&write.text)).ok().and_then(|mut rows| rows.pop());
    let added = added.ok_or(KeyRingError::Json)?;
    if let KeyState::Unusable(reason) = added.state {
        return Err(KeyRingError::Unfit { reason });
    }
    if let Some(same) = keys.iter().find(|key| key.id == added.id) {
        let account = same.account.clone().unwrap_or_else(|| new.account_or_main());
        return Err(KeyRingError::AlreadyActive { key: same.id.to_string(), account });
    }
    Ok((write, added))
}

/// Takes an entry out.
fn remove<W: ListedKeys>(
    documents: Documents<'_>,
    key: &ListedKey,
    removal: Removal,
    circumstances: &Circumstances,
) -> Result<Change, KeyRingError> {
    let text = documents.text(0).unwrap_or(EMPTY);
    let unreadable =
        |error: KeySetError| KeyRingError::Unreadable { reason: error.to_string(), remedy: "mend it first" };
    let mut list = KeyList::read(text).map_err(unreadable)?;
    let rows = rows::<W>(text).map_err(unreadable)?;
    let position =
        key.position.filter(|position| (1..=list.keys.len()).contains(position)).ok_or(KeyRingError::Unknown)?;
    let is_left = |row: &&ListedKey| row.is_usable() && row.position != Some(position);
    let left = rows.iter().filter(is_left).count();
    if left == 0 && key.is_usable() && !removal.even_the_last {
        return Err(KeyRingError::TheLast { provider: W::NAME.as_str() });
    }
    list.keys.remove(position - 1);
    let next = if left == 0 {
        format!("No key of {} is left, so nothing of it is accepted until one is added.\n", W::NAME)
    } else {
        String::new()
    };
    Ok(Change {
        writes: vec![list.write()?],
        key: key.clone(),
        made: None,
        counts: format!("what it proves is refused within {} s", circumstances.secret_refresh.as_secs()),
        next,
    })
}

/// Sentences about replacing an older key of the same account by this one, if there is one.
fn rotation(provider: &str, keys: &[ListedKey], account: &AccountName) -> String {
    let older = keys.iter().rfind(|key| key.is_usable() && key.account.as_ref() == Some(account));
    older.map_or_else(String::new, |older| {
        format!(
            "Both keys count while the provider changes over. When `keys list {provider}` shows that the new one is used, take the \
             old one out with `keys remove {provider} {}`.\n",
            older.id
        )
    })
}

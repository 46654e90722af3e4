//! Accounts: they separate the events of several accounts that a user has at one provider.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::json_object;

/// Maximum length of an account name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The user's name for an account at a provider: 1 to 64 ASCII letters, digits, dots, hyphens and underscores. Case counts.
///
/// It is part of the CloudEvents `source` and of the identity of every event that one of the account's keys proves: the same id
/// under two accounts is two events. All keys of an account carry its name, so an event keeps its identity while a key is
/// replaced; under another name every event is new.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AccountName(String);

/// Not a valid account name. The text is not repeated: a secret may have been pasted in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account's name is 1 to 64 letters, digits, dots, hyphens and underscores")]
pub struct InvalidAccountName;

impl AccountName {
    /// Checks a name: 1 to 64 ASCII letters, digits, dots, hyphens and underscores.
    ///
    /// # Errors
    /// When the text is empty, too long or contains another character.
    pub fn new(text: &str) -> Result<Self, InvalidAccountName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidAccountName) }
    }

    /// Wraps a text that was checked with [`is_name`].
    pub(crate) const fn of_name(name: String) -> Self {
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is 1 to 64 ASCII letters, digits, dots, hyphens and underscores.
pub(crate) fn is_name(text: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.chars().all(is_allowed)
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::str::FromStr for AccountName {
    type Err = InvalidAccountName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// What is wrong with an entry that names its account twice.
pub(crate) const NAMED_TWICE: &str = "it holds both account and label, which mean the same; leave label out";

/// Whether an entry of a secret holds `account` and its alias `label` as well.
pub(crate) fn is_named_twice(entry: &str) -> bool {
    #[derive(Deserialize)]
    struct Names {
        account: Option<IgnoredAny>,
        label: Option<IgnoredAny>,
    }
    json_object::read(entry).is_ok_and(|names: Names| names.account.is_some() && names.label.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accredit::Accredit;
    use crate::active_keys::{ActiveKeys, ReadKeySet};
    use crate::identity::Identity;
    use crate::machnet::Machnet;
    use crate::nurturecloud::NurtureCloud;
    use crate::registry::Settings;
    use crate::registry::name::ProviderName;
    use crate::split::Split as _;
    use crate::testing::delivery;
    use crate::webhook::Webhook;

    #[test]
    fn a_name_is_1_to_64_letters_digits_dots_hyphens_and_underscores() {
        for text in ["main", "a", "Ray_White.north-2", &"a".repeat(64)] {
            assert_eq!(AccountName::new(text).unwrap().as_str(), text);
        }
        for text in ["", "a b", "a/b", "a#b", "n\u{e4}me", &"a".repeat(65)] {
            assert_eq!(AccountName::new(text), Err(InvalidAccountName), "{text:?}");
            assert!(serde_json::from_value::<AccountName>(text.into()).is_err(), "{text:?}");
        }
    }

    /// The provider, the headers and the body.
    type Sent = (ProviderName, &'static [(&'static str, &'static str)], &'static [u8]);

    const SENT: [Sent; 6] = [
        (
            ProviderName::Accredit,
            &[("x-jobid", "48213")],
            include_bytes!("../tests/payloads/accredit-badge-export.json"),
        ),
        (ProviderName::Machnet, &[], include_bytes!("../tests/payloads/machnet-current.json")),
        (ProviderName::NowCerts, &[("amqp-message-id", "m1")], b"{}"),
        (ProviderName::NowCerts, &[], b"{}"),
        (ProviderName::NurtureCloud, &[], include_bytes!("../tests/payloads/nurturecloud-agent-deleted.json")),
        (ProviderName::Sterling, &[], include_bytes!("../tests/payloads/sterling-eventbatch.json")),
    ];

    fn names(provider: ProviderName, headers: &[(&str, &str)], body: &[u8], account: &str) -> Vec<String> {
        let mut delivery = delivery(provider, headers, body);
        delivery.authenticated_by.account = AccountName::new(account).unwrap();
        let settings = Settings::default();
        let events = settings.split(&delivery).unwrap();
        let mut names = Vec::new();
        for event in events.map(Result::unwrap) {
            names.push(event.cloud_event.source);
            names.push(event.identity.partition_key());
            let (alias, hint) = event.kind.aliases();
            names.extend([alias, hint].into_iter().flatten().map(|alias| alias.name.partition_key()));
            if let Some(update) = event.kind.entity() {
                let entities = [Some(&update.entity), update.merged_into.as_ref()].into_iter().flatten();
                names.extend(entities.map(|entity| entity.identity(provider).partition_key()));
            }
        }
        names
    }

    #[test]
    fn accounts_share_no_identity_alias_hint_or_entity() {
        for (provider, headers, body) in SENT {
            let (main, other) = (names(provider, headers, body, "main"), names(provider, headers, body, "other"));
            assert!(main.len() >= 2 && main.len() == other.len(), "{provider}: {main:?}");
            assert!(main.iter().all(|name| !other.contains(name)), "{provider}: {main:?} {other:?}");
            assert_eq!(names(provider, headers, body, "main"), main, "{provider}: it stays");
        }
    }

    #[test]
    fn an_account_and_the_parts_after_it_do_not_run_together() {
        let identity = |account: &str, part: &str| {
            Identity::new(ProviderName::Machnet, &AccountName::new(account).unwrap(), [part.as_bytes()])
        };
        assert_ne!(identity("a", "bc"), identity("ab", "c"));
    }

    /// The accounts of the usable keys in a secret with one entry, and what is wrong with the others.
    fn read<W: Webhook<Keys = ActiveKeys<K>>, K>(entry: &str) -> (Vec<String>, Vec<String>) {
        let ReadKeySet { keys, problems } = W::read_keys(&format!(r#"{{"keys":[{{{entry}}}]}}"#)).unwrap();
        let accounts = keys.iter().map(|(account, _)| account.to_string()).collect();
        (accounts, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn label_is_an_alias_of_account_and_an_entry_with_both_is_rejected() {
        let public_key = serde_json::json!(include_str!("../tests/keys/rsa-2048.spki.pem"));
        let accredit = format!(r#","public_key":{public_key}"#);
        let machnet = r#","secret":"a test secret of thirty-two bytes""#;
        let nurturecloud = format!(r#","secret_sha256":"{}""#, "0".repeat(64));
        let read_all = |names: &str| {
            [
                read::<Accredit, _>(&format!("{names}{accredit}")),
                read::<Machnet, _>(&format!("{names}{machnet}")),
                read::<NurtureCloud, _>(&format!("{names}{nurturecloud}")),
            ]
        };
        for names in [r#""account":"north""#, r#""label":"north""#] {
            for (accounts, problems) in read_all(names) {
                assert_eq!((accounts, problems), (vec!["north".to_owned()], vec![]), "{names}");
            }
        }
        for (accounts, problems) in read_all(r#""account":"north","label":"north""#) {
            assert_eq!(accounts, [] as [&str; 0]);
            assert_eq!(problems, [format!("key 1 of the secret is not used: {NAMED_TWICE}")]);
        }
        let once = [r#""account":"north","nobody":1"#, r#""label":"north","nobody":1"#];
        for names in [r#""nobody":"north""#].into_iter().chain(once) {
            for (_, problems) in read_all(names) {
                assert!(problems[0].contains(r#"it is not of the form {"account": "...""#), "{names}: {problems:?}");
            }
        }
    }
}

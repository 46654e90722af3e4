//! NowCerts' key for the operator: the one login at its broker.

use secrecy::SecretString;
use serde_json::{Value, json};

use super::NowCerts;
use super::account::read_account;
use crate::amqp::Account;
use crate::json_place::JsonPlace;
use crate::key_ring::change::{Change, Circumstances, Removal, Write};
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, KeyOption};
use crate::key_ring::listing::{KeyListing, ListedKey};
use crate::key_ring::new_key::{KeyInput, NewKey};
use crate::key_ring::{Documents, KeyDocument, KeyRing};
use crate::provider::Provider as _;

const WHAT: &str = "NowCerts' connection string";
const QUEUE: &str = "queue";
const REPLAY_QUEUE: &str = "replay-queue";
const TLS: &str = "tls";
const PLAIN: &str = "plain";
const REPLACE: &str = "replace";

/// What a stack has in the secret before anything was put into it.
const UNSET: &str = "{}";

const OPTIONS: &[KeyOption] = &[
    KeyOption::with_value(QUEUE, "NAME", "The queue that events arrive on."),
    KeyOption::with_value(REPLAY_QUEUE, "NAME", "The queue that replays arrive on, if there is one."),
    KeyOption::flag(TLS, "Connect by TLS, and check the broker's certificate. Port 5671 unless another is given."),
    KeyOption::flag(PLAIN, "Connect without TLS: the password and all events can be read on the way."),
    KeyOption::flag(REPLACE, "Put this login in the place of the one that is there."),
];

impl KeyRing for NowCerts {
    fn documents(&self) -> &'static [KeyDocument] {
        &[KeyDocument { file: "nowcerts.json", secret: "NowCertsSecret" }]
    }

    fn webhook_output(&self) -> Option<&'static str> {
        None
    }

    fn guide(&self) -> Guide {
        Guide {
            about: "Put in the login with which NowCerts' queue is drained",
            long_about: "Put in the login with which NowCerts' queue is drained.\n\nNowCerts gives a connection string, \
                         host=HOST:5672;virtualHost=/;username=...;password=..., and the name of a queue. The connection string is read, \
                         the name is an option. A password that holds a semicolon takes the form of the secret, which is read as well: \
                         {\"account\": \"main\", \"connection_string\": \"...\", \"password\": \"...\", \"queue\": \"...\", \"tls\": true}.\n\n\
                         There can be one login. `keys check nowcerts --connect` tries it.",
            input: Input::Key { what: WHAT },
            options: OPTIONS,
            default_account: "main, or that of the login that is replaced",
        }
    }

    fn list(&self, documents: Documents<'_>) -> KeyListing {
        match login(documents) {
            None => KeyListing::default(),
            Some(Ok(account)) => KeyListing { keys: vec![listed(&account)], problems: Vec::new() },
            Some(Err(problem)) => KeyListing::of_problem(problem),
        }
    }

    fn add(
        &self,
        documents: Documents<'_>,
        new: &NewKey,
        _circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        let must_replace = new.options.has(REPLACE);
        let existing = match login(documents) {
            Some(Err(reason)) if !must_replace => {
                let remedy = "mend it, or say --replace to put this login in its place";
                return Err(KeyRingError::Unreadable { reason, remedy });
            }
            Some(Ok(account)) if !must_replace => {
                return Err(KeyRingError::LoginExists { key: account.authenticated_by.fingerprint.to_string() });
            }
            Some(Ok(account)) => Some(account),
            Some(Err(_)) | None => None,
        };
        let document = document(new, existing.as_ref())?;
        let account = read_account(&document.to_string()).map_err(|problems| KeyRingError::Unfit {
            reason: problems.to_string().replacen("the secret cannot be used", "the login cannot be used", 1),
        })?;
        let plain = if account.connection.tls {
            ""
        } else {
            "The connection is not encrypted: the password and all events can be read on the way. Ask NowCerts for a TLS endpoint.\n"
        };
        let text = serde_json::to_string_pretty(&document).map_err(|_| KeyRingError::Json)? + "\n";
        Ok(Change {
            writes: vec![Write { document: 0, text: SecretString::from(text) }],
            key: listed(&account),
            made: None,
            counts: "the next drain uses it".to_owned(),
            next: format!(
                "Next: have the agency's administrator allow the login in the NowCerts portal, and try it with `keys check nowcerts \
                 --connect`. On a stack, the drain runs once NowCertsScheduleState is ENABLED.\n{plain}"
            ),
        })
    }

    fn remove(
        &self,
        _documents: Documents<'_>,
        key: &ListedKey,
        removal: Removal,
        _circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        if !removal.even_the_last {
            return Err(KeyRingError::TheLast { provider: Self::NAME.as_str() });
        }
        Ok(Change {
            writes: vec![Write { document: 0, text: SecretString::from(format!("{UNSET}\n")) }],
            key: key.clone(),
            made: None,
            counts: "a drain that runs ends with it, and none begins".to_owned(),
            next: "No login is left, so NowCerts' queue fills until one is added. NowCerts keeps events for at least three days.\n"
                .to_owned(),
        })
    }
}

/// The login, or what is wrong with it; nothing if none was put in.
fn login(documents: Documents<'_>) -> Option<Result<Account, String>> {
    let text = documents.text(0)?;
    let is_unset = serde_json::from_str::<Value>(text).is_ok_and(|value| value == json!({}));
    (!is_unset).then(|| read_account(text).map_err(|problems| problems.to_string()))
}

fn listed(account: &Account) -> ListedKey {
    let connection = &account.connection;
    let tls = if connection.tls { "TLS" } else { "not encrypted" };
    let kind = format!("login at {}:{}, {tls}, queue {}", connection.host, connection.port, account.queue);
    ListedKey::active(&account.authenticated_by.account, &account.authenticated_by.fingerprint, kind)
}

/// The new document: the given one, or the connection string with its options.
fn document(new: &NewKey, existing: Option<&Account>) -> Result<Value, KeyRingError> {
    let input = new.input(WHAT)?;
    let options = &new.options;
    let account = new.account.as_ref().or(existing.map(|account| &account.authenticated_by.account)).cloned();
    let account = account.unwrap_or_else(|| new.account_or_main());
    if input.text(WHAT)?.trim_start().starts_with('{') {
        return whole_document(input, new);
    }
    let queue = options.text(QUEUE).ok_or_else(|| KeyRingError::Option {
        option: "--queue",
        reason: "is needed: say which queue NowCerts gave you".to_owned(),
    })?;
    let tls = match (options.has(TLS), options.has(PLAIN)) {
        (true, false) => true,
        (false, true) => false,
        _ => {
            let reason =
                "or --plain is to be said, and one of them only: whether the broker is reached by TLS".to_owned();
            return Err(KeyRingError::Option { option: "--tls", reason });
        }
    };
    let mut document = json!({
        "account": account, "connection_string": input.line(WHAT)?.trim(), "queue": queue, "tls": tls,
    });
    if let (Some(queue), Some(members)) = (options.text(REPLAY_QUEUE), document.as_object_mut()) {
        members.insert("replay_queue".to_owned(), queue.into());
    }
    Ok(document)
}

fn whole_document(input: &KeyInput, new: &NewKey) -> Result<Value, KeyRingError> {
    let given = [(QUEUE, "--queue"), (REPLAY_QUEUE, "--replay-queue"), (TLS, "--tls"), (PLAIN, "--plain")];
    let option = given.into_iter().find(|(name, _)| new.options.has(name)).map(|(_, option)| option);
    if let Some(option) = option.or(new.account.is_some().then_some("--account")) {
        let reason = "is for a connection string; a document says it itself".to_owned();
        return Err(KeyRingError::Option { option, reason });
    }
    serde_json::from_str(input.text(WHAT)?).map_err(|error| KeyRingError::Unfit {
        reason: format!("what was given is neither a connection string nor JSON ({})", JsonPlace::from(&error)),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::key_ring::new_key::GivenOptions;
    use crate::testing::circumstances;

    const STRING: &str = "host=40.122.124.26:5672;virtualHost=/;username=agency;password=hush-hush";

    fn options() -> GivenOptions {
        GivenOptions::default().with(QUEUE, "events").with(PLAIN, "")
    }

    fn new(text: &str, options: GivenOptions) -> NewKey {
        NewKey { input: Some(KeyInput::new(text.as_bytes().to_vec())), options, ..NewKey::default() }
    }

    fn add(document: Option<&str>, new: &NewKey) -> Result<Change, KeyRingError> {
        NowCerts.add(Documents::new(&[document]), new, &circumstances())
    }

    #[test]
    fn a_connection_string_is_taken_as_nowcerts_gives_it() {
        for placeholder in [None, Some("{}"), Some("\n"), Some(" { } ")] {
            let change = add(placeholder, &new(&format!("{STRING}\n"), options())).unwrap();
            let account = read_account(change.writes[0].text.expose_secret()).unwrap();
            assert_eq!((account.queue.as_str(), account.connection.tls), ("events", false));
            assert_eq!(change.key.kind, "login at 40.122.124.26:5672, not encrypted, queue events");
            assert!(change.next.contains("not encrypted"), "{}", change.next);
            assert!(!format!("{change:?}").contains("hush"), "{change:?}");
        }
    }

    #[test]
    fn a_document_in_the_form_of_the_secret_is_taken_and_says_everything_itself() {
        let text =
            r#"{"account":"agency","connection_string":"host=b;username=u","password":"a;b","queue":"q","tls":true}"#;
        let change = add(None, &new(text, GivenOptions::default())).unwrap();
        assert_eq!(change.key.account.as_ref().unwrap().as_str(), "agency");
        let error = add(None, &new(text, options())).unwrap_err().to_string();
        assert!(error.starts_with("--queue is for a connection string"), "{error}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_in_the_words_of_the_secret() {
        let queue_only = GivenOptions::default().with(QUEUE, "events");
        for (text, given, words) in [
            (STRING, GivenOptions::default().with(TLS, ""), "--queue is needed"),
            (STRING, queue_only.clone(), "--tls or --plain"),
            (STRING, options().with(TLS, ""), "--tls or --plain"),
            ("host=b;username=u", options(), "there is no password"),
            ("host=b;username=u;password=hush;hush", options(), "has no \"=\""),
            ("host=b;username=u;password={your_password}", options(), "still the placeholder"),
            ("{\"queue\": hush}", GivenOptions::default(), "neither a connection string nor JSON"),
            ("\n", options(), "nothing was given"),
        ] {
            let error = add(None, &new(text, given)).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn a_second_login_takes_the_place_of_the_first_only_when_that_is_meant_and_keeps_its_account() {
        let first = NewKey { account: Some("agency".parse().unwrap()), ..new(STRING, options()) };
        let first = add(None, &first).unwrap();
        let text = first.writes[0].text.expose_secret();
        let changed = STRING.replace("hush-hush", "hush-hush-2");
        assert!(matches!(add(Some(text), &new(&changed, options())), Err(KeyRingError::LoginExists { .. })));
        let second = add(Some(text), &new(&changed, options().with(REPLACE, ""))).unwrap();
        assert_ne!(second.key.id, first.key.id);
        assert_eq!(second.key.account, first.key.account);
    }

    #[test]
    fn a_login_that_is_taken_out_leaves_what_a_new_stack_has() {
        let added = add(None, &new(STRING, options())).unwrap();
        let text = added.writes[0].text.expose_secret();
        let texts = [Some(text)];
        let documents = Documents::new(&texts);
        let listing = NowCerts.list(documents);
        assert_eq!(listing.keys, [added.key]);
        let remove =
            |even_the_last| NowCerts.remove(documents, &listing.keys[0], Removal { even_the_last }, &circumstances());
        assert!(matches!(remove(false), Err(KeyRingError::TheLast { .. })));
        let left = remove(true).unwrap();
        assert!(NowCerts.list(Documents::new(&[Some(left.writes[0].text.expose_secret())])).is_empty());
    }
}

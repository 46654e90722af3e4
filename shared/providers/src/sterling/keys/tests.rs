use secrecy::ExposeSecret as _;

use super::*;
use crate::key_ring::new_key::GivenOptions;
use crate::testing::circumstances;

/// Both documents, as they are kept.
#[derive(Clone, Default)]
struct Kept([String; 2]);

impl Kept {
    /// As a new stack has them.
    fn unset() -> Self {
        Self([
            r#"{"issuer":"","audience":"","token_lifetime_seconds":7200,"secret_refresh_seconds":300,"keys":[],"clients":[]}"#
                .to_owned(),
            r#"{"issuer":"","audience":"","keys":[],"clients":[]}"#.to_owned(),
        ])
    }

    fn with_client(client_id: &str) -> Self {
        let mut kept = Self::unset();
        kept.add(client_id).unwrap();
        kept
    }

    fn read<T>(&self, use_documents: impl FnOnce(Documents<'_>) -> T) -> T {
        use_documents(Documents::new(&[Some(&self.0[0]), Some(&self.0[1])]))
    }

    /// Makes the writes of a change, or only the first ones before a crash.
    fn write(&mut self, change: &Change, writes: usize) {
        for write in change.writes.iter().take(writes) {
            write.text.expose_secret().clone_into(&mut self.0[write.document]);
        }
    }

    fn change(&mut self, change: Result<Change, KeyRingError>) -> Result<Change, KeyRingError> {
        let change = change?;
        self.write(&change, usize::MAX);
        Ok(change)
    }

    fn add(&mut self, client_id: &str) -> Result<Change, KeyRingError> {
        self.change(self.read(|documents| Sterling.add(documents, &client(client_id), &circumstances())))
    }

    fn remove(&mut self, name: &str, removal: Removal, at: &Circumstances) -> Result<Change, KeyRingError> {
        let listing = self.list();
        self.change(self.read(|documents| Sterling.remove(documents, listing.find(name)?, removal, at)))
    }

    fn list(&self) -> KeyListing {
        self.read(|documents| Sterling.list(documents))
    }

    fn authority(&self) -> Authority {
        serde_json::from_str(&self.0[AUTHORITY]).unwrap()
    }

    fn verification(&self) -> Verification {
        serde_json::from_str(&self.0[VERIFICATION]).unwrap()
    }

    fn states(&self) -> Vec<&'static str> {
        let is_signing_key = |key: &&ListedKey| key.kind.starts_with("signing key");
        self.list().keys.iter().filter(is_signing_key).map(|key| key.state.name()).collect()
    }
}

fn client(client_id: &str) -> NewKey {
    NewKey { options: GivenOptions::default().with(CLIENT_ID, client_id), ..NewKey::default() }
}

fn signing_key() -> NewKey {
    NewKey { options: GivenOptions::default().with(SIGNING_KEY, ""), ..NewKey::default() }
}

fn places(change: &Change) -> Vec<usize> {
    change.writes.iter().map(|write| write.document).collect()
}

fn later(seconds: u64) -> Circumstances {
    let circumstances = circumstances();
    Circumstances { now: circumstances.now.plus(Duration::from_secs(seconds)), ..circumstances }
}

const EVEN_THE_LAST: Removal = Removal { even_the_last: true };

#[test]
fn the_first_client_makes_an_authority_for_the_urls_of_the_stack() {
    let mut kept = Kept::unset();
    let change = kept.add("ibm").unwrap();
    let secret = change.made.as_ref().unwrap();
    let authority = kept.authority();
    assert_eq!(authority.issuer, "https://hooks.example.com/oauth/token");
    assert_eq!(authority.audience, "https://hooks.example.com/webhooks/sterling");
    assert_eq!((authority.token_lifetime_seconds, authority.secret_refresh_seconds), (7200, 300));
    assert!(authority.authenticate("ibm", &ClientSecret::new(secret.secret.expose_secret())).is_some());
    assert!(change.next.contains("the client id ibm") && change.next.contains("7200 s (2 h)"), "{}", change.next);
    assert!(!kept.0.iter().any(|text| text.contains(secret.secret.expose_secret())));
    assert_eq!(kept.list().problems, [] as [&str; 0]);
}

#[test]
fn a_new_stack_has_no_keys_no_problem_and_nothing_to_repair() {
    for kept in [Kept::default(), Kept::unset()] {
        assert_eq!(kept.list(), KeyListing::default());
        assert!(kept.read(|documents| Sterling.repair(documents)).unwrap().is_empty());
    }
}

#[test]
fn what_is_added_verifies_first_and_what_is_removed_goes_from_the_authority_first() {
    let mut kept = Kept::unset();
    assert_eq!(places(&kept.add("one").unwrap()), [AUTHORITY, VERIFICATION], "nobody has a token of a new authority");
    assert_eq!(places(&kept.add("two").unwrap()), [VERIFICATION, AUTHORITY]);
    let removed = kept.remove("one", Removal::default(), &circumstances()).unwrap();
    assert_eq!(places(&removed), [AUTHORITY, VERIFICATION]);
    assert_eq!(kept.verification().clients.len(), 1);
}

#[test]
fn a_crash_between_the_two_writes_is_seen_and_set_right() {
    for writes in 0..2 {
        let mut kept = Kept::with_client("one");
        let change = kept.read(|documents| Sterling.add(documents, &client("two"), &circumstances())).unwrap();
        kept.write(&change, writes);
        assert_eq!(kept.list().problems.is_empty(), writes == 0);
        kept.add("two").unwrap();
        assert_eq!(kept.verification(), kept.authority().verification().unwrap());

        let listing = kept.list();
        let change = kept.read(|documents| {
            Sterling.remove(documents, listing.find("one").unwrap(), Removal::default(), &circumstances())
        });
        kept.write(&change.unwrap(), writes);
        let repair = kept.read(|documents| Sterling.repair(documents)).unwrap();
        assert_eq!(repair.iter().map(|write| write.document).collect::<Vec<_>>(), vec![VERIFICATION; writes]);
        for write in repair {
            write.text.expose_secret().clone_into(&mut kept.0[write.document]);
        }
        assert_eq!(kept.verification(), kept.authority().verification().unwrap());
    }
}

#[test]
fn the_keys_of_another_authority_are_not_overwritten() {
    let mut kept = Kept([String::new(), Kept::with_client("one").0[VERIFICATION].clone()]);
    assert_eq!(kept.add("one").unwrap_err(), KeyRingError::AnotherAuthority);
    assert!(kept.list().problems[0].contains("tokens of another authority"));
    assert_eq!(kept.read(|documents| Sterling.repair(documents)).unwrap_err(), KeyRingError::AnotherAuthority);
}

#[test]
fn a_document_that_cannot_be_read_is_said_so_and_not_repeated() {
    let mut kept = Kept([r#"{"keys":["hunter2"]}"#.to_owned(), String::new()]);
    let error = kept.add("one").unwrap_err();
    assert!(error.to_string().contains("not an authority's document"), "{error}");
    assert!(!format!("{error:?}{:?}", kept.list()).contains("hunter2"), "{error:?}");
}

#[test]
fn a_secret_of_a_client_is_taken_out_by_its_fingerprint_and_the_last_one_only_if_that_is_meant() {
    let mut kept = Kept::with_client("ibm");
    let old = kept.list().keys[1].clone();
    let second = kept.add("ibm").unwrap();
    assert!(second.next.contains(&format!("`keys remove sterling {}`", old.id)), "{}", second.next);
    let kinds: Vec<_> = kept.list().keys.iter().map(|key| key.kind.clone()).collect();
    assert_eq!(
        kinds,
        ["client, 2 secrets", "secret of ibm, older", "secret of ibm, its newest", "signing key, Ed25519"]
    );

    kept.remove(&old.id.to_string(), Removal::default(), &circumstances()).unwrap();
    let secret = second.made.unwrap().secret;
    assert!(kept.authority().authenticate("ibm", &ClientSecret::new(secret.expose_secret())).is_some());
    let newest = second.key.id.to_string();
    assert!(matches!(kept.remove(&newest, Removal::default(), &circumstances()), Err(KeyRingError::TheLast { .. })));
    kept.remove(&newest, EVEN_THE_LAST, &circumstances()).unwrap();
    assert!(kept.list().problems[0].contains("no client can ask for a token"));
}

#[test]
fn the_last_client_goes_only_when_that_is_meant() {
    let mut kept = Kept::with_client("ibm");
    assert!(matches!(kept.remove("ibm", Removal::default(), &circumstances()), Err(KeyRingError::TheLast { .. })));
    kept.remove("ibm", EVEN_THE_LAST, &circumstances()).unwrap();
    assert_eq!(kept.verification().clients, []);
}

#[test]
fn a_signing_key_is_rotated_in_three_steps_and_none_of_them_too_early() {
    let mut kept = Kept::with_client("ibm");
    let old = kept.authority().keys[0].kid.clone();
    let early = kept.remove(&old, EVEN_THE_LAST, &circumstances()).unwrap_err().to_string();
    assert!(early.contains("is not superseded"), "{early}");

    let added = kept.read(|documents| Sterling.add(documents, &signing_key(), &circumstances()));
    let added = kept.change(added).unwrap();
    assert!(added.next.contains("from 2026-11-21T09:36:00.000Z on"), "{}", added.next);
    assert_eq!(kept.states(), ["active", "waiting"]);
    let early = kept.read(|documents| Sterling.activate(documents, &later(359))).unwrap_err().to_string();
    assert!(early.contains("may not be known everywhere before 2026-11-21T09:36:00.000Z"), "{early}");

    let activated = kept.read(|documents| Sterling.activate(documents, &later(360)));
    let activated = kept.change(activated).unwrap();
    assert!(activated.next.contains(&format!("`keys remove sterling {old}`")), "{}", activated.next);
    assert_eq!(kept.states(), ["superseded", "active"]);
    assert_eq!([&added.key, &activated.key].map(|new| new.state.name()), ["waiting", "active"]);
    assert!(kept.remove(&old, EVEN_THE_LAST, &later(360 + 7_559)).is_err());
    kept.remove(&old, EVEN_THE_LAST, &later(360 + 7_560)).unwrap();
    assert_eq!(kept.states(), ["active"]);
    assert_eq!(kept.verification(), kept.authority().verification().unwrap());
}

#[test]
fn options_that_do_not_belong_together_are_refused() {
    let mut kept = Kept::with_client("ibm");
    let mut both = client("ibm");
    both.options = both.options.with(SIGNING_KEY, "");
    let mut with_issuer = client("ibm");
    with_issuer.options = with_issuer.options.with(ISSUER, "urn:x");
    let of_account = NewKey { account: Some("main".parse().unwrap()), ..signing_key() };
    let other_account = NewKey { account: Some("other".parse().unwrap()), ..client("ibm") };
    for (new, words) in [
        (NewKey::default(), "<CLIENT-ID> or --signing-key"),
        (both, "<CLIENT-ID> or --signing-key"),
        (with_issuer, "--issuer is for a new authority"),
        (of_account, "--account is for a client"),
        (other_account, "belongs to the account ibm"),
        (client("two words"), "1 to 64 letters"),
    ] {
        let error = kept.read(|documents| Sterling.add(documents, &new, &circumstances())).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let elsewhere = Circumstances { is_base_url_given: true, ..circumstances() };
    for new in [client("ibm"), signing_key()] {
        let error = kept.read(|documents| Sterling.add(documents, &new, &elsewhere)).unwrap_err().to_string();
        assert!(error.contains("--base-url is for a new authority, and there is one already"), "{error}");
    }
    kept.0 = Kept::unset().0;
    kept.read(|documents| Sterling.add(documents, &client("ibm"), &elsewhere)).unwrap();
    let nowhere = Circumstances { base_url: None, ..circumstances() };
    let error = kept.read(|documents| Sterling.add(documents, &client("ibm"), &nowhere)).unwrap_err().to_string();
    assert!(error.contains("--issuer is needed for a new authority"), "{error}");
    let mut short = client("ibm");
    short.options = short.options.with(TOKEN_LIFETIME, "600");
    let error = kept.read(|documents| Sterling.add(documents, &short, &circumstances())).unwrap_err().to_string();
    assert!(error.contains("short tokens are meant"), "{error}");
}

#[test]
fn hours_are_written_without_needless_digits() {
    assert_eq!([7200, 5400, 600, 36000].map(hours), ["2", "1.5", "0.16", "10"]);
}

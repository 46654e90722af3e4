use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

fn after(time: Duration) -> Timestamp {
    now().plus(time)
}

fn key() -> NewSigningKey {
    NewSigningKey::generate().unwrap()
}

fn authority() -> Authority {
    let refresh = Duration::from_secs(300);
    Authority::new("issuer".into(), "audience".into(), DEFAULT_TOKEN_LIFETIME, false, refresh, key(), now()).unwrap()
}

#[test]
fn a_rotation_goes_by_three_steps_and_refuses_each_that_is_too_early() {
    let mut authority = authority();
    let old = authority.signing_key().unwrap().kid.clone();
    assert_eq!(authority.activate_key(now()), Err(AuthorityError::NothingToActivate));
    assert_eq!(authority.retire_key(now()), Err(AuthorityError::NothingToRetire));

    let new = authority.add_key(key(), now()).unwrap().to_owned();
    assert_eq!(authority.add_key(key(), now()), Err(AuthorityError::KeyUnderWay { kid: new.clone() }));
    assert_eq!(authority.verification().unwrap().keys.len(), 2, "both verify");
    assert_eq!(authority.signing_key().unwrap().kid, old, "the old one signs");

    let not_before = after(Duration::from_secs(360));
    let too_early = AuthorityError::ActivatedTooEarly { kid: new.clone(), not_before };
    assert_eq!(authority.activate_key(after(Duration::from_millis(359_999))), Err(too_early));
    assert_eq!(authority.activate_key(not_before), Ok(new.as_str()));
    assert_eq!(authority.signing_key().unwrap().kid, new);
    assert_eq!(authority.verification().unwrap().keys.len(), 2, "tokens of the old one still count");

    let last_token_out = not_before.plus(Duration::from_secs(300 + 7_200 + 60));
    let too_early = AuthorityError::RetiredTooEarly { kid: old.clone(), not_before: last_token_out };
    assert_eq!(authority.retire_key(after(Duration::from_secs(7_200))), Err(too_early));
    assert_eq!(authority.retire_key(last_token_out), Ok(old));
    let kids: Vec<String> = authority.verification().unwrap().keys.into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, [new]);
}

#[test]
fn tokens_below_an_hour_must_be_meant() {
    let new = |seconds, meant| {
        let (lifetime, refresh) = (Duration::from_secs(seconds), Duration::from_secs(300));
        Authority::new("i".into(), "a".into(), lifetime, meant, refresh, key(), now()).map(drop)
    };
    assert_eq!(new(3_599, false), Err(AuthorityError::ShortTokens { seconds: 3_599 }));
    assert_eq!(new(3_599, true), Ok(()));
    assert_eq!(new(3_600, false), Ok(()));
}

#[test]
fn a_client_is_known_by_each_of_its_secrets_until_they_are_removed() {
    let mut authority = authority();
    let secrets: Vec<ClientSecret> = (0..=MAX_CLIENT_SECRETS).map(|_| ClientSecret::generate().unwrap()).collect();
    for secret in &secrets[..MAX_CLIENT_SECRETS] {
        authority.add_client_secret("ibm", None, secret).unwrap();
    }
    let full = authority.add_client_secret("ibm", None, &secrets[MAX_CLIENT_SECRETS]);
    assert_eq!(full, Err(AuthorityError::TooManySecrets("ibm".to_owned())));
    let known = |authority: &Authority, id: &str, secret| authority.authenticate(id, secret).map(ClientId::to_string);
    for secret in &secrets[..MAX_CLIENT_SECRETS] {
        assert_eq!(known(&authority, "ibm", secret).as_deref(), Some("ibm"));
        assert_eq!(known(&authority, "other", secret), None);
    }
    assert_eq!(known(&authority, "ibm", &secrets[MAX_CLIENT_SECRETS]), None);

    assert_eq!(authority.remove_older_secrets("ibm"), Ok(MAX_CLIENT_SECRETS - 1));
    assert_eq!(known(&authority, "ibm", &secrets[0]), None);
    assert!(known(&authority, "ibm", &secrets[MAX_CLIENT_SECRETS - 1]).is_some());

    authority.remove_client("ibm").unwrap();
    assert_eq!(authority.remove_client("ibm"), Err(AuthorityError::UnknownClient("ibm".to_owned())));
    assert_eq!(authority.verification().unwrap().clients, []);
}

#[test]
fn the_secret_of_one_client_is_not_that_of_another() {
    let mut authority = authority();
    let (one, two) = (ClientSecret::generate().unwrap(), ClientSecret::generate().unwrap());
    authority.add_client_secret("one", None, &one).unwrap();
    authority.add_client_secret("two", None, &two).unwrap();
    assert!(authority.authenticate("one", &two).is_none());
    authority.add_client_secret("one", None, &one).unwrap();
    assert!(authority.authenticate("one", &one).is_some(), "it counts if it is listed twice");
    assert_ne!(one.reveal(), two.reveal());
    assert_eq!(one.reveal().len(), 43, "256 bits in base64url");
}

#[test]
fn what_the_webhook_gets_holds_no_secret_and_nothing_shows_one() {
    let mut authority = authority();
    let secret = ClientSecret::generate().unwrap();
    authority.add_client_secret("ibm", None, &secret).unwrap();
    let private = authority.keys[0].private_key.expose_secret().to_owned();
    let whole = serde_json::to_string(&authority).unwrap();
    assert!(whole.contains(&private) && !whole.contains(secret.reveal()));
    let public = serde_json::to_string(&authority.verification().unwrap()).unwrap();
    let shown = format!("{authority:?} {secret:?} {public}");
    assert!(!shown.contains(&private) && !shown.contains(secret.reveal()), "{shown}");
    assert!(!shown.contains(&Sha256Digest::of(secret.reveal().as_bytes()).to_string()), "{shown}");
    let read: Authority = serde_json::from_str(&whole).unwrap();
    assert_eq!(read.verification(), authority.verification());
}

#[test]
fn a_client_keeps_its_account() {
    let mut authority = authority();
    let secret = || ClientSecret::generate().unwrap();
    authority.add_client_secret("ibm", None, &secret()).unwrap();
    let ibm = AccountName::new("ibm").unwrap();
    authority.add_client_secret("ibm", Some(&ibm), &secret()).unwrap();
    let other = AccountName::new("other").unwrap();
    let refused = authority.add_client_secret("ibm", Some(&other), &secret());
    let client_id = ClientId::new("ibm").unwrap();
    assert_eq!(refused, Err(AuthorityError::AnotherAccount { client_id, account: ibm.clone() }));
    assert_eq!((&authority.clients[0].account, authority.clients[0].secrets.len()), (&ibm, 2));
}

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::account::AccountName;
use crate::oauth::authority::{ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

fn authority() -> Authority {
    let key = NewSigningKey::generate().unwrap();
    let refresh = Duration::from_secs(300);
    let mut authority =
        Authority::new("issuer".into(), "audience".into(), DEFAULT_TOKEN_LIFETIME, false, refresh, key, now()).unwrap();
    authority.add_client_secret("ibm", None, &ClientSecret::generate().unwrap()).unwrap();
    authority
}

fn token(authority: &Authority) -> String {
    let client = &authority.clients[0].client_id;
    issue(authority, client, DeliveryId::new(now(), [7; 10]), now()).unwrap().reveal().to_owned()
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// A token with these members changed, signed by the authority's own key.
fn signed(authority: &Authority, header: &Value, claims: &Value) -> String {
    let pkcs8 = authority.signing_key().unwrap().pkcs8().unwrap();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())))
}

fn changed(mut value: Value, name: &str, to: Value) -> Value {
    value[name] = to;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

#[test]
fn a_token_is_what_rfc_9068_describes_and_verifies() {
    let authority = authority();
    let token = token(&authority);
    let kid = authority.signing_key().unwrap().kid.clone();
    assert_eq!(part(&token, 0), json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid}));
    let issued = now().unix_seconds();
    let jti = DeliveryId::new(now(), [7; 10]).to_string();
    assert_eq!(
        part(&token, 1),
        json!({"iss": "issuer", "sub": "ibm", "aud": "audience", "iat": issued, "exp": issued + 7_200, "jti": jti, "client_id": "ibm"})
    );
    let matched = verify(&token, &authority.verification().unwrap(), now()).unwrap();
    assert_eq!((matched.account.as_str(), matched.fingerprint.as_str()), ("ibm", kid.as_str()));
}

#[test]
fn a_token_is_accepted_until_it_expires_with_a_little_leeway() {
    let authority = authority();
    let token = token(&authority);
    let verification = authority.verification().unwrap();
    let at = |time: Timestamp| verify(&token, &verification, time).map(drop);
    let expiry = now().plus(DEFAULT_TOKEN_LIFETIME);
    assert_eq!(at(expiry.plus(Duration::from_secs(29))), Ok(()));
    assert_eq!(at(expiry.plus(LEEWAY)), Err(TokenProblem::Expired));
    let back = |seconds: i64| Timestamp::from_unix_milliseconds(now().unix_milliseconds() - seconds * 1_000).unwrap();
    assert_eq!(at(back(30)), Ok(()), "the signer's clock may be ahead");
    assert_eq!(at(back(31)), Err(TokenProblem::Invalid));
}

#[test]
fn a_genuine_signature_over_foreign_claims_is_rejected() {
    let authority = authority();
    let genuine = token(&authority);
    let (header, claims) = (part(&genuine, 0), part(&genuine, 1));
    let verification = authority.verification().unwrap();
    let problem =
        |header: Value, claims: Value| verify(&signed(&authority, &header, &claims), &verification, now()).err();
    assert_eq!(problem(header.clone(), claims.clone()), None, "unchanged it verifies");
    for (name, value) in [
        ("iss", json!("another")),
        ("aud", json!("another")),
        ("aud", json!(["another"])),
        ("nbf", json!(now().unix_seconds() + 60)),
        ("iat", json!(now().unix_seconds() + 60)),
        ("exp", json!("soon")),
    ] {
        assert_eq!(
            problem(header.clone(), changed(claims.clone(), name, value)),
            Some(TokenProblem::Invalid),
            "{name}"
        );
    }
    for name in ["iss", "aud", "exp", "sub", "iat", "client_id"] {
        assert_eq!(problem(header.clone(), without(claims.clone(), name)), Some(TokenProblem::Invalid), "{name}");
    }
    let removed = changed(claims.clone(), "client_id", json!("removed"));
    assert_eq!(problem(header.clone(), removed), Some(TokenProblem::UnknownClient));
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("id+jwt")),
        ("crit", json!(["exp"])),
        ("alg", json!("HS256")),
        ("alg", json!("none")),
    ] {
        assert_eq!(
            problem(changed(header.clone(), name, value), claims.clone()),
            Some(TokenProblem::Invalid),
            "{name}"
        );
    }
    assert_eq!(problem(changed(header.clone(), "typ", json!("application/AT+JWT")), claims.clone()), None);
    assert_eq!(problem(without(header.clone(), "typ"), claims.clone()), Some(TokenProblem::Invalid));
    assert_eq!(problem(without(header.clone(), "kid"), claims.clone()), Some(TokenProblem::Invalid));
    for kid in ["", "../../keys/other", "' OR 1=1 --", "0123456789abcdef"] {
        let other = changed(header.clone(), "kid", json!(kid));
        assert_eq!(problem(other, claims.clone()), Some(TokenProblem::UnknownKey), "{kid}");
    }
}

#[test]
fn classic_forgeries_are_rejected() {
    let authority = authority();
    let genuine = token(&authority);
    let verification = authority.verification().unwrap();
    let (header, claims) = (part(&genuine, 0), part(&genuine, 1));
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());

    let none = changed(header.clone(), "alg", json!("none"));
    let unsigned = format!("{}.{}.", encoded(&none), encoded(&claims));

    // The public key as the secret of an HMAC: what confuses a verifier that believes the token's algorithm.
    let symmetric = changed(header.clone(), "alg", json!("HS256"));
    let mut hs256 = Header::new(Algorithm::HS256);
    hs256.typ = Some(TOKEN_TYPE.to_owned());
    hs256.kid = symmetric["kid"].as_str().map(str::to_owned);
    let public = URL_SAFE_NO_PAD.decode(&verification.keys[0].x).unwrap();
    let confused = jsonwebtoken::encode(&hs256, &claims, &EncodingKey::from_secret(&public)).unwrap();

    // Another key, and the header says where to find it.
    let other = Authority {
        clients: Vec::new(),
        ..Authority::new(
            "issuer".into(),
            "audience".into(),
            DEFAULT_TOKEN_LIFETIME,
            false,
            Duration::from_secs(300),
            NewSigningKey::generate().unwrap(),
            now(),
        )
        .unwrap()
    };
    let x = other.verification().unwrap().keys[0].x.clone();
    let embedded = changed(header.clone(), "jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": x}));
    let embedded = signed(&other, &embedded, &claims);

    let (text, signature) = genuine.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[0] ^= 1;
    let flipped = format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let oversized = format!("{}{}", "a".repeat(MAX_TOKEN_BYTES), genuine);
    let cut = &genuine[..genuine.len() - 2];
    for forged in [&unsigned, &confused, &embedded, &flipped, &oversized, cut, text, "", "..", "a.b.c"] {
        assert_eq!(verify(forged, &verification, now()).err(), Some(TokenProblem::Invalid), "{forged}");
    }
}

#[test]
fn a_token_above_the_limit_is_rejected_even_if_it_is_genuine() {
    let authority = authority();
    let genuine = token(&authority);
    let (header, claims) = (part(&genuine, 0), part(&genuine, 1));
    let padded = |bytes: usize| signed(&authority, &header, &changed(claims.clone(), "x", "x".repeat(bytes).into()));
    let shortest = padded(0).len();
    // Three bytes are four characters of base64.
    let of_length = |length: usize| {
        let bytes = (length - shortest) / 4 * 3;
        (bytes..bytes + 4).map(padded).find(|token| token.len() == length).unwrap()
    };
    let verification = authority.verification().unwrap();
    let problem = |length: usize| verify(&of_length(length), &verification, now()).err();
    assert_eq!(problem(MAX_TOKEN_BYTES), None);
    assert_eq!(problem(MAX_TOKEN_BYTES + 1), Some(TokenProblem::Invalid));
}

#[test]
fn without_a_key_that_signs_no_token_is_made() {
    let mut authority = authority();
    let client = authority.clients[0].client_id.clone();
    authority.keys.clear();
    let result = issue(&authority, &client, DeliveryId::new(now(), [7; 10]), now());
    assert_eq!(result.err(), Some(NoSigningKey));
}

#[test]
fn a_token_belongs_to_its_client_s_account_which_clients_may_share() {
    let mut authority = authority();
    let (tenant, other) = (AccountName::new("ibm").unwrap(), AccountName::new("other").unwrap());
    let secret = || ClientSecret::generate().unwrap();
    authority.add_client_secret("ibm-2", Some(&tenant), &secret()).unwrap();
    authority.add_client_secret("third", Some(&other), &secret()).unwrap();
    authority.add_client_secret("fourth", None, &secret()).unwrap();
    let verification = authority.verification().unwrap();
    let account_of = |client_id: &str| {
        let client_id = ClientId::new(client_id).unwrap();
        let token = issue(&authority, &client_id, DeliveryId::new(now(), [7; 10]), now()).unwrap();
        verify(token.reveal(), &verification, now()).unwrap().account.to_string()
    };
    assert_eq!(["ibm", "ibm-2", "third", "fourth"].map(account_of), ["ibm", "ibm", "other", "fourth"]);
}

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA512, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

use super::*;
use crate::delivery::DeliveryId;
use crate::oauth::access_token;
use crate::oauth::authority::{Authority, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};
use crate::path_secret::PathSecret;

const SECRET: &str = "8f0c2d4e6a1b3c5d7e9f00112233445566778899aabbccddeeff0123456789ab";
const OTHER_SECRET: &str = "another secret of an older time, 32 bytes";
const BODY: &str = r#"{"id":"1","event_name":"done","payload":[{"note":"Zoë </b>"}],"amount":1.0}"#;
const MACHNET: &str = "x-raas-webhook-signature";

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

fn request(target: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> CapturedRequest {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    CapturedRequest { method: Method::POST, target: target.to_owned(), headers: map, body: body.into() }
}

fn document(name: &str, text: impl Into<SecretString>, is_active: bool) -> KeyDocument {
    KeyDocument { name: name.to_owned(), text: text.into(), is_active }
}

fn explained(request: &CapturedRequest, documents: Vec<KeyDocument>) -> Vec<Finding> {
    let provider = provider_of(request.path()).unwrap();
    explain(None, request, &BTreeMap::from([(provider, documents)]), now()).findings
}

fn names(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::name).collect()
}

fn machnet_keys(secret: &str) -> Vec<KeyDocument> {
    vec![document("machnet.json", json!({"keys": [{"account": "main", "secret": secret}]}).to_string(), true)]
}

/// Signs with the `hmac` crate; the search uses AWS-LC.
fn hmac(key: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_ref()).unwrap();
    hmac.update(body.as_ref());
    hmac.finalize().into_bytes().to_vec()
}

fn machnet(value: &str) -> CapturedRequest {
    request("/webhooks/machnet", &[(MACHNET, value)], BODY)
}

fn machnet_finds(value: &str) -> Vec<String> {
    names(&explained(&machnet(value), machnet_keys(SECRET)))
}

#[test]
fn each_mistake_with_a_shared_secret_is_found() {
    let found = |key: &[u8]| machnet_finds(&hex::encode(hmac(key, BODY)));
    let text = |text: String| found(text.as_bytes());
    assert_eq!(found(SECRET.as_bytes()), ["genuine"]);
    assert_eq!(text(format!("{SECRET}\n")), ["secret-trailing-newline"]);
    assert_eq!(text(format!("{SECRET}\r\n")), ["secret-trailing-carriage-return"]);
    assert_eq!(text(format!("{SECRET} ")), ["secret-blank"]);
    assert_eq!(text(format!("\"{SECRET}\"")), ["secret-quoted"]);
    assert_eq!(found(&hex::decode(SECRET).unwrap()), ["secret-hex-decoded"]);
    assert_eq!(found(&STANDARD.decode(SECRET).unwrap()), ["secret-base64-decoded"]);
    assert_eq!(text(hex::encode(SECRET)), ["secret-hex-encoded"]);
    assert_eq!(text(STANDARD.encode(SECRET)), ["secret-base64-encoded"]);
    assert_eq!(text(SECRET.to_uppercase()), ["secret-case"]);
    assert_eq!(text(String::new()), ["secret-unset"]);
    let mut sha512 = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
    sha512.update(BODY.as_bytes());
    assert_eq!(machnet_finds(&hex::encode(sha512.finalize().into_bytes())), ["digest"]);
}

#[test]
fn our_own_secret_may_be_the_one_that_is_wrong() {
    let signed = machnet(&hex::encode(hmac(SECRET, BODY)));
    let with = |ours: &str| names(&explained(&signed, machnet_keys(ours)));
    assert_eq!(with(&format!("\"{SECRET}\"")), ["secret-ours-is-quoted"]);
    assert_eq!(with(&format!("{SECRET}\n")), ["key-unusable", "secret-ours-has-white-space"]);
    assert_eq!(with(""), ["no-active-key"]);
    assert_eq!(names(&explained(&signed, vec![])), ["no-keys"]);
    let list = document("machnet.json", r#"{"keys": "none"}"#, true);
    assert_eq!(names(&explained(&signed, vec![list])), ["keys-unusable"]);
    let text = document("machnet.json", format!("{SECRET}\n"), true);
    assert_eq!(names(&explained(&signed, vec![text])), ["key-unusable"]);
}

#[test]
fn each_mistake_with_the_body_is_found() {
    let found = |signed: &[u8]| {
        let findings = explained(&machnet(&hex::encode(hmac(SECRET, signed))), machnet_keys(SECRET));
        (names(&findings), findings.iter().map(ToString::to_string).collect::<String>())
    };
    let name = |signed: &[u8]| found(signed).0.join(" ");
    assert_eq!(name(format!("{BODY}\n").as_bytes()), "body-trailing-newline");
    assert_eq!(name(format!("\u{feff}{BODY}").as_bytes()), "body-byte-order-mark");
    assert_eq!(name(b""), "body-empty");
    assert_eq!(name(STANDARD.encode(BODY).as_bytes()), "body-base64");
    assert_eq!(name(&<sha2::Sha256 as sha2::Digest>::digest(BODY)), "body-hashed-twice");
    let latin_1: Vec<u8> = BODY.chars().map(|c| u8::try_from(c).unwrap()).collect();
    assert_eq!(name(&latin_1), "body-latin1");
    for (signed, words) in [
        (
            r#"{"id": "1", "event_name": "done", "payload": [{"note": "Zo\u00eb </b>"}], "amount": 1.0}"#,
            "after each comma",
        ),
        (r#"{"amount":1.0,"event_name":"done","id":"1","payload":[{"note":"Zoë </b>"}]}"#, "sorted members"),
        (r#"{"id":"1","event_name":"done","payload":[{"note":"Zo\u00eb <\/b>"}],"amount":1.0}"#, "with slashes"),
        (r#"{"id":"1","event_name":"done","payload":[{"note":"Zoë \u003c/b\u003e"}],"amount":1.0}"#, "with <, > and &"),
    ] {
        let (names, sentence) = found(signed.as_bytes());
        assert_eq!(names, ["body-reserialised"], "{signed}");
        assert!(sentence.contains(words), "{sentence}");
    }
    let with_break = |arrived: &'static str, signed: &str| {
        let signature = hex::encode(hmac(SECRET, signed));
        names(&explained(&request("/webhooks/machnet", &[(MACHNET, &signature)], arrived), machnet_keys(SECRET)))
    };
    assert_eq!(with_break("{\n}", "{\r\n}"), ["body-carriage-returns"]);
    assert_eq!(with_break("{\r\n} ", "{\n} "), ["body-line-feeds"]);
    assert_eq!(with_break("{\"a\": 1}\n", "{\"a\": 1}"), ["body-without-trailing-white-space"]);
    assert_eq!(with_break("{\"a\":\"Ã«\"}", "{\"a\":\"ë\"}"), ["body-double-encoded"]);
    assert_eq!(with_break("\u{feff}{}", "{}"), ["body-without-byte-order-mark"]);
}

#[test]
fn each_mistake_in_the_signatures_text_is_found() {
    let signature = hmac(SECRET, BODY);
    let hex = hex::encode(&signature);
    assert_eq!(machnet_finds(&hex.to_uppercase()), ["genuine"], "upper case counts as well");
    assert_eq!(machnet_finds(&STANDARD.encode(&signature)), ["encoding"]);
    assert_eq!(machnet_finds(&URL_SAFE_NO_PAD.encode(&signature)), ["encoding"]);
    assert_eq!(machnet_finds(&STANDARD.encode(&hex)), ["encoding"]);
    assert_eq!(machnet_finds(&STANDARD.encode(&signature).replace('=', "%3D")), ["encoding"]);
    assert_eq!(machnet_finds(&format!("sha256={hex}")), ["prefix"]);
    assert_eq!(machnet_finds(&format!("\"{hex}\"")), ["quoted"]);
    assert_eq!(machnet_finds(&hex[..63]), ["no-signature"]);
    let in_header = |name: &str| {
        let request = request("/webhooks/machnet", &[(name, &hex)], BODY);
        explained(&request, machnet_keys(SECRET))
    };
    let other = Finding::Header { used: "x-signature".to_owned(), expected: MACHNET };
    assert_eq!(in_header("x-signature"), [other]);
    assert_eq!(names(&explained(&request("/webhooks/machnet", &[], BODY), machnet_keys(SECRET))), ["header-missing"]);
    let twice = request("/webhooks/machnet", &[(MACHNET, &hex), (MACHNET, &hex)], BODY);
    assert_eq!(names(&explained(&twice, machnet_keys(SECRET))), ["header-repeated"]);
}

#[test]
fn mistakes_that_come_together_are_found_together() {
    let signature = STANDARD.encode(hmac(format!("{SECRET}\n"), format!("{BODY}\n")));
    let request = request("/webhooks/machnet", &[("x-hub-signature-256", &format!("sha256={signature}"))], BODY);
    let found = names(&explained(&request, machnet_keys(SECRET)));
    assert!(found.is_empty() || found == ["header-missing"], "five at once are too many: {found:?}");
    let request = machnet(&format!("sha256={signature}"));
    let found = names(&explained(&request, machnet_keys(SECRET)));
    assert_eq!(found, ["secret-trailing-newline", "prefix", "encoding", "body-trailing-newline"]);
}

#[test]
fn of_two_headers_that_fit_the_one_with_fewer_mistakes_is_explained() {
    let other_body = hex::encode(hmac(SECRET, format!("{BODY}\n")));
    let elsewhere = STANDARD.encode(hmac(SECRET, BODY));
    let request = request("/webhooks/machnet", &[(MACHNET, &other_body), ("x-signature", &elsewhere)], BODY);
    assert_eq!(names(&explained(&request, machnet_keys(SECRET))), ["body-trailing-newline"], "and not two of a header");
}

#[test]
fn in_a_large_body_two_mistakes_at_once_are_found() {
    let body = format!("[{}\"x\"]", "\"Zoë\",".repeat(50_000));
    let spaced = body.replace(',', ", ");
    let found = |signature: String| {
        let request = request("/webhooks/machnet", &[(MACHNET, &signature)], body.clone());
        names(&explained(&request, machnet_keys(SECRET)))
    };
    let signature = hmac(format!("{SECRET}\n"), &spaced);
    assert_eq!(found(hex::encode(&signature)), ["secret-trailing-newline", "body-reserialised"]);
    assert_eq!(found(STANDARD.encode(&signature)), ["no-signature"], "three take too long");
}

#[test]
fn a_retired_key_and_one_of_another_account_are_named_by_their_files() {
    let signed = machnet(&hex::encode(hmac(OTHER_SECRET, BODY)));
    let with = |name: &str, text: String| {
        let mut documents = machnet_keys(SECRET);
        documents.push(document(name, text, false));
        explained(&signed, documents)
    };
    let entry = |account: &str| json!({"keys": [{"account": account, "secret": OTHER_SECRET}]}).to_string();
    let found = with("old.json", entry("main"));
    assert_eq!(names(&found), ["retired-key"]);
    assert!(
        found[0].to_string().contains("the account main with the fingerprint")
            && found[0].to_string().contains("old.json")
    );
    assert_eq!(names(&with("north.json", entry("north"))), ["key-of-another-account"]);
    assert_eq!(names(&with("old.txt", format!("{OTHER_SECRET}\n"))), ["retired-key"]);
}

#[test]
fn of_a_random_signature_nothing_is_claimed() {
    for value in [hex::encode([7; 32]), hex::encode(hmac(OTHER_SECRET, BODY))] {
        assert_eq!(machnet_finds(&value), [""; 0], "{value}");
    }
    let accredit = request("/webhooks/accredit", &[("x-signature", &STANDARD.encode([7; 256]))], BODY);
    let key = include_str!("../../tests/keys/rsa-2048.spki.pem");
    assert_eq!(explained(&accredit, accredit_keys(key, "pkcs1-v1.5")), []);
}

fn accredit_keys(public_key: &str, padding: &str) -> Vec<KeyDocument> {
    let text = json!({"keys": [{"account": "main", "public_key": public_key, "padding": padding}]}).to_string();
    vec![document("accredit.json", text, true)]
}

/// The signatures in the files were made by openssl.
#[test]
fn the_other_padding_is_found_in_both_directions_and_with_another_salt() {
    let key = include_str!("../../tests/keys/rsa-2048.spki.pem");
    let message = include_str!("../../tests/keys/message.json");
    let found = |signature: &str, padding: &str| {
        let request = request("/webhooks/accredit", &[("x-signature", signature.trim())], message);
        let findings = explained(&request, accredit_keys(key, padding));
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let pkcs1 = include_str!("../../tests/keys/rsa-2048.pkcs1-v1.5.signature");
    let pss = include_str!("../../tests/keys/rsa-2048.pss.signature");
    let salt_20 = include_str!("../../tests/keys/rsa-2048.pss-salt-20.signature");
    assert!(found(pkcs1, "pkcs1-v1.5").starts_with("nothing is wrong"));
    assert_eq!(found(pss, "pkcs1-v1.5"), "the signature's padding is pss, and the key is listed with pkcs1-v1.5");
    assert_eq!(found(pkcs1, "pss"), "the signature's padding is pkcs1-v1.5, and the key is listed with pss");
    assert!(found(salt_20, "pss").contains("a salt that is not 32 bytes long"), "{}", found(salt_20, "pss"));
}

#[test]
fn the_remedy_of_another_salt_names_settings_that_exist() {
    let key = include_str!("../../tests/keys/rsa-2048.spki.pem");
    let salt_20 = include_str!("../../tests/keys/rsa-2048.pss-salt-20.signature");
    let request = request(
        "/webhooks/accredit",
        &[("x-signature", salt_20.trim())],
        include_str!("../../tests/keys/message.json"),
    );
    let remedy = |listed: &str| explained(&request, accredit_keys(key, listed))[0].remedy();
    let salt = "have the sender make the salt 32 bytes long, as long as the digest; no other is accepted";
    assert_eq!(remedy("pss"), salt);
    assert_eq!(remedy("pkcs1-v1.5"), format!("list the key with the padding \"pss\", and {salt}"));
}

#[test]
fn a_request_for_a_token_is_not_taken_for_one_to_an_unknown_path() {
    let found = |path: &str| {
        names(&explain(None, &request(path, &[], "grant_type=client_credentials"), &BTreeMap::new(), now()).findings)
    };
    assert_eq!(found("/oauth/token"), ["token-request"]);
    assert_eq!(found("/oauth2/token"), ["unknown-path"]);
}

#[test]
fn rsa_signatures_over_another_digest_or_body_and_in_hex_are_found() {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public_key = STANDARD.encode(pair.public_key().as_der().unwrap().as_ref() as &[u8]);
    let sign = |algorithm: &'static dyn RsaEncoding, body: &str| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(algorithm, &SystemRandom::new(), body.as_bytes(), &mut signature).unwrap();
        signature
    };
    let found = |value: &str| {
        let request = request("/webhooks/accredit", &[("x-signature", value)], BODY);
        names(&explained(&request, accredit_keys(&public_key, "pkcs1-v1.5")))
    };
    let genuine = sign(&RSA_PKCS1_SHA256, BODY);
    assert_eq!(found(&STANDARD.encode(&genuine)), ["genuine"]);
    assert_eq!(found(&hex::encode(&genuine)), ["encoding"]);
    assert_eq!(found(&STANDARD.encode(sign(&RSA_PKCS1_SHA384, BODY))), ["digest"]);
    assert_eq!(found(&STANDARD.encode(sign(&RSA_PSS_SHA512, BODY))), ["padding", "digest"]);
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(BODY).unwrap()).unwrap();
    assert_eq!(found(&STANDARD.encode(sign(&RSA_PKCS1_SHA256, &pretty))), ["body-reserialised"]);
}

fn authority() -> Authority {
    let key = NewSigningKey::generate().unwrap();
    let refresh = Duration::from_secs(300);
    let mut authority =
        Authority::new("issuer".into(), "audience".into(), DEFAULT_TOKEN_LIFETIME, false, refresh, key, now()).unwrap();
    authority.add_client_secret("ibm", None, &ClientSecret::generate().unwrap()).unwrap();
    authority
}

fn sterling_keys(authority: &Authority) -> Vec<KeyDocument> {
    vec![document("sterling.json", serde_json::to_string(&authority.verification().unwrap()).unwrap(), true)]
}

/// A token with these members in place of the genuine ones, signed by the authority's key.
fn token(authority: &Authority, header: &Value, claims: &Value) -> String {
    let key = authority.signing_key().unwrap();
    let issued = now().unix_seconds();
    let mut all = [
        json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key.kid}),
        json!({"iss": "issuer", "sub": "ibm", "aud": "audience", "iat": issued, "exp": issued + 7200, "client_id": "ibm"}),
    ];
    for (part, changes) in all.iter_mut().zip([header, claims]) {
        for (name, value) in changes.as_object().unwrap() {
            part[name] = value.clone();
        }
    }
    let text = all.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(&key.pkcs8().unwrap()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())))
}

#[test]
fn each_mistake_with_a_token_is_found() {
    let authority = authority();
    let none = json!({});
    let sent = |name: &str, value: &str| {
        names(&explained(&request("/webhooks/sterling", &[(name, value)], "{}"), sterling_keys(&authority))).join(" ")
    };
    let found = |header: &Value, claims: &Value| {
        sent("authorization", &format!("Bearer {}", token(&authority, header, claims)))
    };
    let seconds = now().unix_seconds();
    assert_eq!(found(&none, &none), "genuine");
    assert_eq!(found(&none, &json!({"exp": seconds - 60})), "token-expired");
    assert_eq!(found(&none, &json!({"iat": seconds + 60})), "token-not-yet-valid");
    assert_eq!(found(&none, &json!({"nbf": seconds + 60})), "token-not-yet-valid");
    assert_eq!(found(&none, &json!({"aud": "another"})), "token-audience");
    assert_eq!(found(&none, &json!({"iss": "another"})), "token-issuer");
    assert_eq!(found(&none, &json!({"client_id": "removed"})), "token-unknown-client");
    assert_eq!(found(&none, &json!({"client_id": null})), "token-claim");
    assert_eq!(found(&json!({"typ": "JWT"}), &none), "token-type");
    assert_eq!(found(&none, &json!({"aud": "another", "exp": 0})), "token-audience token-expired");
    let genuine = token(&authority, &none, &none);
    let (signed, signature) = genuine.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    assert_eq!(sent("authorization", &format!("Bearer {signed}.{other}{}", &signature[1..])), "token-signature");
    assert_eq!(sent("authorization", &genuine), "token-no-scheme");
    assert_eq!(sent("authorization", &format!("Token {genuine}")), "token-scheme");
    assert_eq!(sent("authorization", &format!("Bearer \"{genuine}\"")), "token-quoted");
    assert_eq!(sent("authorization", "Basic aWJtOnNlY3JldA=="), "token-client-credentials");
    assert_eq!(sent("authorization", "Bearer abc"), "token-not-a-token");
    assert_eq!(sent("x-access-token", &genuine), "token-header");
    assert_eq!(sent("accept", "*/*"), "token-missing");
}

#[test]
fn what_a_token_says_is_quoted_and_cut_where_it_is_long() {
    let authority = authority();
    let said = |issuer: &str| {
        let token = token(&authority, &json!({}), &json!({"iss": issuer}));
        let request = request("/webhooks/sterling", &[("authorization", &format!("Bearer {token}"))], "{}");
        explained(&request, sterling_keys(&authority))[0].to_string()
    };
    assert_eq!(said("another"), r#"the token's issuer is "another", and ours is "issuer""#);
    let cut = format!("\"{}…", "é".repeat(119));
    assert_eq!(said(&"é".repeat(500)), format!(r#"the token's issuer is {cut}, and ours is "issuer""#));
}

#[test]
fn a_token_of_another_or_a_retired_key_is_told_apart() {
    let (ours, theirs) = (authority(), authority());
    let none = json!({});
    let found = |token: &str, retired: Option<&Authority>| {
        let mut documents = sterling_keys(&ours);
        documents.extend(retired.map(|authority| {
            document("old.json", serde_json::to_string(&authority.verification().unwrap()).unwrap(), false)
        }));
        let request = request("/webhooks/sterling", &[("authorization", &format!("Bearer {token}"))], "{}");
        names(&explained(&request, documents)).join(" ")
    };
    let foreign = token(&theirs, &none, &none);
    assert_eq!(found(&foreign, None), "token-unknown-key");
    assert_eq!(found(&foreign, Some(&theirs)), "token-retired-key");
    let disguised = token(&theirs, &json!({"kid": ours.signing_key().unwrap().kid}), &none);
    assert_eq!(found(&disguised, Some(&theirs)), "token-another-key");
    assert_eq!(found(&disguised, None), "token-signature");
    let renamed = token(&ours, &json!({"kid": "0123456789abcdef"}), &none);
    assert_eq!(found(&renamed, None), "token-another-key", "ours signed it, under a name that no key has");
}

#[test]
fn an_explanation_of_a_token_agrees_with_the_check_that_the_webhook_makes() {
    let authority = authority();
    let verification = authority.verification().unwrap();
    let client = &authority.clients[0].client_id;
    let issued = access_token::issue(&authority, client, DeliveryId::new(now(), [7; 10]), now()).unwrap();
    let seconds = now().unix_seconds();
    for claims in [
        json!({}),
        json!({"exp": seconds - 29}),
        json!({"exp": seconds - 30}),
        json!({"iat": seconds + 30}),
        json!({"aud": ["audience"]}),
    ] {
        let token = token(&authority, &json!({}), &claims);
        let request = request("/webhooks/sterling", &[("authorization", &format!("Bearer {token}"))], "{}");
        let is_genuine = names(&explained(&request, sterling_keys(&authority))) == ["genuine"];
        assert_eq!(is_genuine, access_token::verify(&token, &verification, now()).is_ok(), "{claims}");
    }
    assert!(access_token::verify(issued.reveal(), &verification, now()).is_ok());
}

#[test]
fn each_mistake_with_a_secret_in_the_path_is_found() {
    let secret = PathSecret::of_randomness([0xfb; 32]);
    let text = secret.reveal();
    let keys = || {
        let entry = json!({"account": "main", "secret_sha256": secret.hash().digest().to_string()});
        vec![document("nurturecloud.json", json!({"keys": [entry]}).to_string(), true)]
    };
    let found = |below: &str, headers: &[(&str, &str)]| {
        names(&explained(&request(&format!("/webhooks/nurturecloud{below}"), headers, "{}"), keys())).join(" ")
    };
    let path = |below: &str| found(&format!("/{below}"), &[]);
    assert_eq!(path(text), "genuine");
    assert_eq!(path(&format!("{text}/")), "path-secret-trailing-slash");
    assert_eq!(path(&format!("{text}/notify")), "path-secret-further-segments");
    assert_eq!(path(&text.replace('-', "%2D")), "path-secret-percent-encoded");
    assert_eq!(path(&format!("{text}%20")), "path-secret-percent-encoded path-secret-surrounded");
    assert_eq!(path(&format!("{text}.")), "path-secret-surrounded");
    assert_eq!(path(&format!("{text}=")), "path-secret-padded");
    assert_eq!(path(STANDARD.encode([0xfb; 32]).trim_end_matches('=')), "path-secret-encoded");
    assert_eq!(path(&hex::encode([0xfb; 32])), "path-secret-encoded");
    assert_eq!(path(&STANDARD.encode(text)), "path-secret-encoded");
    assert_eq!(found(&format!("?secret={text}"), &[]), "path-secret-query");
    assert_eq!(found("", &[("authorization", &format!("Bearer {text}"))]), "path-secret-header");
    assert_eq!(path(&secret.hash().digest().to_string()), "path-secret-hash-instead");
    assert_eq!(path(&text[..40]), "path-secret-length");
    assert_eq!(path(&format!("{}!", &text[..42])), "path-secret-characters");
    assert_eq!(path(&format!("{}x", &text[..42].to_lowercase())), "path-secret-case");
    assert_eq!(found("", &[]), "path-secret-missing");
    assert_eq!(path(PathSecret::of_randomness([9; 32]).reveal()), "", "nothing is claimed of a random one");
    let mut documents = keys();
    let old = PathSecret::of_randomness([9; 32]);
    documents.push(document("old-path-secret", format!("{}\n", old.reveal()), false));
    let request = request(&format!("/webhooks/nurturecloud/{}", old.reveal()), &[], "{}");
    assert_eq!(names(&explained(&request, documents)), ["retired-key"]);
}

#[test]
fn a_wrong_method_path_or_webhook_is_found() {
    let signature = hex::encode(hmac(SECRET, BODY));
    let keys = || BTreeMap::from([(ProviderName::Machnet, machnet_keys(SECRET))]);
    let found = |provider: Option<ProviderName>, method: Method, target: &str| {
        let request = CapturedRequest { method, ..request(target, &[(MACHNET, &signature)], BODY) };
        names(&explain(provider, &request, &keys(), now()).findings).join(" ")
    };
    assert_eq!(found(None, Method::GET, "/webhooks/machnet"), "method");
    assert_eq!(found(None, Method::POST, "/webhooks/machnet?source=x"), "genuine");
    assert_eq!(found(None, Method::POST, "/webhooks/machnet/"), "path");
    assert_eq!(found(Some(ProviderName::Machnet), Method::POST, "/machnet"), "path");
    assert_eq!(found(None, Method::POST, "/machnet"), "another-provider");
    assert_eq!(found(None, Method::POST, "/webhooks/accredit"), "another-provider");
    assert_eq!(found(None, Method::GET, "/favicon.ico"), "unknown-path");
}

#[test]
fn where_no_webhook_is_the_paths_of_all_are_named() {
    let remedy = explain(None, &request("/favicon.ico", &[], ""), &BTreeMap::new(), now()).findings[0].remedy();
    for path in ["/webhooks/accredit", "/webhooks/machnet", "/webhooks/nurturecloud/<secret>", "/webhooks/sterling"] {
        assert!(remedy.contains(path), "{path}: {remedy}");
    }
}

/// Everything that is printed about a request.
fn printed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding} {} {} {finding:?}", finding.name(), finding.remedy())).collect()
}

#[test]
fn no_secret_is_in_what_is_said() {
    let path_secret = PathSecret::of_randomness([0xfb; 32]);
    let nurturecloud = request(&format!("/webhooks/nurturecloud/{}/", path_secret.reveal()), &[], "{}");
    let entry =
        json!({"keys": [{"account": path_secret.reveal(), "secret_sha256": path_secret.hash().digest().to_string()}]});
    let said = printed(&explained(&nurturecloud, vec![document("n.json", entry.to_string(), true)]));
    assert!(!said.contains(path_secret.reveal()) && said.contains("a slash follows"), "{said}");

    let signed = machnet(&hex::encode(hmac(format!("{SECRET}\n"), BODY)));
    let case = document("machnet.json", json!({"keys": [{"account": SECRET, "secret": SECRET}]}).to_string(), true);
    assert!(format!("{case:?}").contains("REDACTED"), "{case:?}");
    let said = printed(&explained(&signed, machnet_keys(SECRET)));
    assert!(!said.contains(SECRET), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_is_too_odd_to_be_explained(
        target in "/(webhooks/(machnet|accredit|sterling|nurturecloud)/?)?[ -~]{0,80}",
        value in "[ -~]{0,90}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let headers = [(MACHNET, value.as_str()), ("authorization", &value), ("x-signature", &value)];
        let request = request(&target, &headers, body);
        let keys = BTreeMap::from([(ProviderName::Machnet, machnet_keys(SECRET))]);
        let explanation = explain(None, &request, &keys, now());
        prop_assert!(!names(&explanation.findings).contains(&"genuine".to_owned()));
    }
}

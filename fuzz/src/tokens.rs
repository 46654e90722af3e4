//! Access tokens, requests for them, and the documents of the authority.

use std::sync::LazyLock;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use intake_providers::oauth::access_token;
use intake_providers::oauth::authority::{Authority, Verification};
use intake_providers::oauth::token_request::TokenRequest;

use crate::input::{self, RANDOM_INPUTS, halves};
use crate::{keys, webhooks};

/// The sample authority's own key, taken out of its document by hand.
static SIGNING_KEY: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../events/keys/sterling-authority.json")).unwrap();
    let pkcs8 = keys::base64(document["keys"][0]["private_key"].as_str().unwrap()).unwrap();
    Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap()
});

/// Whatever header and claims are signed, a token is verified exactly if it is one of ours read by hand.
#[test]
fn signed_claims() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(1024).for_each(|input: &[u8]| {
        let (header, claims) = halves(input, b"\n");
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(SIGNING_KEY.sign(signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        let verified = access_token::verify(&token, &keys::VERIFICATION, keys::now());
        if let Ok(key) = verified {
            assert!(webhooks::is_token(&token));
            assert_eq!(key.account.as_str(), "sample");
        }
    });
}

/// A text is verified exactly if it is a token of ours read by hand.
#[test]
fn access_tokens() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(2048).for_each(|input: &[u8]| {
        let text = String::from_utf8_lossy(input).replace("{credential}", &keys::TOKEN);
        let verified = access_token::verify(&text, &keys::VERIFICATION, keys::now());
        assert_eq!(verified.is_ok(), webhooks::is_token(&text));
    });
}

/// Lines of headers, an empty line, and a form.
#[test]
fn token_requests() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(2048).for_each(|input: &[u8]| {
        let (head, body) = halves(input, b"\n\n");
        let headers = input::headers(head.split(|byte| *byte == b'\n'));
        let Ok(request) = TokenRequest::read(&headers, body) else { return };
        let (id, secret) = (&request.client_id, request.client_secret.reveal());
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret)
            .finish();
        let line: &[u8] = b"content-type: application/x-www-form-urlencoded";
        let again = TokenRequest::read(&input::headers(std::iter::once(line)), form.as_bytes()).unwrap();
        assert_eq!((&again.client_id, again.client_secret.reveal()), (id, secret));
    });
}

#[test]
fn authorities() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(4096).for_each(|input: &[u8]| {
        if let Ok(mut authority) = serde_json::from_slice::<Authority>(input) {
            let written = serde_json::to_string(&authority).unwrap();
            let again: Authority = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), written);
            assert!(!format!("{authority:?}").contains("private_key"));
            let _ = authority.check_lifetime();
            if let Ok(verification) = authority.verification() {
                assert_eq!(verification.clients.len(), authority.clients.len());
            }
            let _ = authority.activate_key(keys::now());
            let _ = authority.retire_key(keys::now());
        }
        if let Ok(verification) = serde_json::from_slice::<Verification>(input) {
            let written = serde_json::to_string(&verification).unwrap();
            assert_eq!(serde_json::from_str::<Verification>(&written).unwrap(), verification);
            let _ = access_token::verify(&keys::TOKEN, &verification, keys::now());
        }
    });
}

//! Requests: what is verified is genuine for an implementation of its own, and what the provider signs is verified.

use std::sync::LazyLock;

use aws_lc_rs::{digest, hmac, signature};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::request::UnverifiedRequest;
use intake_providers::webhook::{VerifyError, Webhook};
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::signature::Verifier as _;
use sha2::Sha256;

use crate::input::{RANDOM_INPUTS, Request};
use crate::keys;

/// A test for each webhook. A provider that is new is in it by itself; what it verifies has a second check once [`is_genuine`] knows it.
macro_rules! requests {
    ($($(#[$_doc:meta])* $provider:ident = $module:ident ($source:ident),)+) => {
        $(request!($source $provider $module);)+
    };
}

macro_rules! request {
    (webhook $provider:ident $module:ident) => {
        mod $module {
            #[test]
            fn request() {
                type Provider = intake_providers::$module::$provider;
                let keys = super::keys_of::<Provider>();
                bolero::check!()
                    .with_iterations(crate::input::RANDOM_INPUTS)
                    .with_max_len(4096)
                    .for_each(|input: &[u8]| super::check::<Provider>(&keys, input));
            }
        }
    };
    (queue $provider:ident $module:ident) => {};
}

intake_providers::providers!(requests);

struct Keys<W: Webhook>(W::Keys);

// What a defect leaves behind in keys that are only read is the fuzzer's smallest problem.
impl<W: Webhook> std::panic::RefUnwindSafe for Keys<W> {}

fn keys_of<W: Webhook>() -> Keys<W> {
    Keys(W::read_keys(&keys::secret(W::NAME)).unwrap().keys)
}

fn check<W: Webhook>(keys: &Keys<W>, input: &[u8]) {
    let request = Request::read(input, |body| keys::credential(W::NAME, body));
    let is_genuine = is_genuine(W::NAME, &request);
    let Ok(credential) = W::credential(&request.path, &request.headers) else {
        return;
    };
    let unverified = UnverifiedRequest::new(request.headers.clone(), request.body.clone());
    match W::verify(unverified, &credential, &keys.0, keys::now()) {
        Ok(authentic) => {
            assert_ne!(is_genuine, Some(false), "verified, and not genuine");
            let delivery = VerifiedDelivery::new(authentic, DeliveryId::new(keys::now(), [1; 10]), keys::now());
            let delivery = delivery.as_delivery();
            assert_eq!(delivery.body, request.body);
            for header in &delivery.headers {
                let value = String::from_utf8_lossy(&header.value);
                assert!(!value.contains(keys::PATH_SECRET) && !value.contains(&**keys::TOKEN), "{header:?}");
            }
        }
        Err(error) => {
            assert_ne!(is_genuine, Some(true), "genuine, and not verified");
            assert!(matches!(error, VerifyError::NoKeyMatches(_) | VerifyError::Rejected(_)));
        }
    }
}

/// Whether a request is genuine, said with other libraries than the product says it with; `None` if nothing else can say it.
fn is_genuine(provider: ProviderName, request: &Request) -> Option<bool> {
    let only = |name: &str| {
        let mut values = request.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    Some(match provider {
        ProviderName::Accredit => {
            let signature = only("x-signature").and_then(|text| keys::base64(text.trim()));
            signature.is_some_and(|signature| is_rsa_signature(&request.body, &signature))
        }
        ProviderName::Machnet => {
            let tag = only("x-raas-webhook-signature").and_then(|text| hex::decode(text).ok());
            let key = hmac::Key::new(hmac::HMAC_SHA256, keys::MACHNET_SECRET.as_bytes());
            tag.is_some_and(|tag| hmac::verify(&key, &request.body, &tag).is_ok())
        }
        ProviderName::NurtureCloud => {
            let secret = request.path.rsplit('/').next().filter(|_| request.path.contains('/'));
            let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec();
            secret.is_some_and(|secret| hash(secret) == hash(keys::PATH_SECRET))
        }
        ProviderName::Sterling => only("authorization")
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .is_some_and(|(_, token)| is_token(token.trim())),
        _ => return None,
    })
}

fn is_rsa_signature(body: &Bytes, signature: &[u8]) -> bool {
    static KEY: LazyLock<pkcs1v15::VerifyingKey<Sha256>> = LazyLock::new(|| {
        let key = rsa::PublicKey::from_public_key_pem(&keys::ACCREDIT_PUBLIC_KEY).unwrap();
        pkcs1v15::VerifyingKey::new(key)
    });
    // The other library takes a signature with zeros before it, which ours is too long for.
    signature.len() == 256
        && pkcs1v15::Signature::try_from(signature).is_ok_and(|signature| KEY.verify(body, &signature).is_ok())
}

/// Whether a token is genuine, read by hand (RFC 7519, RFC 8037, RFC 9068).
pub(crate) fn is_token(token: &str) -> bool {
    let Some((signed, tag)) = token.rsplit_once('.') else { return false };
    let Some((header, claims)) = signed.split_once('.') else { return false };
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    // A claim that is not looked at need not be UTF-8.
    let text = |part: &str| decoded(part).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let json = |part: &str| text(part).and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    let (Some(header), Some(claims), Some(tag)) = (json(header), json(claims), decoded(tag)) else { return false };
    let verification = &*keys::VERIFICATION;
    let kid = header["kid"].as_str().unwrap_or_default();
    let Some(key) = verification.keys.iter().find(|key| key.kid == kid) else { return false };
    let Some(public_key) = decoded(&key.x) else { return false };
    let is_signed =
        signature::UnparsedPublicKey::new(&signature::ED25519, public_key).verify(signed.as_bytes(), &tag).is_ok();
    // A token may be for several.
    let is_for = |audience: &serde_json::Value| match audience {
        serde_json::Value::Array(audiences) => audiences.iter().any(|audience| *audience == *verification.audience),
        audience => *audience == *verification.audience,
    };
    let now = keys::now().unix_seconds();
    let time = |name: &str| claims[name].as_i64();
    is_signed
        && header["alg"] == "EdDSA"
        && claims["iss"] == *verification.issuer
        && is_for(&claims["aud"])
        && verification.clients.iter().any(|client| claims["client_id"] == *client.client_id.as_str())
        && time("iat").is_some_and(|issued_at| issued_at <= now + 30)
        && time("nbf").is_none_or(|not_before| not_before <= now + 30)
        && time("exp").is_some_and(|expires_at| now - 30 < expires_at)
}

/// A message of any bytes is verified with its own credential, and not with one that differs in one bit.
#[test]
fn signatures() {
    let accredit = keys_of::<intake_providers::accredit::Accredit>();
    let machnet = keys_of::<intake_providers::machnet::Machnet>();
    bolero::check!().with_iterations(RANDOM_INPUTS / 8).with_max_len(1024).for_each(|input: &[u8]| {
        let [bit, body @ ..] = input else { return };
        signed::<intake_providers::accredit::Accredit>(&accredit, body, *bit);
        signed::<intake_providers::machnet::Machnet>(&machnet, body, *bit);
    });
}

fn signed<W: Webhook>(keys: &Keys<W>, body: &[u8], bit: u8) {
    let (header, is_hex) = match W::NAME {
        ProviderName::Accredit => ("x-signature", false),
        _ => ("x-raas-webhook-signature", true),
    };
    let body = Bytes::copy_from_slice(body);
    let genuine = keys::credential(W::NAME, &body);
    let mut raw = if is_hex { hex::decode(&genuine).unwrap() } else { keys::base64(&genuine).unwrap() };
    let place = usize::from(bit) % (raw.len() * 8);
    raw[place / 8] ^= 1 << (place % 8);
    let forged = if is_hex { hex::encode(&raw) } else { base64::engine::general_purpose::STANDARD.encode(&raw) };
    let mut longer = body.to_vec();
    longer.push(bit);
    for (body, value, is_genuine) in
        [(body.clone(), &genuine, true), (body, &forged, false), (Bytes::from(longer), &genuine, false)]
    {
        let headers = crate::input::headers(std::iter::once(format!("{header}: {value}").as_bytes()));
        let credential = W::credential(W::ROUTE.path(), &headers).unwrap();
        let verified = W::verify(UnverifiedRequest::new(headers, body), &credential, &keys.0, keys::now());
        assert_eq!(verified.is_ok(), is_genuine);
    }
}

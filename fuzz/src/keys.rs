//! The test keys of the samples, which sign the same every time.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::oauth::access_token;
use intake_providers::oauth::authority::{Authority, Verification};
use intake_providers::oauth::client_id::ClientId;
use intake_providers::timestamp::Timestamp;
use intake_simulator::{accredit, machnet};

/// What the functions that verify read, as the samples' secret has it; empty for a provider that sends no requests.
pub(crate) fn secret(provider: ProviderName) -> String {
    let document = if provider == ProviderName::Sterling { "verification" } else { "secret" };
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/keys");
    std::fs::read_to_string(format!("{keys}/{provider}-{document}.json")).unwrap_or_default()
}

/// The secret at the end of NurtureCloud's path.
pub(crate) const PATH_SECRET: &str = include_str!("../../events/keys/nurturecloud-path-secret").trim_ascii();

/// The secret that Machnet signs with, as its bytes.
pub(crate) static MACHNET_SECRET: LazyLock<String> = LazyLock::new(|| {
    let document: serde_json::Value = serde_json::from_str(&secret(ProviderName::Machnet)).unwrap();
    document["keys"][0]["secret"].as_str().unwrap().to_owned()
});

/// The public key with which Accredit's signatures are checked, as PEM.
pub(crate) static ACCREDIT_PUBLIC_KEY: LazyLock<String> = LazyLock::new(|| {
    let document: serde_json::Value = serde_json::from_str(&secret(ProviderName::Accredit)).unwrap();
    document["keys"][0]["public_key"].as_str().unwrap().to_owned()
});

/// What verifies Sterling's tokens.
pub(crate) static VERIFICATION: LazyLock<Verification> =
    LazyLock::new(|| serde_json::from_str(&secret(ProviderName::Sterling)).unwrap());

static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../events/keys/sterling-authority.json")).unwrap());

static ACCREDIT: LazyLock<accredit::Key> =
    LazyLock::new(|| accredit::Key::read(include_str!("../../events/keys/accredit-private.pem")).unwrap());

static MACHNET: LazyLock<machnet::Key> = LazyLock::new(|| machnet::Key::new(&MACHNET_SECRET).unwrap());

/// When everything is said to happen.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_milliseconds(1_795_253_400_000).unwrap()
}

/// A token of the sample client, valid now.
pub(crate) static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let client = ClientId::new("sample").unwrap();
    let token = access_token::issue(&AUTHORITY, &client, DeliveryId::new(now(), [7; 10]), now()).unwrap();
    token.reveal().to_owned()
});

/// What a provider sends to prove a body: the value of its header, or the end of its path. Empty for a provider whose requests have no
/// second check here.
pub(crate) fn credential(provider: ProviderName, body: &Bytes) -> String {
    match provider {
        ProviderName::Accredit => {
            let signed = ACCREDIT.sign(body.clone(), "1", "1").unwrap().header_map();
            signed["x-signature"].to_str().unwrap().to_owned()
        }
        ProviderName::Machnet => {
            let signed = MACHNET.sign(body.clone(), None).header_map();
            signed["x-raas-webhook-signature"].to_str().unwrap().to_owned()
        }
        ProviderName::NurtureCloud => PATH_SECRET.to_owned(),
        ProviderName::Sterling => format!("Bearer {}", *TOKEN),
        _ => String::new(),
    }
}

/// The bytes of a text in base64 with nothing else in it.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

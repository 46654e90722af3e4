//! Prints what one signature check and one token cost on this machine:
//! `cargo run --release -p intake-providers --example signature_cost`.
//!
//! Each number is the median over several batches of the mean time of one call. It is wall-clock time of a busy thread,
//! which is CPU time as long as nothing else wants the core. Refused signatures are measured: they take as long as
//! genuine ones, since the work is in undoing the signature. Tokens are genuine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use intake_providers::delivery::DeliveryId;
use intake_providers::oauth::access_token;
use intake_providers::oauth::authority::{Authority, ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};
use intake_providers::signature::hmac_sha256::HmacSecret;
use intake_providers::signature::rsa_padding::Padding;
use intake_providers::signature::rsa_sha256::RsaPublicKey;
use intake_providers::timestamp::Timestamp;

const BATCHES: usize = 15;
const BATCH_TIME: Duration = Duration::from_millis(40);
const BODY_BYTES: usize = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let body = [b'x'; BODY_BYTES];
    for (bits, text) in [
        (2048, include_str!("../tests/keys/rsa-2048.spki.pem")),
        (4096, include_str!("../tests/keys/rsa-4096.spki.pem")),
    ] {
        let key = RsaPublicKey::parse(text, Padding::Pkcs1V15)?;
        let signature = vec![0x55; key.modulus_bytes()];
        print(&format!("RSA {bits} with aws-lc-rs"), || key.verify(&body, &signature));
        print(&format!("RSA {bits} with rsa"), || key.verify_with_second_implementation(&body, &signature));
    }
    let secret = HmacSecret::new("7c1f0c6fd4f34c0e9b1f8a52d0f5a1be")?;
    let tag = [0x55; 32];
    print("HMAC of 1 KiB", || secret.verify(&body, &tag));

    let now = Timestamp::parse("2026-11-21T09:30:00Z")?;
    let key = NewSigningKey::generate().ok_or("no randomness")?;
    let refresh = Duration::from_secs(300);
    let mut authority =
        Authority::new("issuer".into(), "audience".into(), DEFAULT_TOKEN_LIFETIME, false, refresh, key, now)?;
    let client_secret = ClientSecret::generate().ok_or("no randomness")?;
    authority.add_client_secret("client", None, &client_secret)?;
    let client = authority.authenticate("client", &client_secret).ok_or("the client is known")?;
    let token = access_token::issue(&authority, client, DeliveryId::new(now, [7; 10]), now)?;
    let verification = authority.verification()?;
    print("token, issued", || {
        let client = authority.authenticate("client", &client_secret);
        client.is_some_and(|client| access_token::issue(&authority, client, DeliveryId::new(now, [7; 10]), now).is_ok())
    });
    print("token, verified", || access_token::verify(token.reveal(), &verification, now).is_ok());
    Ok(())
}

fn print(what: &str, mut check: impl FnMut() -> bool) {
    let mut microseconds: Vec<f64> = (0..BATCHES).map(|_| microseconds_per_call(&mut check)).collect();
    microseconds.sort_by(f64::total_cmp);
    let median = microseconds.get(BATCHES / 2).copied().unwrap_or_default();
    println!("{what:<24}{median:>10.1} us per check");
}

fn microseconds_per_call(check: &mut impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < BATCH_TIME {
        black_box(check());
        calls += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

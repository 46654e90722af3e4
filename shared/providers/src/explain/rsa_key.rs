//! The usual mistakes with an RSA signature.

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use rsa::pss;
use rsa::signature::Verifier as _;
use rsa::traits::PublicKeyParts as _;
use sha2::Sha256;

use super::finding::Finding;
use super::search::{TrialKey, Tried};
use crate::signature::rsa_key;
use crate::signature::rsa_padding::Padding;
use crate::signature::rsa_sha256::RsaPublicKey;

const ALGORITHMS: [(Padding, Option<&str>, &RsaParameters); 7] = [
    (Padding::Pkcs1V15, None, &RSA_PKCS1_2048_8192_SHA256),
    (Padding::Pss, None, &RSA_PSS_2048_8192_SHA256),
    (Padding::Pkcs1V15, Some("SHA-1"), &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
    (Padding::Pkcs1V15, Some("SHA-384"), &RSA_PKCS1_2048_8192_SHA384),
    (Padding::Pkcs1V15, Some("SHA-512"), &RSA_PKCS1_2048_8192_SHA512),
    (Padding::Pss, Some("SHA-384"), &RSA_PSS_2048_8192_SHA384),
    (Padding::Pss, Some("SHA-512"), &RSA_PSS_2048_8192_SHA512),
];

const fn name(padding: Padding) -> &'static str {
    match padding {
        Padding::Pkcs1V15 => "pkcs1-v1.5",
        Padding::Pss => "pss",
    }
}

/// The keys to try for a public key: with either padding, over each digest.
pub(crate) fn rsa_keys(tried: &Tried<'_>, account: &str, text: &str, listed: Padding) -> Vec<TrialKey> {
    let fingerprint = RsaPublicKey::parse(text, listed).ok().map(|key| key.fingerprint().to_string());
    let Ok(key) = rsa_key::read(text, listed) else { return Vec::new() };
    let listed = name(listed);
    let components = RsaPublicKeyComponents { n: key.n_bytes(), e: key.e_bytes() };
    let mut keys = Vec::new();
    for (padding, digest, algorithm) in ALGORITHMS {
        let Ok(parsed) = components.to_parsed_public_key(algorithm) else { continue };
        let padding = (name(padding) != listed).then(|| Finding::Padding { used: name(padding), listed });
        let digest = digest.map(|used| Finding::Digest { used });
        let confirms =
            move |message: &[u8], signature: &[u8]| ParsedPublicKey::verify_sig(&parsed, message, signature).is_ok();
        keys.push(tried.key(account, fingerprint.clone(), padding.into_iter().chain(digest), confirms));
    }
    // Some libraries make the salt as long as the key allows.
    let any_salt = pss::VerifyingKey::<Sha256>::new_with_auto_salt_len(key);
    let confirms = move |message: &[u8], signature: &[u8]| {
        pss::Signature::try_from(signature).is_ok_and(|signature| any_salt.verify(message, &signature).is_ok())
    };
    keys.push(tried.key(account, fingerprint, [Finding::Salt { listed }], confirms));
    keys
}

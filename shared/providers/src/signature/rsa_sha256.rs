//! RSA signatures over SHA-256 (RFC 8017), the way Accredit signs the body of a webhook.

use std::fmt;

use aws_lc_rs::signature::{
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use rsa::pkcs8::EncodePublicKey;
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use rsa::{pkcs1v15, pss};
use sha2::{Digest, Sha256};

use super::KeyFingerprint;
use super::rsa_key;
pub use super::rsa_key::{MAX_MODULUS_BITS, MIN_MODULUS_BITS, RsaKeyError};
use super::rsa_padding::Padding;

const FINGERPRINT_DIGITS: usize = 16;

/// An RSA public key that is fit for verifying signatures, and its padding.
#[derive(Clone)]
pub struct RsaPublicKey {
    padding: Padding,
    key: rsa::PublicKey,
    parsed: ParsedPublicKey,
    fingerprint: KeyFingerprint,
}

impl RsaPublicKey {
    /// Reads a public key from PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`), from bare base64 of the DER form of either, or
    /// from .NET's `<RSAKeyValue>` XML. Line breaks and other white space may be anywhere in the base64, or may have
    /// been lost or turned into the two characters `\n`.
    ///
    /// # Errors
    /// [`RsaKeyError`] for a text in none of these forms, for a private key or certificate, for a modulus of fewer than
    /// [`MIN_MODULUS_BITS`] or more than [`MAX_MODULUS_BITS`], for an exponent that is not an odd number of at
    /// least 3 and at most 33 bits, and for a key that is bound to other uses than `padding`.
    pub fn parse(text: &str, padding: Padding) -> Result<Self, RsaKeyError> {
        let key = rsa_key::read(text, padding)?;
        let algorithm = match padding {
            Padding::Pkcs1V15 => &RSA_PKCS1_2048_8192_SHA256,
            Padding::Pss => &RSA_PSS_2048_8192_SHA256,
        };
        let components = RsaPublicKeyComponents { n: key.n_bytes(), e: key.e_bytes() };
        let parsed = components.to_parsed_public_key(algorithm).map_err(|_| RsaKeyError::Modulus)?;
        let canonical = key.to_public_key_der().map_err(|_| RsaKeyError::Der)?;
        let fingerprint = KeyFingerprint::from_hash(&Sha256::digest(canonical.as_bytes()), FINGERPRINT_DIGITS);
        Ok(Self { padding, key, parsed, fingerprint })
    }

    /// Whether `signature` was made over `message` with the private half of this key. A signature whose length is not
    /// [`modulus_bytes`](Self::modulus_bytes) is never genuine.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    /// Like [`verify`](Self::verify), with the `rsa` crate instead of AWS-LC.
    ///
    /// It exists so that tests can show two independent implementations to agree on every vector. Deliveries are
    /// checked with [`verify`](Self::verify), which takes a fraction of the time.
    #[must_use]
    pub fn verify_with_second_implementation(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = self.key.clone();
        match self.padding {
            Padding::Pkcs1V15 => pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok()),
            Padding::Pss => pss::Signature::try_from(signature)
                .is_ok_and(|signature| pss::VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok()),
        }
    }

    /// The padding of its signatures.
    #[must_use]
    pub const fn padding(&self) -> Padding {
        self.padding
    }

    /// The size of the modulus in bits, 2048 to 8192.
    #[must_use]
    pub fn modulus_bits(&self) -> usize {
        self.key.n().bit_width_vartime() as usize
    }

    /// The size of the modulus, and so of every signature, in bytes.
    #[must_use]
    pub fn modulus_bytes(&self) -> usize {
        self.key.size()
    }

    /// The first 16 hex digits of the SHA-256 of the key's `SubjectPublicKeyInfo` in DER, whatever form it was given
    /// in. `openssl pkey -pubin -in key.pem -outform DER | openssl dgst -sha256` begins with the same digits, except
    /// for a key restricted to PSS, whose restriction is left out here.
    #[must_use]
    pub fn fingerprint(&self) -> &KeyFingerprint {
        &self.fingerprint
    }
}

impl fmt::Debug for RsaPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RsaPublicKey({}, {} bits)", self.fingerprint, self.modulus_bits())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::tests::key_file;
    use super::*;

    /// Files made by openssl for one size of key and one padding.
    struct Genuine {
        key: RsaPublicKey,
        message: Vec<u8>,
        signature: Vec<u8>,
    }

    impl Genuine {
        fn load(key: &str, padding: Padding) -> Self {
            let name = match padding {
                Padding::Pkcs1V15 => "pkcs1-v1.5",
                Padding::Pss => "pss",
            };
            Self {
                key: RsaPublicKey::parse(&key_file(&format!("{key}.spki.pem")), padding).unwrap(),
                message: key_file("message.json").into_bytes(),
                signature: STANDARD.decode(key_file(&format!("{key}.{name}.signature"))).unwrap(),
            }
        }

        fn all() -> Vec<Self> {
            let keys = ["rsa-2048", "rsa-3072", "rsa-4096", "rsa-8192"];
            let mut all: Vec<Self> = keys
                .iter()
                .flat_map(|key| [Padding::Pkcs1V15, Padding::Pss].map(|padding| Self::load(key, padding)))
                .collect();
            all.push(Self::load("pss-only", Padding::Pss));
            all
        }
    }

    /// The result of both implementations, which must agree.
    fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
        let verdict = key.verify(message, signature);
        assert_eq!(verdict, key.verify_with_second_implementation(message, signature), "the implementations differ");
        verdict
    }

    #[test]
    fn a_signature_that_openssl_made_is_accepted_for_every_size_and_padding() {
        let all = Genuine::all();
        assert_eq!(all.len(), 9);
        for Genuine { key, message, signature } in all {
            assert_eq!(signature.len(), key.modulus_bytes());
            assert!(verify(&key, &message, &signature), "{key:?}");
        }
    }

    #[test]
    fn every_form_of_a_key_accepts_a_genuine_signature() {
        let Genuine { message, signature, .. } = Genuine::load("rsa-2048", Padding::Pkcs1V15);
        for form in ["spki.pem", "pkcs1.pem", "xml"] {
            let text = key_file(&format!("rsa-2048.{form}"));
            let bare: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
            for text in [text, bare] {
                let key = RsaPublicKey::parse(&text, Padding::Pkcs1V15).unwrap();
                assert!(verify(&key, &message, &signature), "{text}");
            }
        }
    }

    #[test]
    fn a_signature_of_the_other_padding_is_rejected() {
        for key in ["rsa-2048", "rsa-4096"] {
            let pkcs1 = Genuine::load(key, Padding::Pkcs1V15);
            let pss = Genuine::load(key, Padding::Pss);
            assert!(!verify(&pkcs1.key, &pkcs1.message, &pss.signature));
            assert!(!verify(&pss.key, &pss.message, &pkcs1.signature));
        }
    }

    #[test]
    fn a_pss_signature_with_a_salt_of_another_length_is_rejected() {
        let Genuine { key, message, .. } = Genuine::load("rsa-2048", Padding::Pss);
        let signature = STANDARD.decode(key_file("rsa-2048.pss-salt-20.signature")).unwrap();
        assert!(!verify(&key, &message, &signature));
    }

    #[test]
    fn a_signature_by_another_key_is_rejected() {
        for padding in [Padding::Pkcs1V15, Padding::Pss] {
            let Genuine { message, signature, .. } = Genuine::load("rsa-2048", padding);
            let other = RsaPublicKey::parse(&key_file("pss-only.spki.pem"), Padding::Pss).unwrap();
            assert!(!verify(&other, &message, &signature));
            assert!(!verify(&Genuine::load("rsa-3072", padding).key, &message, &signature));
        }
    }

    #[test]
    fn a_signature_of_a_wrong_length_is_rejected() {
        for Genuine { key, message, signature } in Genuine::all() {
            let leading_zero = [&[0], signature.as_slice()].concat();
            let trailing_zero = [signature.as_slice(), &[0]].concat();
            for wrong in [
                &[][..],
                &signature[1..],
                &signature[..signature.len() - 1],
                &signature[..signature.len() / 2],
                &leading_zero,
                &trailing_zero,
                &[signature.as_slice(), &signature].concat(),
            ] {
                assert!(!verify(&key, &message, wrong), "{key:?}, {} bytes", wrong.len());
            }
        }
    }

    #[test]
    fn a_signature_plus_the_modulus_is_rejected() {
        for Genuine { key, message, signature } in Genuine::all() {
            let sum = rsa::BoxedUint::from_be_slice_vartime(&signature).concatenating_add(key.key.n().as_ref());
            assert!(!verify(&key, &message, &sum.to_be_bytes_trimmed_vartime()), "{key:?}");
        }
    }

    #[test]
    fn trivial_signatures_are_rejected() {
        for Genuine { key, message, signature } in Genuine::all() {
            let size = signature.len();
            let mut one = vec![0; size];
            one[size - 1] = 1;
            let modulus = key.key.n_bytes().into_vec();
            let mut modulus_less_one = modulus.clone();
            modulus_less_one[size - 1] -= 1;
            for trivial in [vec![0; size], one, vec![0xff; size], modulus, modulus_less_one] {
                assert!(!verify(&key, &message, &trivial), "{key:?}");
            }
        }
    }

    #[test]
    fn a_key_that_is_printed_shows_its_fingerprint_and_size() {
        let key = Genuine::load("rsa-3072", Padding::Pss).key;
        let fingerprint = key_file("rsa-3072.fingerprint");
        assert_eq!(format!("{key:?}"), format!("RsaPublicKey({}, 3072 bits)", fingerprint.trim()));
    }

    #[test]
    fn a_padding_is_named_in_settings_the_way_the_documentation_names_it() {
        for (padding, name) in [(Padding::Pkcs1V15, "\"pkcs1-v1.5\""), (Padding::Pss, "\"pss\"")] {
            assert_eq!(serde_json::to_string(&padding).unwrap(), name);
            assert_eq!(serde_json::from_str::<Padding>(name).unwrap(), padding);
        }
        assert_eq!(Padding::default(), Padding::Pkcs1V15);
    }

    #[test]
    fn every_single_flipped_bit_of_a_signature_is_rejected() {
        for padding in [Padding::Pkcs1V15, Padding::Pss] {
            let Genuine { key, message, mut signature } = Genuine::load("rsa-2048", padding);
            for bit in 0..signature.len() * 8 {
                signature[bit / 8] ^= 1 << (bit % 8);
                assert!(!verify(&key, &message, &signature), "bit {bit}");
                signature[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn every_single_flipped_bit_of_a_body_is_rejected() {
        for padding in [Padding::Pkcs1V15, Padding::Pss] {
            let Genuine { key, mut message, signature } = Genuine::load("rsa-2048", padding);
            for bit in 0..message.len() * 8 {
                message[bit / 8] ^= 1 << (bit % 8);
                assert!(!verify(&key, &message, &signature), "bit {bit}");
                message[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_other_body_or_signature_is_rejected_by_both_implementations(
            message in proptest::collection::vec(any::<u8>(), 0..300),
            signature in proptest::collection::vec(any::<u8>(), 256),
            pss in any::<bool>(),
        ) {
            let genuine = Genuine::load("rsa-2048", if pss { Padding::Pss } else { Padding::Pkcs1V15 });
            prop_assert!(!verify(&genuine.key, &message, &genuine.signature));
            prop_assert!(!verify(&genuine.key, &genuine.message, &signature));
        }
    }
}

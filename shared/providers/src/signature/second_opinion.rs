//! Verifies with the `rsa` crate, so that tests can show two independent implementations to agree on every vector.

use rsa::signature::Verifier as _;
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::Sha256;

use super::{Padding, RsaPublicKey};

/// Whether the `rsa` crate finds `signature` to be one of `message`.
pub(super) fn verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    let number = BoxedUint::from_be_slice_vartime;
    let size = key.modulus_bits();
    let padding = key.padding();
    let Ok(key) = rsa::PublicKey::new_with_size_limits(number(key.modulus()), number(key.exponent()), size..=size)
    else {
        return false;
    };
    match padding {
        Padding::Pkcs1V15 => pkcs1v15::Signature::try_from(signature)
            .is_ok_and(|signature| pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok()),
        Padding::Pss => pss::Signature::try_from(signature)
            .is_ok_and(|signature| pss::VerifyingKey::<Sha256>::new(key).verify(message, &signature).is_ok()),
    }
}

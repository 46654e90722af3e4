//! The padding of an RSA signature.

use serde::{Deserialize, Serialize};

/// How the digest is padded to the size of the modulus before it is signed. One key is only ever checked with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Padding {
    /// RSASSA-PKCS1-v1_5, what "SHA-256 with RSA" means unless something else is said.
    #[default]
    #[serde(rename = "pkcs1-v1.5")]
    Pkcs1V15,
    /// RSASSA-PSS with MGF1 over SHA-256 and a salt as long as the digest, 32 bytes.
    #[serde(rename = "pss")]
    Pss,
}

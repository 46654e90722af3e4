#!/bin/sh
# Makes everything in tests/keys with openssl, so that the tests judge our verifiers by an implementation that is
# neither of the two they use. Private keys live in a temporary directory and are gone at the end: a new run makes new
# keys, and its output is committed as a whole.
#
#   sh shared/providers/tests/make-keys.sh        (needs openssl 3 and xxd; the 8192-bit key takes up to a minute)
set -eu

keys="$(cd "$(dirname "$0")" && pwd)/keys"
private="$(mktemp -d)"
trap 'rm -rf "$private"' EXIT
mkdir -p "$keys"

printf '%s' '{"Event":"BadgeExportZipFile.Created","Timestamp":"2024-05-14T09:30:00Z","BadgeExportZipFileId":"0b4f3a5e-52f1-4c80-9d1f-4c1a0a4a8f4e","Note":"Zoë & Søren"}' >"$keys/message.json"

# rsa_key_value_xml PRIVATE_KEY_FILE: the public half the way .NET's RSA.ToXmlString(false) writes it.
rsa_key_value_xml() {
    modulus="$(openssl rsa -in "$1" -noout -modulus | sed 's/^Modulus=//' | xxd -r -p | openssl base64 -A)"
    printf '<RSAKeyValue><Modulus>%s</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>' "$modulus"
}

for bits in 1024 2048 3072 4096 8192; do
    key="$private/rsa-$bits.pem"
    openssl genpkey -quiet -algorithm RSA -pkeyopt "rsa_keygen_bits:$bits" -out "$key"
    openssl pkey -in "$key" -pubout -out "$keys/rsa-$bits.spki.pem"
    openssl rsa -in "$key" -RSAPublicKey_out -out "$keys/rsa-$bits.pkcs1.pem" 2>/dev/null
    rsa_key_value_xml "$key" >"$keys/rsa-$bits.xml"
    [ "$bits" -ge 2048 ] || continue
    openssl pkey -in "$key" -pubout -outform DER | openssl dgst -sha256 -r | cut -c1-16 >"$keys/rsa-$bits.fingerprint"
    openssl dgst -sha256 -sign "$key" "$keys/message.json" | openssl base64 -A >"$keys/rsa-$bits.pkcs1-v1.5.signature"
    openssl dgst -sha256 -sign "$key" -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha256 \
        -sigopt rsa_pss_saltlen:32 "$keys/message.json" | openssl base64 -A >"$keys/rsa-$bits.pss.signature"
done

# What a PSS verifier must refuse: the right hash under another salt length.
openssl dgst -sha256 -sign "$private/rsa-2048.pem" -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:sha256 \
    -sigopt rsa_pss_saltlen:20 "$keys/message.json" | openssl base64 -A >"$keys/rsa-2048.pss-salt-20.signature"

# Keys that say in themselves that they are for RSASSA-PSS only: with the parameters we use, with others, with none.
openssl genpkey -quiet -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha256 \
    -pkeyopt rsa_pss_keygen_mgf1_md:sha256 -pkeyopt rsa_pss_keygen_saltlen:32 -out "$private/pss-only.pem"
openssl pkey -in "$private/pss-only.pem" -pubout -out "$keys/pss-only.spki.pem"
openssl dgst -sha256 -sign "$private/pss-only.pem" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 \
    "$keys/message.json" | openssl base64 -A >"$keys/pss-only.pss.signature"
openssl genpkey -quiet -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha512 \
    -pkeyopt rsa_pss_keygen_mgf1_md:sha512 -pkeyopt rsa_pss_keygen_saltlen:64 -out "$private/pss-sha512.pem"
openssl pkey -in "$private/pss-sha512.pem" -pubout -out "$keys/pss-only-sha512.spki.pem"
openssl genpkey -quiet -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out "$private/pss-any.pem"
openssl pkey -in "$private/pss-any.pem" -pubout -out "$keys/pss-only-without-parameters.spki.pem"

# Things people paste by mistake.
openssl req -x509 -new -key "$private/rsa-2048.pem" -subj "/CN=webhook-intake test" -days 1 -out "$keys/rsa-2048.certificate.pem"
openssl req -new -key "$private/rsa-2048.pem" -subj "/CN=webhook-intake test" -out "$keys/rsa-2048.certificate-request.pem"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$private/ec.pem"
openssl pkey -in "$private/ec.pem" -pubout -out "$keys/ec-p256.spki.pem"

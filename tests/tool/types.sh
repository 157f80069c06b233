#!/bin/sh
# Every type of key that token and OpenSSL share, in the hands of the openssl command: one loop, whose rows are at its end.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
echo "the message" >message
echo "another" >other
head -c 300000 /dev/zero >long
openssl dgst -sha256 -binary message >digest
id=10

# as_software SENTENCE FUNCTION: whether the function does with the token's key what it does with a software key of the
# type. What OpenSSL itself can't do (3.0 makes no CMS of EdDSA) is refused for both.
as_software() {
    key=soft.key
    cert=soft.crt
    if $2 >/dev/null 2>&1; then
        key=$uri
        cert=$type.crt
        ok "$type: $1, as with a software key" $2
    else
        key=$uri
        cert=$type.crt
        not_ok "$type: $1: refused, as with a software key" $2
    fi
}

cms_signs() {
    openssl cms -sign -binary -nodetach -md ${first:-sha512} -in message -signer $cert -inkey "$key" -outform DER -out cms &&
        openssl cms -verify -binary -inform DER -in cms -CAfile $cert -out cms.out && cmp cms.out message
}
cms_signs_pss() {
    openssl cms -sign -binary -nodetach -md sha256 -keyopt rsa_padding_mode:pss -in message -signer $cert -inkey "$key" -outform DER \
        -out cms && openssl cms -verify -binary -inform DER -in cms -CAfile $cert -out cms.out && cmp cms.out message
}
dgst_signs() {
    openssl dgst -out sig -sign "$key" message
}
bare_digest_signs() {
    openssl pkeyutl -sign -inkey "$key" -in digest -out sig
}

# signed DIGEST FILE KEY: whether KEY signs the file and the public half verifies that, but not another file
signed() {
    digest=${1:+-digest $1}
    openssl pkeyutl -sign -rawin $digest -inkey "$3" -in "$2" -out sig &&
        openssl pkeyutl -verify -rawin $digest -pubin -inkey $type.pub -in "$2" -sigfile sig &&
        ! openssl pkeyutl -verify -rawin $digest -pubin -inkey $type.pub -in other -sigfile sig
}

certified() {
    openssl req -new -x509 -key "$1" -subj "/CN=$type" -addext basicConstraints=critical,CA:TRUE -days 30 -out $2 &&
        openssl verify -check_ss_sig -CAfile $2 $2
}

requested() {
    openssl req -new -key "$uri" -subj "/CN=$type leaf" -out $type.csr &&
        openssl req -in $type.csr -noout -verify &&
        openssl x509 -req -in $type.csr -CA $type.crt -CAkey "$uri" -CAcreateserial -out leaf.crt &&
        openssl verify -CAfile $type.crt leaf.crt
}

# row TYPE "GENPKEY OPTIONS" "DIGESTS" TOKEN-TYPE [MECHANISM...]: no digests: the key hashes for itself
row() {
    type=$1
    generate=$2
    digests=$3
    first=${digests%% *}
    shift 3
    id=$((id + 1))
    odd_key $type $id "$@"
    uri="pkcs11:token=test;object=$type;type=private"
    ok "$type: a software key" openssl genpkey $generate -out soft.key
    ok "$type: with its certificate" certified soft.key soft.crt
    ok "$type: the public half comes as SubjectPublicKeyInfo" openssl pkey -in "$uri" -pubout -out $type.pub
    ok "$type: the text shows where the key is" openssl pkey -in "$uri" -noout -text
    says "$type: on a token" 'on a PKCS#11 token'
    never_says "$type: no private part is printed" '^priv\|prime1\|privateExponent'
    ok "$type: the key checks" openssl pkey -in "$uri" -noout -check
    for one in ${digests:-""}; do
        ok "$type: a message is signed${one:+ with $one}" signed "$one" message "$uri"
    done
    ok "$type: a long message is signed" signed "$first" long "$uri"
    ok "$type: a self-signed certificate" certified "$uri" $type.crt
    ok "$type: a request, and a certificate for it" requested
    ok "$type: the key file is written" openssl pkey -in "$uri" -out $type.key
    ok "$type: the key file signs" signed "$first" message $type.key
    as_software "cms signs" cms_signs
    as_software "a bare digest" bare_digest_signs
    if [ -z "$digests" ]; then
        not_ok "$type: no digest can be named" openssl dgst -sha256 -sign "$uri" -out sig message
        as_software "dgst without a digest" dgst_signs
    fi
}

ecdsa="sha256 sha1 sha224 sha384 sha512"
row p224 "-algorithm EC -pkeyopt ec_paramgen_curve:P-224" "$ecdsa" 06052b81040021
row p256 "-algorithm EC -pkeyopt ec_paramgen_curve:P-256" "$ecdsa" 06082a8648ce3d030107
row p384 "-algorithm EC -pkeyopt ec_paramgen_curve:P-384" "$ecdsa" 06052b81040022
row p521 "-algorithm EC -pkeyopt ec_paramgen_curve:P-521" "$ecdsa" 06052b81040023
row secp256k1 "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1" "$ecdsa" 06052b8104000a
row brainpoolP256r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1" "$ecdsa" 06092b2403030208010107
row brainpoolP384r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP384r1" "$ecdsa" 06092b240303020801010b
row brainpoolP512r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP512r1" "$ecdsa" 06092b240303020801010d
row ed25519 "-algorithm ED25519" "" $ED25519
row ed448 "-algorithm ED448" "" $ED448
row rsa-pss "-algorithm RSA-PSS" "sha256 sha384 sha512" $RSA_PSS
as_software "cms signs with PSS" cms_signs_pss
not_ok "rsa-pss: no other padding" openssl dgst -sha256 -sigopt rsa_padding_mode:pkcs1 -sign "$uri" -out sig message

# SoftHSM has one type for Ed25519 and X25519, whose public keys are of one length: the curve's name tells.
listed() {
    openssl storeutl -noout "pkcs11:token=test" | sed -n 's/^Total found: //p'
}
before=$(listed)
odd_key x25519 38 ed:06032b656e
odd_key x448 39 ed:06032b656f
for type in X25519 X448; do
    name=$(echo $type | tr X x)
    uri="pkcs11:token=test;object=$name;type=private"
    ok "$type: the public half" openssl pkey -in "$uri" -pubout -out one.pub
    openssl pkey -pubin -in one.pub -noout -text >out
    says "$type: is one of $type" "^$type Public-Key"
    ok "$type: the text" openssl pkey -in "$uri" -noout -text
    says "$type: says where the key is" 'on a PKCS#11 token'
    ok "$type: the key file" openssl pkey -in "$uri" -out one.key
    openssl pkey -in one.key -pubout -out other.pub
    ok "$type: shows the same public half" cmp one.pub other.pub
    not_ok "$type: no request" openssl req -new -key "$uri" -subj "/CN=$type" -out csr
    says "$type: as such keys do not sign" 'operation not supported for this keytype'
done
ok "a listing shows them with the $before others" test "$(listed)" -gt "${before:-1000}"

# A token has one type for RSA and RSA-PSS: what the key allows tells, or its certificate on the token.
odd_key by-certificate 40 $RSA_PSS
uri="pkcs11:token=test;object=by-certificate;type=private"
openssl pkey -in "$uri" -pubout -out by.pub
octets=$(openssl asn1parse -in by.pub | sed -n 's/^ *\([0-9]*\):d=1 .*BIT STRING.*/\1/p')
openssl asn1parse -in by.pub -strparse "$octets" -noout -out by.der >/dev/null
openssl rsa -RSAPublicKey_in -inform DER -in by.der -pubout -out by-rsa.pub 2>/dev/null
openssl req -new -x509 -key soft.key -subj /CN=ca -out ca.crt
openssl x509 -new -force_pubkey by-rsa.pub -subj /CN=by -CA ca.crt -CAkey soft.key -outform DER -out by.crt
not_ok "a key that allows PSS alone is of another type than its modulus" cmp by.pub by-rsa.pub
ok "the same key with an RSA certificate on the token" token_tool test "$PIN" --write-object by.crt --type cert --id 40 --label by-certificate
ok "is one of RSA" openssl pkey -in "$uri" -pubout -out by2.pub
ok "by its public half" cmp by2.pub by-rsa.pub
ok "and signs with PSS" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign "$uri" -out sig message
ok "which verifies" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -verify by2.pub -signature sig message
not_ok "but not with what the key does not allow" openssl dgst -sha256 -sign "$uri" -out sig message
tap_done

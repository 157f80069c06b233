#!/bin/sh
# Keys that no packaged token has, on one that libcrypto plays (tests/token/soft-token.c): SLH-DSA, which OpenSSL has from
# 3.5 on, and ML-DSA behind the list of functions of PKCS#11 2.40.
. "$(dirname "$0")/../lib/setup.sh"
mkdir "$work/keys"
SIGNET_TEST_KEYS=$work/keys
export SIGNET_TEST_KEYS
conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
cd "$work" || exit 99
echo "the message" >message
echo "another" >other

soft_key() {
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm $2 -out "keys/$1.pem" 2>/dev/null
}
soft_uri() {
    echo "pkcs11:token=soft;object=$1;type=private"
}

# signed TYPE KEY: whether the key signs the message, and the public half verifies that and nothing else
signed() {
    openssl pkeyutl -sign -rawin -inkey "$2" -in message -out sig &&
        openssl pkeyutl -verify -rawin -pubin -inkey $1.pub -in message -sigfile sig &&
        ! openssl pkeyutl -verify -rawin -pubin -inkey $1.pub -in other -sigfile sig
}
requested() {
    openssl req -new -key "$uri" -subj "/CN=$type leaf" -out leaf.csr && openssl req -in leaf.csr -noout -verify &&
        openssl x509 -req -in leaf.csr -CA $type.crt -CAkey "$uri" -CAcreateserial -out leaf.crt &&
        openssl verify -CAfile $type.crt leaf.crt
}
certified() {
    openssl req -new -x509 -key "$uri" -subj "/CN=$type" -addext basicConstraints=critical,CA:TRUE -days 30 -out $type.crt &&
        openssl verify -check_ss_sig -CAfile $type.crt $type.crt
}
cms_signs() { # CERTIFICATE KEY
    openssl cms -sign -binary -nodetach -md sha512 -in message -signer $1 -inkey "$2" -outform DER -out cms &&
        openssl cms -verify -binary -inform DER -in cms -CAfile $1 -out cms.out && cmp cms.out message
}

# The public half is the one of the key in the file, whether the token shows it as a SubjectPublicKeyInfo or as a value.
row() {
    type=$1
    uri=$(soft_uri $type)
    openssl pkey -in "keys/$type.pem" -pubout -out $type.pub || exit 99
    for shown in "" spki old; do
        export SIGNET_TEST_SOFT=$shown
        ok "$type${shown:+, $shown}: the public half" openssl pkey -in "$uri" -pubout -out again.pub
        ok "$type${shown:+, $shown}: is the key's" cmp again.pub $type.pub
    done
    unset SIGNET_TEST_SOFT
    ok "$type: a message is signed" signed $type "$uri"
    ok "$type: the key file is written" openssl pkey -in "$uri" -out $type.key
    ok "$type: and signs" signed $type $type.key
}
whole() {
    row $1
    ok "$type: the text shows where the key is" openssl pkey -in "$uri" -noout -text
    says "$type: on a token" 'on a PKCS#11 token'
    never_says "$type: no private part is printed" '^priv:\|^seed:'
    ok "$type: the key checks" openssl pkey -in "$uri" -noout -check
    ok "$type: a certificate" certified
    ok "$type: a request, and a certificate for it" requested
    not_ok "$type: no digest can be named" openssl dgst -sha256 -sign "$uri" -out sig message
    not_ok "$type: a context string is refused" openssl pkeyutl -sign -rawin -inkey "$uri" -in message -out sig -pkeyopt context-string:x
    if cms_signs $type.crt "keys/$type.pem" >/dev/null 2>&1; then
        ok "$type: cms signs, as with a software key" cms_signs $type.crt "$uri"
    else
        not_ok "$type: cms does not sign, with a software key neither" cms_signs $type.crt "$uri"
    fi
}

ok "a token with keys that are files: Ed25519" soft_key ed25519 ED25519
whole ed25519
if soft_key slh SLH-DSA-SHA2-128f; then
    for hash in SHA2 SHAKE; do
        for bits in 128 192 256; do
            soft_key $hash-${bits}f SLH-DSA-$hash-${bits}f
            row $hash-${bits}f
        done
        soft_key $hash-128s SLH-DSA-$hash-128s # those for small signatures take their time
        row $hash-128s
    done
    whole slh
    for bits in 192 256; do
        for hash in SHA2 SHAKE; do
            soft_key $hash-${bits}s SLH-DSA-$hash-${bits}s
            ok "$hash-${bits}s: the public half" openssl pkey -in "$(soft_uri $hash-${bits}s)" -pubout -out again.pub
            ok "$hash-${bits}s: of the software key" openssl pkey -in "keys/$hash-${bits}s.pem" -pubout -out soft.pub
            ok "$hash-${bits}s: is the same" cmp again.pub soft.pub
        done
    done
    for set in 44 65 87; do
        soft_key mldsa$set ML-DSA-$set
        row mldsa$set
    done
    whole mldsa65
    export SIGNET_TEST_SOFT=old
    ok "ML-DSA signs through a list of functions of 2.40" signed mldsa65 "$(soft_uri mldsa65)"
    ok "and SLH-DSA" signed slh "$(soft_uri slh)"
    unset SIGNET_TEST_SOFT
fi
tap_done

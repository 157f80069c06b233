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

soft_key() { # NAME ALGORITHM [OPTION...]
    soft_name=$1
    soft_type=$2
    shift 2
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm $soft_type -out "keys/$soft_name.pem" "$@" 2>/dev/null
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
# in_context KEY: whether it signs with a context, and the public half verifies that with it, and not without
in_context() {
    openssl pkeyutl -sign -rawin -inkey "$1" -in message -out sig -pkeyopt context-string:x &&
        openssl pkeyutl -verify -rawin -pubin -inkey $type.pub -in message -sigfile sig -pkeyopt context-string:x &&
        ! openssl pkeyutl -verify -rawin -pubin -inkey $type.pub -in message -sigfile sig
}
same_twice() {
    for sig in sig.1 sig.2; do
        openssl pkeyutl -sign -rawin -inkey "$1" -in message -out $sig -pkeyopt deterministic:1 || return 1
    done
    cmp sig.1 sig.2
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
    if in_context "keys/$type.pem" >/dev/null 2>&1; then
        ok "$type: signs with a context, as a software key" in_context "$uri"
        ok "$type: and deterministically, twice the same" same_twice "$uri"
        export SIGNET_TEST_SOFT=bare
        not_ok "$type: a context that the token does not know is refused" in_context "$uri"
        says "$type: by the token, which is named" "on token 'soft': C_SignInit: CKR_MECHANISM_PARAM_INVALID"
        ok "$type: without one that token signs" signed $type "$uri"
        unset SIGNET_TEST_SOFT
    else
        not_ok "$type: a context is refused, as by a software key" in_context "$uri"
    fi
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

# A key of RSA-PSS that is restricted to SHA-384 shakes hands by that, though both sides would rather have SHA-256.
. "$top/tests/tls/run.sh"
certified_for() { # KEY
    openssl req -new -x509 -key "$1" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 -out root.pem &&
        cp root.pem one-chain.pem
}
soft_key pss384 RSA-PSS -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 \
    -pkeyopt rsa_pss_keygen_saltlen:32
export SIGNET_TEST_SOFT=spki
type=pss384
uri=$(soft_uri pss384)
ok "a key that is restricted to SHA-384 makes its certificate" certified_for "$uri"
for version in 1.2 1.3; do
    ok "as a key in a file it shakes hands by TLS $version" mutual "" keys/pss384.pem one keys/pss384.pem one $version
    ok "and so on the token" mutual "" "$uri" one "$uri" one $version
done
not_ok "it does not sign by SHA-256" openssl dgst -sha256 -sign "$uri" -out sig message
says "for the reason that libcrypto has" "digest not allowed"
unset SIGNET_TEST_SOFT

soft_key ec EC -pkeyopt ec_paramgen_curve:P-256
for form in compressed uncompressed hybrid; do
    ok "openssl ec writes the $form point of a token's key" openssl ec -in "$(soft_uri ec)" -pubout -conv_form $form -out ours.pem
    ok "and of the key in a file" openssl ec -in keys/ec.pem -pubout -conv_form $form -out theirs.pem
    ok "which is the same" cmp ours.pem theirs.pem
done
not_ok "a digest that is set after the start is another one's" openssl dgst -sha256 -sigopt digest:SHA384 -sign "$(soft_uri ec)" -out sig message
tap_done

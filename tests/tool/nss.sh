#!/bin/sh
# Types of keys that NSS's database has and SoftHSM hasn't, or has in another way: ML-DSA (from NSS 3.131 or so), and
# Ed25519 (3.110), which is refused parameters and more room than it needs.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/run.sh"
mkdir "$work/nss"
printf '%s\n' "$PIN" >"$work/nss.pw"
LD_PRELOAD= env -u OPENSSL_CONF certutil -N -d "sql:$work/nss" -f "$work/nss.pw" || exit 99
SOFTHSM_MODULE=$(ls /usr/lib/*/libsoftokn3.so | head -n 1)
SIGNET_TEST_INIT_ARGS="configDir='sql:$work/nss' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
export SIGNET_TEST_INIT_ARGS
conf "default signet" "pkcs11-init-args = $SIGNET_TEST_INIT_ARGS"
cd "$work" || exit 99
echo "the message" >message
echo "another" >other

# verified KEY: whether it signs the message, and the public half verifies that and nothing else
verified() {
    openssl pkeyutl -sign -rawin -inkey "$1" -in message -out sig &&
        openssl pkeyutl -verify -rawin -pubin -inkey $type.pub -in message -sigfile sig &&
        ! openssl pkeyutl -verify -rawin -pubin -inkey $type.pub -in other -sigfile sig
}
requested() {
    openssl req -new -key "$uri" -subj "/CN=$type" -out $type.csr && openssl req -in $type.csr -noout -verify
}
certified() {
    openssl req -new -x509 -key "$uri" -subj "/CN=localhost" -addext subjectAltName=DNS:localhost -days 30 -out $type.crt &&
        openssl verify -check_ss_sig -CAfile $type.crt $type.crt && cp $type.crt $type-chain.pem && cp $type.crt root.pem
}
cms_signs() {
    openssl cms -sign -binary -nodetach -md sha512 -in message -signer $type.crt -inkey "$uri" -outform DER -out cms &&
        openssl cms -verify -binary -inform DER -in cms -CAfile $type.crt -out cms.out && cmp cms.out message
}

# row TYPE ID OPENSSL-TYPE MAKE-KEY-TYPE
row() {
    type=$1
    uri="pkcs11:token=NSS%20Certificate%20DB;object=$type;type=private"
    if ! env -u OPENSSL_CONF "$build/tests/token/make-key" "$SOFTHSM_MODULE" "NSS Certificate DB" "$PIN" $type $2 $4 2>/dev/null; then
        not_ok "$type: NSS has no such keys here" openssl pkey -in "$uri" -noout
        return
    fi
    if ! OPENSSL_CONF=/dev/null openssl genpkey -algorithm $3 -out soft.key 2>/dev/null; then
        not_ok "$type: OpenSSL has no such keys here" openssl pkey -in "$uri" -noout
        return
    fi
    ok "$type: the public half" openssl pkey -in "$uri" -pubout -out $type.pub
    ok "$type: the text shows where the key is" openssl pkey -in "$uri" -noout -text
    says "$type: on a token" 'on a PKCS#11 token'
    ok "$type: a message is signed" verified "$uri"
    ok "$type: a request" requested
    ok "$type: a certificate" certified
    ok "$type: the key file is written" openssl pkey -in "$uri" -out $type.key
    ok "$type: and signs" verified $type.key
    ok "$type: a mutual handshake, both keys on the token" mutual "" "$uri" $type $type.key $type 1.3
    if OPENSSL_CONF=/dev/null openssl req -new -x509 -key soft.key -subj /CN=x -out soft.crt &&
        OPENSSL_CONF=/dev/null openssl cms -sign -md sha512 -in message -signer soft.crt -inkey soft.key -outform DER -out cms 2>/dev/null; then
        ok "$type: cms signs, as with a software key" cms_signs
    else
        not_ok "$type: cms does not sign, with a software key neither" cms_signs
    fi
}

row ed25519 03 ED25519 $ED25519
row mldsa44 44 ML-DSA-44 mldsa:44
row mldsa65 65 ML-DSA-65 mldsa:65
row mldsa87 87 ML-DSA-87 mldsa:87
tap_done

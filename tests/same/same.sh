#!/bin/sh
# A key on a token behaves as the same key in a file: tests/same/same.c, for every type that this OpenSSL has, on the token that
# libcrypto plays, and on SoftHSM.
. "$(dirname "$0")/../lib/setup.sh"
mkdir "$work/keys"
export SIGNET_TEST_KEYS=$work/keys

# made NAME ALGORITHM [OPTION...]: a key in a file, which is on the soft token, too; false where this OpenSSL has no such keys
made() {
    made_name=$1
    made_type=$2
    shift 2
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm "$made_type" -out "$work/keys/$made_name.pem" "$@" 2>/dev/null
}

# soft NAME: the comparison with the soft token's key. That of RSA-PSS shows what it is restricted to.
soft() {
    case $1 in
    pss*) export SIGNET_TEST_SOFT=spki ;;
    *) unset SIGNET_TEST_SOFT ;;
    esac
    run_tap "soft token" "$build/tests/same/same" $1 "pkcs11:token=soft;object=$1;type=private" "$work/keys/$1.pem"
}

# on_softhsm NAME ID: the same with the key imported there
on_softhsm() {
    softhsm2-util --import "$work/keys/$1.pem" --token test --pin "$PIN" --label $1 --id $2 >/dev/null || exit 99
    run_tap SoftHSM "$build/tests/same/same" $1 "pkcs11:token=test;object=$1;type=private" "$work/keys/$1.pem" SoftHSM
}

made rsa RSA -pkeyopt rsa_keygen_bits:1024
made pss RSA-PSS -pkeyopt rsa_keygen_bits:1024
made pss384 RSA-PSS -pkeyopt rsa_keygen_bits:1024 -pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 \
    -pkeyopt rsa_pss_keygen_saltlen:32
for curve in 256 384 521; do
    made p$curve EC -pkeyopt ec_paramgen_curve:P-$curve
done
made ed25519 ED25519
made ed448 ED448
made x25519 X25519
made x448 X448
kinds=${SAME_KINDS:-"rsa pss pss384 p256 p384 p521 ed25519 ed448 x25519 x448"}
if [ -z "${SAME_KINDS:-}" ] && made mldsa44 ML-DSA-44; then
    made mldsa65 ML-DSA-65
    made mldsa87 ML-DSA-87
    made slh SLH-DSA-SHA2-128f
    kinds="$kinds mldsa44 mldsa65 mldsa87 slh"
fi

conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
for kind in $kinds; do
    soft $kind
done
unset SIGNET_TEST_SOFT
token_home "$work"
token_make test "$PIN" || exit 99
conf
id=10
for kind in ${SAME_ON_SOFTHSM:-rsa p256 ed25519 ed448}; do
    id=$((id + 1))
    on_softhsm $kind $id
done
tap_done

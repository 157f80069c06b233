# One PKI for the tests of this folder: a key file and a certificate for each key on the token, and software keys beside
# them; sourced after lib/setup.sh.

# token_identity TOKEN NAME: the key file and the certificate of a key on a token
token_identity() {
    uri="pkcs11:token=$1;object=$2;type=private"
    openssl pkey -in "$uri" -out "$work/$2.key" || exit 99
    pki_leaf "$work" "$uri" $2 "/CN=localhost" serverAuth,clientAuth DNS:localhost || exit 99
}

# soft_identity NAME GENPKEY-OPTION...: a software key, NAME-soft, and its certificate
soft_identity() {
    soft_name=$1-soft
    shift
    openssl genpkey "$@" -out "$work/$soft_name.key" 2>/dev/null || exit 99
    pki_leaf "$work" "$work/$soft_name.key" $soft_name "/CN=localhost" serverAuth,clientAuth DNS:localhost || exit 99
}

setup_tls() {
    setup_token
    odd_key ed25519 03 $ED25519
    odd_key ed448 04 $ED448
    odd_key rsa-pss 05 $RSA_PSS
    SIGNET_PROVIDER="$build/.libs/signet.so"
    conf
    pki_ca "$work" "Test CA" || exit 99
    for type in ec rsa ed25519 ed448 rsa-pss; do
        token_identity test $type
    done
    soft_identity ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    soft_identity rsa -algorithm RSA
    soft_identity ed25519 -algorithm ED25519
    soft_identity rsa-pss -algorithm RSA-PSS
    soft_identity ed448 -algorithm ED448
    # handshakes.c asks OpenSSL for it, too
    has_pqc && soft_identity ML-DSA-65 -algorithm ML-DSA-65
    return 0
}

# has_pqc: whether OpenSSL has ML-DSA and SLH-DSA (3.5)
has_pqc() {
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm ML-DSA-65 -out /dev/null 2>/dev/null
}

# Types of key beside those of setup_tls: curves with what make-key calls them, and what a token of our own has
# (tests/token/soft-token.c), as few packaged ones do.
CURVES="P-384=06052b81040022 P-521=06052b81040023 secp256k1=06052b8104000a brainpoolP256r1=06092b2403030208010107"
PQC="ML-DSA-44 ML-DSA-65 ML-DSA-87 SLH-DSA-SHA2-128f"
soft_module="$build/tests/token/.libs/soft-token.so"

# conf_modules ORDER MODULES [SETTING...]: our own token has its PIN by name, where it is there: a plain `pin` serves one
# token, which is the other
conf_modules() {
    conf_order=$1
    conf_modules=$2
    shift 2
    has_pqc && set -- "tokens = soft" "token.soft.uri = pkcs11:token=soft" "token.soft.pin = file:$work/pin" "$@"
    conf "$conf_order" "pkcs11-module = $conf_modules" "$@"
}

# setup_curves: identities for CURVES, on the token and in software; their names are in $curves
setup_curves() {
    curves=
    id=10
    for curve in $CURVES; do
        name=${curve%=*}
        curves="$curves $name"
        id=$((id + 1))
        odd_key $name $id ${curve#*=}
        token_identity test $name
        soft_identity $name -algorithm EC -pkeyopt ec_paramgen_curve:$name
    done
}

# setup_soft NAME...: identities on the token of our own; a name is OpenSSL's of the type, or has "their-" before it
setup_soft() {
    SIGNET_TEST_KEYS=$work/keys
    export SIGNET_TEST_KEYS
    mkdir -p "$work/keys"
    for name in "$@"; do
        OPENSSL_CONF=/dev/null openssl genpkey -algorithm ${name#their-} -out "$work/keys/$name.pem" || exit 99
    done
    conf "default signet" "pkcs11-module = $soft_module"
    for name in "$@"; do
        token_identity soft $name
    done
}

# What the tests of this folder stand on, in $work; sourced after lib/setup.sh.
hostile=$build/tests/hostile/.libs/hostile.so

# setup_hostile [SETTING...]: the keys behind the token, certificates for two of them, and a key file
setup_hostile() {
    mkdir "$work/keys"
    (
        export OPENSSL_CONF=/dev/null
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/keys/ec.pem" &&
            openssl genpkey -algorithm RSA -out "$work/keys/rsa.pem" &&
            openssl genpkey -algorithm ED25519 -out "$work/keys/ed.pem" &&
            openssl genpkey -algorithm X25519 -out "$work/keys/x.pem"
        for key in ec rsa; do
            printf '[req]\ndistinguished_name = dn\n[dn]\n' >"$work/req.cnf"
            openssl req -x509 -config "$work/req.cnf" -key "$work/keys/$key.pem" -subj "/CN=$key" -days 30 -out "$work/$key.crt" || exit 1
        done
    ) >/dev/null 2>&1 || exit 99
    SIGNET_TEST_KEYS=$work/keys
    export SIGNET_TEST_KEYS
    conf "default signet" "pkcs11-module = $hostile" "pin = $PIN" "$@"
    openssl pkey -in "pkcs11:token=soft;object=rsa;type=private" -out "$work/rsa.key" || exit 99
}

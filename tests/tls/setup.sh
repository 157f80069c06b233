# One PKI for the tests of this folder: a key file and a certificate for each key on the token, and software keys beside
# them; sourced after lib/setup.sh.
setup_tls() {
    setup_token
    odd_key ed25519 03 $ED25519
    odd_key ed448 04 $ED448
    odd_key rsa-pss 05 $RSA_PSS
    SIGNET_PROVIDER="$build/.libs/signet.so"
    conf
    pki_ca "$work" "Test CA" || exit 99
    for type in ec rsa ed25519 ed448 rsa-pss; do
        uri="pkcs11:token=test;object=$type;type=private"
        openssl pkey -in "$uri" -out "$work/$type.key" || exit 99
        pki_leaf "$work" "$uri" $type "/CN=localhost" serverAuth,clientAuth DNS:localhost || exit 99
    done
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ec-soft.key" 2>/dev/null || exit 99
    openssl genpkey -algorithm RSA -out "$work/rsa-soft.key" 2>/dev/null || exit 99
    openssl genpkey -algorithm ED25519 -out "$work/ed25519-soft.key" 2>/dev/null || exit 99
    openssl genpkey -algorithm RSA-PSS -out "$work/rsa-pss-soft.key" 2>/dev/null || exit 99
    openssl genpkey -algorithm ED448 -out "$work/ed448-soft.key" 2>/dev/null || exit 99
    # ML-DSA where OpenSSL has it (3.5); handshakes.c asks OpenSSL, too
    openssl genpkey -algorithm ML-DSA-65 -out "$work/mldsa-soft.key" 2>/dev/null && mldsa=mldsa
    for type in ec rsa ed25519 ed448 rsa-pss ${mldsa:-}; do
        pki_leaf "$work" "$work/$type-soft.key" $type-soft "/CN=localhost" serverAuth,clientAuth DNS:localhost || exit 99
    done
}

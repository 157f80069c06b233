# NSS softokn: the database of Firefox and of certutil, in the process itself. It wants to be told where the database is.
title="NSS softokn"
types="rsa2048 p256 p384 ed25519 mldsa44 mldsa65 mldsa87"
module=$(ls /usr/lib/*/libsoftokn3.so 2>/dev/null | head -n 1)
token="NSS Certificate DB"
SIGNET_TEST_INIT_ARGS="configDir='sql:$home' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
export SIGNET_TEST_INIT_ARGS
case $release in
bookworm) cannot key 'ed25519' '0x70$' "since NSS 3.110" ;;
esac
case $release in
bookworm | trixie) cannot key 'mldsa*' ': 0x70$' "since NSS 3.131" ;;
esac

token_start() {
    outside certutil -N -d "sql:$home" -f "$work/pin"
}

token_settings() {
    echo "pkcs11-module = $module"
    echo "pkcs11-init-args = $SIGNET_TEST_INIT_ARGS"
}

make_key() {
    key_by_program
}

token_stop() {
    unset SIGNET_TEST_INIT_ARGS
}

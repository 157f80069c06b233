# An application's files for the tests of this folder, in $work (app.h); sourced after lib/setup.sh.

# setup_app [SETTING...]
setup_app() {
    setup_token
    SIGNET_PROVIDER="$build/.libs/signet.so"
    conf "default signet" "pkcs11-module = $counter" "pin = $PIN" "$@"
    rsa="pkcs11:token=test;object=rsa;type=private"
    openssl pkey -in "$rsa" -out "$work/rsa.key" || exit 99
    openssl pkey -in "$rsa" -pubout -out "$work/rsa.pub" || exit 99
    openssl pkey -in "pkcs11:token=test;object=ec;type=private" -pubout -out "$work/ec.pub" || exit 99
    printf 'a secret that was encrypted' | openssl pkeyutl -encrypt -pubin -inkey "$work/rsa.pub" \
        -pkeyopt rsa_padding_mode:oaep -out "$work/cipher" || exit 99
}

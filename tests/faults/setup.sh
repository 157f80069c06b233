# An application's files for the tests of this folder, in $work (app.h); sourced after lib/setup.sh.

# setup_app [SETTING...]
setup_app() {
    setup_token
    token_tool test "$PIN" --keypairgen --key-type EC:prime256v1 --label agree --id 33 --sensitive --usage-derive \
        >/dev/null 2>&1 || exit 99
    SIGNET_PROVIDER="$build/.libs/signet.so"
    conf "default signet" "pkcs11-module = $counter" "pin = $PIN" "$@"
    rsa="pkcs11:token=test;object=rsa;type=private"
    openssl pkey -in "$rsa" -out "$work/rsa.key" || exit 99
    openssl pkey -in "$rsa" -pubout -out "$work/rsa.pub" || exit 99
    openssl pkey -in "pkcs11:token=test;object=ec;type=private" -pubout -out "$work/ec.pub" || exit 99
    printf 'a secret that was encrypted' | openssl pkeyutl -encrypt -pubin -inkey "$work/rsa.pub" \
        -pkeyopt rsa_padding_mode:oaep -out "$work/cipher" || exit 99
    agree="pkcs11:token=test;object=agree;type=private"
    openssl pkey -in "$agree" -out "$work/agree.key" || exit 99
    openssl pkey -in "$agree" -pubout -out "$work/agree.pub" || exit 99
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$work/peer.key" 2>/dev/null || exit 99
    openssl pkey -in "$work/peer.key" -pubout -out "$work/peer.pub" || exit 99
    openssl pkeyutl -derive -inkey "$work/peer.key" -peerkey "$work/agree.pub" -out "$work/secret" || exit 99
}

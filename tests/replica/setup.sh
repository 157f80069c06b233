# One key on several tokens, each behind a module of its own: copies of the module that counts and misbehaves, and of
# SoftHSM. Sourced after lib/setup.sh.

# setup_replicas NAME...: the tokens; $work/NAME.so is each one's module, $work/NAME.counts its page
setup_replicas() {
    token_home "$work"
    export SIGNET_PROVIDER="$build/.libs/signet.so"
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/www.pem" 2>/dev/null || exit 99
    for name in "$@"; do
        token_make "$name" "$PIN" || exit 99
        softhsm2-util --import "$work/www.pem" --token "$name" --label www --id 01 --pin "$PIN" >/dev/null || exit 99
        cp "$counter" "$work/$name.so" && cp "$SOFTHSM_MODULE" "$work/$name-behind.so" || exit 99
        printf 'SIGNET_TEST_%s\n' "MODULE=$work/$name-behind.so" "COUNTS=$work/$name.counts" "ONLY=$name" >"$work/$name.so.settings"
    done
}

# conf_replicas NAME...: a configuration with these tokens, in this order
conf_replicas() {
    tokens=
    set -- "$@" --
    while [ "$1" != -- ]; do
        tokens="${tokens:+$tokens, }$1"
        set -- "$@" "token.$1.uri = pkcs11:token=$1" "token.$1.pkcs11-module = $work/$1.so" "token.$1.pin = file:$work/pin"
        shift
    done
    shift
    conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $work/${tokens%%,*}.so" "tokens = $tokens" "$@"
    export OPENSSL_CONF="$work/openssl.cnf"
}

# pki_replicas: root.pem, www-chain.pem and the key file www.key
pki_replicas() {
    pki_ca "$work" "Test CA" || exit 99
    openssl pkey -in "pkcs11:object=www;type=private" -out "$work/www.key" || exit 99
    pki_leaf "$work" "$work/www.key" www "/CN=localhost" serverAuth,clientAuth DNS:localhost || exit 99
}

# A token with a key, its key file, and how the program tells its stories; sourced after lib/setup.sh.
setup_forks() {
    setup_token
    SIGNET_PROVIDER="$build/.libs/signet.so"
    conf
    openssl pkey -in "pkcs11:token=test;object=ec;type=private" -out "$work/ec.key" || exit 99
}

conf_without_pin() {
    conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $SOFTHSM_MODULE" "$@"
}

# story NAME [NUMBER]: its lines join those of the script
story() {
    "$build/tests/fork/forks" "$1" "$work" $2 >"$work/story" 2>"$work/err"
    grep -q '^1\.\.' "$work/story" || echo "not ok - the story '$1' ended early" >>"$work/story"
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*)
            tap_count=$((tap_count + 1))
            case $line in not*) tap_failed=$((tap_failed + 1)) ;; esac
            echo "$line" | sed "s/ok [0-9]* -/ok $tap_count -/; s/^not ok -/not ok $tap_count -/"
            ;;
        esac
    done <"$work/story"
    sed 's/^/# /' "$work/err" | head -200
}

# calls FUNCTION: how often the counting module was called
calls() {
    "$build/tests/token/show-counts" "$SIGNET_TEST_COUNTS" "$1"
}

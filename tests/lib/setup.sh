# What every test with a token needs; sourced. Sets $work, removed at the end, and $top (the sources), $build (what was built).
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${abs_top_builddir:-$PWD}
. "$top/scripts/token.sh"
. "$top/scripts/pki.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/signet-test.XXXXXX") || exit 99
. "$top/tests/lib/tap.sh"
trap '[ $tap_count -eq 0 ] || tap_end; rm -rf "$work"' EXIT # without a line, a program prints them, or this is no test
export OPENSSL_MODULES="$build/.libs"
signet="$build/signet"
counter="$build/tests/token/.libs/token-counter.so"
PIN=24680
printf '%s\n' "$PIN" >"$work/pin"
chmod 600 "$work/pin"

# A foreign program that loads our sanitized provider needs the sanitizer's runtime first.
if [ "${SANITIZER:-none}" = asan ]; then
    export LD_PRELOAD="$(${CC:-gcc} -print-file-name=libasan.so)"
    export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
elif [ "${SANITIZER:-none}" = tsan ]; then
    export LD_PRELOAD="$(${CC:-gcc} -print-file-name=libtsan.so)"
    export TSAN_OPTIONS="die_after_fork=0:${TSAN_OPTIONS:-}"
fi

# setup_token: one token "test" with an EC and an RSA key
setup_token() {
    token_home "$work"
    token_make test "$PIN" || exit 99
    token_key test "$PIN" EC:prime256v1 ec 01 || exit 99
    token_key test "$PIN" rsa:2048 rsa 02 || exit 99
}

# odd_key NAME ID TYPE [MECHANISM...]: one that pkcs11-tool can't make (tests/token/make-key.c)
odd_key() {
    env -u OPENSSL_CONF "$build/tests/token/make-key" "$SOFTHSM_MODULE" test "$PIN" "$@" || exit 99
}
ED25519=ed:06032b6570
ED448=ed:06032b6571
RSA_PSS="rsa 0x0d 0x43 0x44 0x45" # CKM_RSA_PKCS_PSS, and by hashing mechanisms

# conf [ORDER [SETTING...]]: the configuration from here on
conf() {
    conf_order_asked=${1:-default signet}
    [ $# -gt 0 ] && shift
    conf_write "$work/openssl.cnf" "$conf_order_asked" "pkcs11-module = $SOFTHSM_MODULE" "pin = file:$work/pin" "$@"
    export OPENSSL_CONF="$work/openssl.cnf"
}

# peers_file FILE URI: a key file in the form of another provider, which has no public half
peers_file() {
    printf '%s\n' 'asn1 = SEQUENCE:uri_sect' '[uri_sect]' 'a = VISIBLESTRING:PKCS\#11 Provider URI v1.0' "b = UTF8String:$2" >"$1.asn1"
    OPENSSL_CONF=/dev/null openssl asn1parse -genconf "$1.asn1" -noout -out "$1.der" || exit 99
    {
        echo '-----BEGIN PKCS#11 PROVIDER URI-----'
        OPENSSL_CONF=/dev/null openssl base64 -in "$1.der"
        echo '-----END PKCS#11 PROVIDER URI-----'
    } >"$1"
}

#!/bin/sh
# The handshake matrix in every order of providers and under every property query.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
show="$build/tests/token/show-counts"
total=0

# matrix TITLE good|no-token ORDER [SETTING...]
matrix() {
    title=$1
    kind=$2
    shift 2
    conf "$@"
    run_tap "$title" "$build/tests/tls/handshakes" "$work" "$kind"
    total=$((total + $(sed -n 's/^# \([0-9]*\) handshakes$/\1/p' "$work/tap")))
}

prefer="default_properties = ?provider=signet"
matrix "default first" good "default signet"
matrix "ours first" good "signet default"
matrix "default first, ?provider=signet" good "default signet" "$prefer"
matrix "ours first, ?provider=signet" good "signet default" "$prefer"
matrix "default first, ?provider=default" good "default signet" "default_properties = ?provider=default"
matrix "two of ours, default first" good "default signet signet2"
matrix "two of ours, default last" good "signet2 signet default"
matrix "two of ours, default between" good "signet default signet2"
matrix "two of ours, ?provider=signet2" good "signet signet2 default" "default_properties = ?provider=signet2"
matrix "provider=default, default first" no-token "default signet" "default_properties = provider=default"
matrix "provider=default, ours first" no-token "signet default" "default_properties = provider=default"

export SIGNET_TEST_COUNTS="$work/counts"
matrix "counted" good "signet default" "pkcs11-module = $counter" "$prefer"
ok "all this asked for no secret part of a key" test "$("$show" "$work/counts" secrets)" = 0
ok "wrapped no key" test "$("$show" "$work/counts" WrapKey)" = 0
ok "made none" test "$("$show" "$work/counts" GenerateKeyPair)$("$show" "$work/counts" CreateObject)" = 00
ok "and left hashing, verification and random numbers to libcrypto" \
    test "$("$show" "$work/counts" DigestInit)$("$show" "$work/counts" VerifyInit)$("$show" "$work/counts" GenerateRandom)" = 000
echo "# $total handshakes passed with OpenSSL $(openssl version | cut -d' ' -f2)"
tap_done

#!/bin/sh
# The handshake matrix in every order of providers and under every property query.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
modules=$SOFTHSM_MODULE
has_pqc && setup_soft ML-DSA-65 && modules=$modules,$soft_module
total=0

# matrix SENTENCE good|no-token ORDER [SETTING...]
matrix() {
    title=$1
    kind=$2
    order=$3
    shift 3
    conf_modules "$order" "$modules" "$@"
    run_tap "$title" timeout 600 "$build/tests/tls/handshakes" "$work" "$kind"
    total=$((total + $(sed -n 's/^# \([0-9]*\) handshakes$/\1/p' "$work/tap")))
}

query="default_properties = ?provider=signet"
matrix "default first" good "default signet"
matrix "ours first" good "signet default"
matrix "default first, ?provider=signet" good "default signet" "$query"
matrix "ours first, ?provider=signet" good "signet default" "$query"
matrix "two of ours, default first" good "default signet signet2"
matrix "two of ours, default last" good "signet2 signet default"
matrix "two of ours, default between" good "signet default signet2"
matrix "two of ours, ?provider=signet2" good "signet signet2 default" "default_properties = ?provider=signet2"
matrix "provider=default" no-token "signet default" "default_properties = provider=default"
echo "# $total handshakes passed with OpenSSL $(openssl version | cut -d' ' -f2)"
tap_done

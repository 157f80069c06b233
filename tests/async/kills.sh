#!/bin/sh
# Connections that die while the token signs for them.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter" "workers = 8"
export SIGNET_TEST_COUNTS="$work/counts"
export GLIBC_TUNABLES="${GLIBC_TUNABLES:+$GLIBC_TUNABLES:}glibc.malloc.tcache_count=0"
run_tap "" "$build/tests/async/kills" "$work" "${KILLS:-800}"
tap_done

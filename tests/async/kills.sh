#!/bin/sh
# Connections that die while the token signs for them.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter"
export SIGNET_TEST_COUNTS="$work/counts"
run_tap "" "$build/tests/async/kills" "$work" "${KILLS:-800}"
tap_done

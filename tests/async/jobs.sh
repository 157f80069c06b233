#!/bin/sh
# Handshakes in ASYNC jobs.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter" "deadline = 1"
export SIGNET_TEST_COUNTS="$work/counts"
run_tap "" "$build/tests/async/jobs" "$work"
tap_done

#!/bin/sh
# How many PKCS#11 calls things cost.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter"
for type in ec rsa; do
    export SIGNET_TEST_COUNTS="$work/counts-$type"
    run_tap "" "$build/tests/tls/calls" "$work" $type
done
tap_done

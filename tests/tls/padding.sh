#!/bin/sh
# What is seen of a token that removes RSA padding itself.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf "default signet" "pkcs11-module = $counter"
export SIGNET_TEST_COUNTS="$work/counts" SIGNET_TEST_WITHOUT=3 # CKM_RSA_X_509
run_tap "" "$build/tests/tls/padding"
tap_done

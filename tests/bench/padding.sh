#!/bin/sh
# What time tells of RSA padding, with a token that removes it itself: make bench-padding. BENCH_SAMPLES is how many there
# are of each kind of data.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
uri="pkcs11:token=test;object=rsa;type=private"
openssl req -new -x509 -key "$uri" -subj /CN=localhost -days 1 -out "$work/rsa.crt" || exit 99
conf "default signet" "pkcs11-module = $counter"
export SIGNET_TEST_COUNTS="$work/counts" SIGNET_TEST_WITHOUT=3 # CKM_RSA_X_509
"$build/tests/bench/padding" "${BENCH_SAMPLES:-2000}" "$work/rsa.crt"

#!/bin/sh
# A server's long day: see soak.c. SOAK_SECONDS says how long (10).
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/setup.sh"
setup_tls
cd "$work" || exit 99
conf "default signet" "pkcs11-module = $counter" "deadline = 8"
exec env SIGNET_TEST_COUNTS="$work/counts" "$build/tests/life/soak" "${SOAK_SECONDS:-10}" "$work" "$work/counts" \
    "${SANITIZER:-none}"

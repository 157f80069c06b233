#!/bin/sh
# How many PKCS#11 calls things cost.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter"
lines=0
for type in ec rsa; do
    SIGNET_TEST_COUNTS="$work/counts-$type" "$build/tests/tls/calls" "$work" $type >"$work/out" 2>"$work/err"
    grep -q '^1\.\.' "$work/out" || echo "not ok - $type ended early" >>"$work/out"
    while IFS= read -r line; do
        case $line in "ok "* | "not ok "*) lines=$((lines + 1)); echo "$line" | sed "s/ok [0-9]* -/ok $lines -/" ;; esac
    done <"$work/out"
    sed 's/^/# /' "$work/err"
done
echo "1..$lines"

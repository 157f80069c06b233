#!/bin/sh
# A token with 2,004 private keys: all are listed, and one of them is loaded about as fast as the token finds it.
. "$(dirname "$0")/../lib/setup.sh"
many="$build/tests/faults/many"
keys=2004
token_home "$work"
token_make test "$PIN" || exit 99
made=0
# In pieces: SoftHSM gets slower with all that one process has made.
while [ $made -lt $keys ]; do
    "$many" make "$SOFTHSM_MODULE" "$PIN" $made $((made + 167)) || exit 99
    made=$((made + 167))
done
SIGNET_PROVIDER="$build/.libs/signet.so"
conf

ok "signet list" "$signet" list "pkcs11:token=test;type=private"
grep -o 'object=many-[0-9]*' "$work/out" | sort -u >"$work/listed"
ok "lists all $keys private keys ($(wc -l <"$work/listed"))" test "$(wc -l <"$work/listed")" -eq $keys

# Each in a process of its own, since the first search is the one that costs, and by the processor time of the process,
# which does not depend on what else the machine does.
for run in 1 2 3 4 5; do
    "$many" search "$SOFTHSM_MODULE" "$PIN" many-1500 >>"$work/searches" &&
        "$many" load "pkcs11:token=test;object=many-1500;type=private" >>"$work/loads" || exit 99
done
median() {
    sort -n "$1" | sed -n 3p
}
search=$(median "$work/searches")
load=$(median "$work/loads")
ratio=$(awk "BEGIN { printf \"%.2f\", $load / $search }")
echo "# loading a key takes $load s of processor time, the token's own search $search s"
ok "loading one of $keys keys takes $ratio times the token's own search, at most 2" \
    awk "BEGIN { exit !($ratio <= 2) }"
tap_done

#!/bin/sh
# make bench-replicas: how much two and four tokens do beside one, each with one call at a time of 2 ms, and handshakes
# while one of three is killed and returns. SECONDS_EACH, THREADS, ROUNDS and DELAY_US may be set.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_replicas r1 r2 r3 r4
conf_replicas r1 r2 r3 r4
pki_replicas
rate="$build/tests/replica/rate"
uri='pkcs11:object=www;type=private'
export SIGNET_TEST_FAULTS="serialise SignInit:delay=${DELAY_US:-2000} Sign:delay=${DELAY_US:-2000}"

round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
    for names in "r1" "r1 r2" "r1 r2 r3 r4"; do
        conf_replicas $names
        printf '%s\t' "$(echo $names | wc -w)"
        "$rate" "$uri" "${THREADS:-16}" "${SECONDS_EACH:-2}"
    done
    round=$((round + 1))
done >"$work/rates"
cat "$work/rates" >&2
# The median of the rounds.
sort -k1,1n -k2,2n "$work/rates" | awk -F '\t' -v delay="${DELAY_US:-2000}" '
    { rates[$1, ++count[$1]] = $2; failed += $3 }
    function median(tokens) { return rates[tokens, int((count[tokens] + 1) / 2)] }
    END {
        printf "signatures/s, tokens of one call at a time, %d us each: 1: %.0f, 2: %.0f, 4: %.0f; failed: %d\n", \
            delay, median(1), median(2), median(4), failed
        printf "2 tokens / 1: %.2f (to reach: 1.9); 4 tokens / 1: %.2f (3.8)\n", median(2) / median(1), median(4) / median(1)
    }'

conf_replicas r1 r2 r3
echo "TLS 1.3 handshakes with a key on three tokens, of which the second is killed and returns:"
echo "phase	made	failed	signed by r1	r2	r3"
"$rate" "$uri" "${THREADS:-16}" "$((${SECONDS_EACH:-2} * 4))" "$work" "$work/r1.counts" "$work/r2.counts" "$work/r3.counts"
exit 0

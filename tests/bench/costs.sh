#!/bin/sh
# What one signature costs Signet beside instructions: locks, looks at the clock, memory and calls about signals. Counted,
# not timed. It makes exactly two calls of the token (tests/tls/calls.sh).
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
few=20
many=120

# counted KEY TIMES: a line of counts into KEY.TIMES
counted() {
    SIGNET_TEST_COSTS="$work/$1.$2" LD_PRELOAD="$build/tests/bench/.libs/costs.so" \
        "$build/tests/bench/sign" "pkcs11:token=test;object=$1;type=private" "$2" && [ -s "$1.$2" ]
}

# each KEY COST: for one signature, in hundredths, without what comes once
each() {
    few_cost=$(sed -n "s/.*\<$2=\([0-9]*\).*/\1/p" "$1.$few")
    many_cost=$(sed -n "s/.*\<$2=\([0-9]*\).*/\1/p" "$1.$many")
    echo $(((many_cost - few_cost) * 100 / (many - few)))
}

# at_most KEY COST MOST: but for what is done every 100 ms, on a busy machine for every third signature
at_most() {
    cost=$(each "$1" "$2")
    echo "# $1: $2 of a signature: $((cost / 100)).$(printf %02d $((cost % 100)))"
    ok "$1: $2 of a signature are at most $3" test "$cost" -le $(($3 * 100 + 40))
}

for key in ec rsa; do
    ok "$key: what $few signatures cost is counted" counted $key $few
    ok "$key: and $many" counted $key $many
    ok "$key: locks are taken at all" test "$(each $key locks)" -ge 100
    at_most $key locks 4
    at_most $key clocks 2
    at_most $key empty_frees 0
    at_most $key allocations 2
    at_most $key signal_calls 4
done
tap_done

#!/bin/sh
# What it costs that Signet is active and not used: software handshakes and the reading of software keys, with and without it
# in the configuration (docs/performance.md says where that goes). Counted, not timed; what comes once, such as its start, is
# left out. No token is there, nor needed.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
conf "default"
pki_ca "$work" "Test CA" || exit 99
soft_identity ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
few=1
many=3

# counted WHAT TIMES: instructions; empty if it fails
counted() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$build/tests/bench/unused" "$1" "$2" "$work" 2>"$work/count" &&
        sed -n 's/^.*Collected : \([0-9]*\).*/\1/p' "$work/count"
}

# each WHAT: instructions of one
each() {
    few_cost=$(counted "$1" $few)
    many_cost=$(counted "$1" $many)
    [ -n "$few_cost" ] && [ -n "$many_cost" ] && echo $(((many_cost - few_cost) / (many - few)))
}

# without WHAT: once for each, since it takes some seconds
without() {
    conf "default"
    without=$(each $1)
    ok "$1: without Signet it is counted" test "${without:-0}" -gt 10000
}

# costs LIMIT WHAT [SETTING...]: so many hundredths of the speed without Signet must be left
costs() {
    limit=$1
    what=$2
    shift 2
    conf "default signet" "$@"
    with=$(each $what)
    settings="${*:+ with }$*"
    ok "$what$settings: it is counted" test "${with:-0}" -gt 10000
    echo "# $what$settings: $with instructions, $without without Signet: $((without * 100 / ${with:-1})) %"
    ok "$what$settings: at least $limit % of the speed without Signet" test $((${without:-0} * 100)) -ge $((${with:-1} * limit))
}

# Three limits: as it is; with one type and Signet's own key files; without key files, where the types are others.
all() {
    without $1
    costs $2 $1
    costs $3 $1 "key-types = ec" "key-files = signet"
    costs $4 $1 "key-types = rsa" "key-files = none"
}
all pem 60 90 95
all certificate 75 88 97
all ec-tls1.3 88 95 97
tap_done

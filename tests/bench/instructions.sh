#!/bin/sh
# Where the instructions of a signature go: in the token's module, in Signet, and in the libraries that both use. Counted, not
# timed, so that the figures are the same on a busy machine. Part of `make check`; `make bench` has the seconds.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
few=20
many=120

# counted KEY TIMES: callgrind's files of so many signatures
counted() {
    valgrind --tool=callgrind --callgrind-out-file="$1.$2" "$build/tests/bench/sign" "pkcs11:token=test;object=$1;type=private" $2 2>&1 &&
        callgrind_annotate --threshold=100 "$1.$2" >"$1.$2.self" && callgrind_annotate --threshold=100 --inclusive=yes "$1.$2" >"$1.$2.all"
}

# spent FILE PATTERN: instructions in the functions that fit
spent() {
    awk -v fits="$2" '$0 ~ fits && $1 ~ /^[0-9,]+$/ { gsub(/,/, "", $1); n += $1 } END { printf "%d\n", n }' "$1"
}

# each KEY SUFFIX PATTERN: for one signature, without what comes once
each() {
    echo $((($(spent "$1.$many.$2" "$3") - $(spent "$1.$few.$2" "$3")) / (many - few)))
}

# RSA's own cost varies with the blinding, so that only what Signet adds is looked at there.
for key in ec rsa; do
    ok "$key: $few signatures are counted" counted $key $few
    ok "$key: $many signatures" counted $key $many
    own=$(each $key self '\[.*/signet\.so\]')
    ok "$key: Signet's own instructions are counted" test "$own" -gt 500
    ok "$key: they are less than 8,000" test "$own" -lt 8000 # 3,300 optimised, 5,100 not
    echo "# $key: Signet's own: $own instructions a signature"
    digest=$(each $key all ':prov_key_digest \[')
    ok "$key: what it takes to have the digest is counted" test "$digest" -gt 50
    ok "$key: the digest is at hand by both names that libssl has for it" test "$digest" -lt 300 # 80 if it is; 3,200 to fetch it
    echo "# $key: to have the digest: $digest instructions a signature"
done
total=$(each ec all 'PROGRAM TOTALS')
token=$(each ec all ':C_Sign(Init)? \[.*softhsm')
echo "# ec: $total instructions a signature, $token of them in the module"
ok "ec: the module's are counted" test "$token" -gt 100000
ok "ec: nine of ten instructions are the module's" test $((token * 10)) -gt $((total * 9))
tap_done

#!/bin/sh
# The handshake matrix in every order of providers and under every property query.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
total=0
lines=0
failed=0

# matrix SENTENCE good|no-token ORDER [SETTING...]: runs the program, renumbering its lines
matrix() {
    title=$1
    kind=$2
    shift 2
    conf "$@"
    "$build/tests/tls/handshakes" "$work" "$kind" >"$work/out" 2>"$work/err"
    status=$?
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*)
            lines=$((lines + 1))
            echo "$line" | sed "s/ok [0-9]* - /ok $lines - $title: /"
            ;;
        esac
    done <"$work/out"
    sed -n 's/^# \([0-9]* handshakes\)$/# '"$title"': \1/p' "$work/out"
    total=$((total + $(sed -n 's/^# \([0-9]*\) handshakes$/\1/p' "$work/out")))
    [ $status -eq 0 ] || { failed=1; sed 's/^/# /' "$work/err"; }
    # A program that died says nothing of what it did not run.
    grep -q '^1\.\.' "$work/out" || { lines=$((lines + 1)); echo "not ok $lines - $title: ended early ($status)"; }
}

query="default_properties = ?provider=signet"
matrix "default first" good "default signet"
matrix "ours first" good "signet default"
matrix "default first, ?provider=signet" good "default signet" "$query"
matrix "ours first, ?provider=signet" good "signet default" "$query"
matrix "two of ours, default first" good "default signet signet2"
matrix "two of ours, default last" good "signet2 signet default"
matrix "two of ours, default between" good "signet default signet2"
matrix "two of ours, ?provider=signet2" good "signet signet2 default" "default_properties = ?provider=signet2"
matrix "provider=default" no-token "signet default" "default_properties = provider=default"
echo "# $total handshakes passed with OpenSSL $(openssl version | cut -d' ' -f2)"
echo "1..$lines"
exit $failed

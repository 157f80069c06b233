#!/bin/sh
# Every fault of a token: run.sh smoke (what `make check` runs of it), or full (`make check-faults`).
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_app "deadline = 0.3"
# Four cases run at a time, each with a SoftHSM of its own.
for number in 0 1 2 3; do
    cp -r "$work/tokens" "$work/tokens-$number"
    sed "s,/tokens\$,/tokens-$number," "$SOFTHSM2_CONF" >"$work/softhsm-$number.conf"
done
# SoftHSM signs no messages (PKCS#11 3.0): faults of those functions are in tests/life/messages.sh.
functions=$(cat "$top"/pkcs11/*/*.c | grep -o 'TOK_\(CALL\|DO\)([^;]*' | grep -o '\<C_[A-Z][A-Za-z]*' | sort -u |
    grep -v -x -e C_MessageSignInit -e C_SignMessage -e C_MessageSignFinal)
"$build/tests/faults/faults" "${1:-smoke}" "$work" $functions

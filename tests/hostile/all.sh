#!/bin/sh
# What `make check-hostile` runs; the last line counts all. HOSTILE_SEED, HOSTILE_RANDOM and HOSTILE_STRIDE say which.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
tap_planned=no # the lines are those of the programs
setup_hostile "deadline = 0.1"
seed=${HOSTILE_SEED:-$(date +%s)}
passed=0
failed=0

# With messages of 3.0, by two calls alone, and with public keys that are all in CKA_PUBLIC_KEY_INFO.
for shown in "" old spki; do
    echo "== ${shown:-messages}"
    SIGNET_TEST_SOFT=$shown "$build/tests/hostile/drive" "$hostile" "$work" "${HOSTILE_STRIDE:-1}" "${HOSTILE_RANDOM:-2000}" "$seed" >"$work/lines" 2>&1
    cat "$work/lines"
    last=$(grep '^[0-9]* passed, [0-9]* failed$' "$work/lines" | tail -n 1)
    [ -n "$last" ] || last="0 passed, 1 failed" # it ended early
    passed=$((passed + ${last%% *}))
    bad=${last#*, }
    failed=$((failed + ${bad%% *}))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

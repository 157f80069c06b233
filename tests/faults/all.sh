#!/bin/sh
# What `make check-faults` runs; the last line counts all.
folder=$(dirname "$0")
out=$(mktemp "${TMPDIR:-/tmp}/signet-faults.XXXXXX") || exit 99
trap 'rm -f "$out"' EXIT
passed=0
failed=0

# lines COMMAND...: a test whose lines are counted
lines() {
    "$@" >"$out" 2>&1
    status=$?
    cat "$out"
    passed=$((passed + $(grep -c '^ok ' "$out")))
    bad=$(grep -c '^not ok ' "$out")
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    failed=$((failed + bad))
}

lines sh "$folder/figures.sh"
lines sh "$folder/many.sh"
sh "$folder/run.sh" full 2>&1 | tee "$out"
last=$(grep '^[0-9]* passed, [0-9]* failed$' "$out" | tail -n 1)
[ -n "$last" ] || last="0 passed, 1 failed" # it ended early
passed=$((passed + ${last%% *}))
bad=${last#*, }
failed=$((failed + ${bad%% *}))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

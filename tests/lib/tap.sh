# TAP for shell tests; sourced. ok "sentence" COMMAND..., not_ok "sentence" COMMAND..., then tap_done.
tap_count=0
tap_failed=0

tap_line() {
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
        sed 's/^/# /' "$work/out"
    fi
}

# The command's output is in $work/out, for the tests that look at it.
ok() {
    tap_what=$1
    shift
    "$@" >"$work/out" 2>&1
    tap_line $? "$tap_what"
}

not_ok() {
    tap_what=$1
    shift
    if "$@" >"$work/out" 2>&1; then tap_line 1 "$tap_what"; else tap_line 0 "$tap_what"; fi
}

# says "sentence" PATTERN: whether the last output has it. never_says likewise.
says() {
    grep -q -- "$2" "$work/out"
    tap_line $? "$1"
}

never_says() {
    if grep -q -- "$2" "$work/out"; then tap_line 1 "$1"; else tap_line 0 "$1"; fi
}

tap_done() {
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
}

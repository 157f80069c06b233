# TAP for shell tests; sourced. ok "sentence" COMMAND..., not_ok "sentence" COMMAND..., then tap_done.
tap_count=0
tap_failed=0
tap_planned=

tap_line() {
    tap_count=$((tap_count + 1))
    tap_last=$1
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_count - $2"
        awk '{ print "# " $0 }' "$work/out" # its last line may lack the end, which the next line of ours needs
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

# run_tap TITLE PROGRAM [ARGUMENT...]: the lines of a program that prints TAP become lines of this test, with "TITLE: " before
# their sentences unless it is empty. A program that ended before its plan, or badly after it, has failed, whatever its
# lines say.
run_tap() {
    tap_title=${1:+$1: }
    shift
    "$@" >"$work/tap" 2>"$work/out"
    tap_status=$?
    awk -v number="$tap_count" -v title="$tap_title" '
        /^(not )?ok [0-9]+ - / { sub(/ok [0-9]+ - /, "ok " ++number " - " title) }
        /^(not )?ok |^#/' "$work/tap"
    tap_lines=$(grep -c '^\(not \)\{0,1\}ok ' "$work/tap")
    tap_bad=$(grep -c '^not ok ' "$work/tap")
    tap_count=$((tap_count + tap_lines))
    tap_failed=$((tap_failed + tap_bad))
    [ "$tap_bad" -eq 0 ] || awk '{ print "# " $0 }' "$work/out"
    if ! grep -q "^1\.\.$tap_lines\$" "$work/tap"; then
        tap_line 1 "${tap_title}the program ended early, with status $tap_status"
    elif [ "$tap_status" -ne 0 ] && [ "$tap_bad" -eq 0 ]; then
        tap_line 1 "${tap_title}after its last line the program ended with status $tap_status"
    fi
}

# tap_end: for a trap on EXIT. A script that ends before tap_done has failed, and has a plan for what it said until then.
tap_end() {
    [ -z "$tap_planned" ] || return 0
    [ -e "$work/out" ] || : >"$work/out"
    tap_line 1 "the script goes on to its end"
    tap_done
}

tap_done() {
    tap_planned=yes
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
}

# A process that holds keys and is told what to do (tests/life/driver.c); sourced after lib/setup.sh.

# driver_start [WRAPPER...]: only one at a time
driver_start() {
    rm -f "$work/told" "$work/answered"
    mkfifo "$work/told" "$work/answered" || exit 99
    "$@" "$build/tests/life/driver" <"$work/told" >"$work/answered" 2>"$work/driver.err" &
    driver=$!
    exec 8>"$work/told" 9<"$work/answered"
}

# tell COMMAND...: the answer is in $answer, and in $work/out for says
tell() {
    (trap '' PIPE; echo "$*" >&8) 2>/dev/null # it may have died
    answer=
    IFS= read -r answer <&9 || answer="the process has ended"
    echo "$answer" >"$work/out"
}

# expect "sentence" ANSWER COMMAND...: ANSWER is a pattern of sh
expect() {
    expect_what=$1
    expect_answer=$2
    shift 2
    tell "$@"
    case $answer in
    $expect_answer) tap_line 0 "$expect_what" ;;
    *) tap_line 1 "$expect_what" ;;
    esac
}

# error_within MS "sentence" COMMAND...: an error, after less than so many milliseconds
error_within() {
    within_ms=$1
    within_what=$2
    shift 2
    tell "$@"
    within_took=$(expr "$answer" : 'error .* in \([0-9]*\) ms$')
    [ "${within_took:-$within_ms}" -lt "$within_ms" ]
    tap_line $? "$within_what"
}

# driver_end "sentence": it ends by itself, with status 0
driver_end() {
    (trap '' PIPE; echo quit >&8) 2>/dev/null
    exec 8>&- 9<&-
    wait "$driver"
    driver_status=$?
    { echo "status $driver_status"; cat "$work/driver.err"; } >"$work/out"
    tap_line "$driver_status" "$1"
}

#!/bin/sh
# Forked processes: who may try a PIN, and that everybody signs.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/fork/setup.sh"
setup_forks

printf '13579\n' >"$work/wrong-pin"
conf "default signet" "pkcs11-module = $counter" "pin = file:$work/wrong-pin"
SIGNET_TEST_COUNTS="$work/counts-wrong"; export SIGNET_TEST_COUNTS
story wrong-pin
ok "and C_Login was called once" [ "$(calls Login)" = 1 ]
SIGNET_TEST_COUNTS="$work/counts-corrected"
printf '13579\n' >"$work/wrong-pin"
story corrected-pin
unset SIGNET_TEST_COUNTS

# A process dies while the token has its wrong PIN: nobody knows the answer, so nobody sends it again.
SIGNET_TEST_COUNTS="$work/counts-dies"; export SIGNET_TEST_COUNTS
printf '13579\n' >"$work/wrong-pin"
conf "default signet" "pkcs11-module = $counter" "pin = file:$work/wrong-pin"
SIGNET_TEST_DELAY_US=20000 story died
ok "C_Login was called once, though its caller died" [ "$(calls Login)" = 1 ]
unset SIGNET_TEST_COUNTS

# start_at_once: 12 programs of their own start and sign at one moment, three times; which failed is the output
start_at_once() {
    for round in 1 2 3; do
        started=
        for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
            openssl dgst -sha256 -sign "$work/ec.key" -out /dev/null "$work/pin" 2>"$work/start.$round.$i" &
            started="$started $!"
        done
        i=1
        for pid in $started; do
            wait $pid || { echo "round $round, program $i:"; cat "$work/start.$round.$i"; false; } || failed=yes
            i=$((i + 1))
        done
    done
    [ -z "$failed" ]
}
conf
failed=
ok "12 programs start and sign at once, three times: 0 of 36 fail" start_at_once

conf
story family
conf_without_pin
story prompt
conf
if [ "${SANITIZER:-none}" = none ]; then
    # On a busy machine a thread that is inside the module may not get a processor for a quarter of a second.
    conf "default signet" "fork-wait = 5000"
    story busy
    story loading
    conf "default signet" "pkcs11-module = $counter" "idle-sessions = 1" "fork-wait = 5000"
    SIGNET_TEST_COUNTS="$work/counts-churn" story churn ${FORKS:-}
else
    echo "# not run here: children of a process with busy threads hang in the sanitizer's own allocator now and then"
fi
tap_done

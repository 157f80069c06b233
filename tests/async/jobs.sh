#!/bin/sh
# Handshakes, and key agreement, in ASYNC jobs.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
token_tool test "$PIN" --keypairgen --key-type EC:prime256v1 --label agree --id 33 --sensitive --usage-derive >/dev/null 2>&1 || exit 99
openssl pkey -in "pkcs11:token=test;object=agree;type=private" -out "$work/agree.key" || exit 99
conf "default signet" "pkcs11-module = $counter" "deadline = 30"
export SIGNET_TEST_COUNTS="$work/counts"
run_tap "" timeout 300 "$build/tests/async/jobs" "$work"
conf "default signet" "pkcs11-module = $counter" "deadline = 1"
run_tap "" timeout 120 "$build/tests/async/jobs" "$work" late

# ends HOW: with the status that the program gives itself
ends() {
    timeout 60 "$build/tests/async/jobs" "$work" "$1"
    [ $? -eq 3 ]
}
if [ "${SANITIZER:-none}" = tsan ]; then
    echo "# not run here: ThreadSanitizer sees SoftHSM's exit handlers race with a call that is inside it"
else
    ok "a process exits with its own status while a job's signature is under way" ends exit
    ok "also if it frees everything before" ends free
    "$build/tests/token/set-faults" "$SIGNET_TEST_COUNTS" calm
    ok "and while the token hangs" ends hang
fi
"$build/tests/token/set-faults" "$SIGNET_TEST_COUNTS" calm
conf "default signet" "pkcs11-module = $counter" "async = no"
run_tap "async = no" timeout 120 "$build/tests/async/jobs" "$work" waits
conf "default signet" "pkcs11-module = $counter" "workers = 1"
run_tap "workers = 1" timeout 120 "$build/tests/async/jobs" "$work" one
tap_done

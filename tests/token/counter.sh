#!/bin/sh
# The module that counts for the other tests is one that can be believed, for programs that are not ours, too.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
show="$build/tests/token/show-counts"
export SIGNET_TEST_COUNTS="$work/counts"
run_tap "" "$build/tests/token/check-counter" "$counter" "$PIN"

export SIGNET_TEST_COUNTS="$work/tool-counts"
ok "pkcs11-tool works through it" pkcs11-tool --module "$counter" --login --pin "$PIN" --list-objects
says "and finds the key" 'label: *ec'
ok "another process reads the counters" test "$("$show" "$SIGNET_TEST_COUNTS" Login)" = 1
ok "all of them" "$show" "$SIGNET_TEST_COUNTS"
says "by their names" '^C_FindObjectsInit [1-9]'
says "attributes included" '^attribute 0x0 [1-9]'
not_ok "a name that is none is refused" "$show" "$SIGNET_TEST_COUNTS" Sing
not_ok "and a file that is not there" "$show" "$work/nothing" total

# A module with interfaces of 3.x, which is what pkcs11-tool asks for first.
export SIGNET_TEST_MODULE="$(ls /usr/lib/*/opensc-pkcs11.so)" SIGNET_TEST_COUNTS="$work/opensc-counts"
pkcs11-tool --module "$counter" --show-info >"$work/out" 2>&1
says "a module of 3.0 is offered as one" 'Cryptoki version *3\.'
ok "and counted" test "$("$show" "$SIGNET_TEST_COUNTS" GetInfo)" -ge 1
tap_done

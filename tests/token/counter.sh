#!/bin/sh
# The module that counts and misbehaves for the other tests is one that can be believed, for programs that are not ours,
# too.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
show="$build/tests/token/show-counts"
set="$build/tests/token/set-faults"
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

# Faults, from the environment and from another process.
export SIGNET_TEST_COUNTS="$work/fault-counts"
not_ok "a fault from the environment strikes" env SIGNET_TEST_FAULTS="Login:rv=CKR_PIN_EXPIRED" \
    pkcs11-tool --module "$counter" --login --pin "$PIN" --list-objects
says "and is what was asked for" CKR_PIN_EXPIRED
ok "it is counted" test "$("$show" "$SIGNET_TEST_COUNTS" Login struck)" = 1
ok "another process tells it what to do" "$set" "$SIGNET_TEST_COUNTS" "FindObjectsInit:rv=CKR_DEVICE_MEMORY" delay=10
not_ok "and it is done" pkcs11-tool --module "$counter" --login --pin "$PIN" --list-objects
says "as asked for" CKR_DEVICE_MEMORY
ok "once" pkcs11-tool --module "$counter" --login --pin "$PIN" --list-objects
not_ok "nonsense is refused" "$set" "$SIGNET_TEST_COUNTS" "FindObjectsInit:rv=CKR_NONE"
says "by name" "'FindObjectsInit:rv=CKR_NONE' makes no sense"
not_ok "nor does the module start with it" env SIGNET_TEST_FAULTS="Sing:rv=5" pkcs11-tool --module "$counter" --list-slots

# Its table of codes has all that the header has, and the engine's has all of the table.
header=$(echo '#include <p11-kit/pkcs11.h>' | ${CC:-cc} $P11KIT_CFLAGS -E -dM -x c - |
    sed -n 's/^#define CKR_\([A-Z_]*\) .*/\1/p')
for name in $header; do
    grep -q "ROW($name, " "$top/tests/token/ckr.h" || echo "CKR_$name"
done >"$work/missing"
ok "every code of p11-kit's header is known" test -n "$header" -a ! -s "$work/missing"

# A module with interfaces of 3.x, which is what pkcs11-tool asks for first.
export SIGNET_TEST_MODULE="$(ls /usr/lib/*/opensc-pkcs11.so)" SIGNET_TEST_COUNTS="$work/opensc-counts"
pkcs11-tool --module "$counter" --show-info >"$work/out" 2>&1
says "a module of 3.0 is offered as one" 'Cryptoki version *3\.'
ok "and counted" test "$("$show" "$SIGNET_TEST_COUNTS" GetInfo)" -ge 1
tap_done

#!/bin/sh
# Whose a public half is (halves.c), on SoftHSM.
. "$(dirname "$0")/../lib/setup.sh"
token_home "$work"
token_make test "$PIN" || exit 99
conf
run_tap "" "$build/tests/identity/halves" "$SOFTHSM_MODULE" test "$PIN"
tap_done

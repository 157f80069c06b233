#!/bin/sh
# A token in trouble, and threads that must not notice.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_app
export SIGNET_TEST_COUNTS="$work/page"
run_tap "" "$build/tests/faults/figures" "$work"
tap_done

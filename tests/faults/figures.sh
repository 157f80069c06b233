#!/bin/sh
# A token in trouble, and threads that must not notice: figures.sh smoke|full.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_app
export SIGNET_TEST_COUNTS="$work/page"
run_tap "" "$build/tests/faults/figures" "${1:-smoke}" "$work"
tap_done

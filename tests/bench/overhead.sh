#!/bin/sh
# The provider's overhead over the bare module, on SoftHSM: make bench.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
"$build/tests/bench/overhead" "$SOFTHSM_MODULE" test "${BENCH_SECONDS:-0.06}"

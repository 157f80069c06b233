#!/bin/sh
# The benchmark of docs/performance.md: handshakes a second in one thread. SECONDS_EACH, TYPES, DELAYS and FLIGHTS may
# be set. What it prints is for tests/async/plot.awk, too.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
conf "default signet" "pkcs11-module = $counter" ${BENCH_SETTING:+"$BENCH_SETTING"}
export SIGNET_TEST_COUNTS="$work/counts"
printf 'type\tdelay_us\tin_flight\tway\tper_second\tp50_ms\tp99_ms\tthreads\tcpu_us\tof_software\tof_sync\n'
for type in ${TYPES:-ec rsa}; do
    "$build/tests/async/bench" "$work" "$type" "${SECONDS_EACH:-2}" "${DELAYS:-0,500,2000,10000}" \
        "${FLIGHTS:-1,4,16,64,256}" || exit 1
done

#!/bin/bash
# run.sh TARGET...: each target under libFuzzer for FUZZ_SECONDS, from its seeds and what earlier runs in this build
# found. Prints executions and edges; an input that crashes, leaks or hangs stays in tests/fuzz/found/ of the build.
top=${abs_top_srcdir:?}
build=${abs_top_builddir:?}
seconds=${FUZZ_SECONDS:-5}
[ "${FUZZING:-}" = yes ] || { echo "make fuzz needs ./configure --enable-fuzz CC=clang" >&2; exit 1; }
passed=0
failed=0
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1

printf '%-10s %12s %10s %8s %8s\n' target executions "a second" edges inputs
for target in "$@"; do
    grown="$build/tests/fuzz/grown/$target"
    found="$build/tests/fuzz/found"
    dict="$top/tests/fuzz/dict/$target"
    mkdir -p "$grown" "$found"
    set -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
        -artifact_prefix="$found/$target-"
    [ ! -f "$dict" ] || set -- "$@" -dict="$dict"
    "$build/tests/fuzz/$target" "$@" "$grown" "$top/tests/fuzz/corpus/$target" >"$out" 2>&1
    status=$?
    awk -v target="$target" '
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1); else if ($i == "corp:") inputs = $(i + 1) }
        /^stat::number_of_executed_units:/ { executions = $2 }
        /^stat::average_exec_per_sec:/ { rate = $2 }
        END { printf "%-10s %12d %10d %8d %8d\n", target, executions, rate, edges, inputs }' "$out"
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 60 "$out" # with the name of the file that reproduces it
    fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

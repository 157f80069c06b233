#!/bin/sh
# Every fuzz target takes its seeds, in whichever build: with libFuzzer or without.
. "$(dirname "$0")/../lib/setup.sh"

for folder in "$top"/tests/fuzz/corpus/*/; do
    target=$(basename "$folder")
    set -- "$folder"*
    ok "$target: $# seeds" "$build/tests/fuzz/$target" "$@"
done
for source in "$top"/tests/fuzz/*.c; do
    grep -q '^int LLVMFuzzerTestOneInput' "$source" || continue
    target=$(basename "$source" .c)
    ok "$target has seeds" test -d "$top/tests/fuzz/corpus/$target"
done
tap_done

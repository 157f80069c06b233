#!/bin/sh
# Runs the benchmark, and writes its tables and its plot into the sources' docs/.    report.sh TABLE
#
# What is between the two comments of docs/performance.md is replaced. A run that fails changes nothing.
set -e
top=${abs_top_srcdir:?}
table=$1
doc=$top/docs/performance.md
sh "$top/tests/async/bench.sh" >"$table.new"
mv "$table.new" "$table"
awk -f "$top/tests/async/table.awk" "$table" >"$table.md"
awk -f "$top/tests/async/plot.awk" "$table" >"$table.svg"
awk -v tables="$table.md" '
    /^<!-- bench-async: end/ { inside = 0 }
    !inside { print }
    /^<!-- bench-async: begin/ { inside = 1; print ""; while ((getline line <tables) > 0) print line; print "" }
' "$doc" >"$table.doc"
grep -q '^<!-- bench-async: end' "$table.doc"
cp "$table.doc" "$doc"
cp "$table.svg" "$top/docs/performance.svg"
rm -f "$table.md" "$table.svg" "$table.doc"
echo "docs/performance.md and docs/performance.svg are from this run, whose data is $table"

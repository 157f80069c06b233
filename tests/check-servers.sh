#!/bin/bash
# Servers that people run, on loopback with their keys on a token: the configurations of docs/servers.md as they are written, and
# each server through its good and its bad days. Needs root, as servers do that go on as another user. Installs those that are
# missing, without starting the services of their packages.
#
#     check-servers.sh [NAME]...      examples, nginx, apache, postgresql: tests/servers/NAME.sh
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
. "$top/scripts/packages.sh"
[ "$(id -u)" -eq 0 ] || { echo "check-servers: needs root" >&2; exit 1; }
[ $# -gt 0 ] || set -- examples nginx apache postgresql
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0
failed=0
without_services install_missing $SERVER_PACKAGES || failed=1
for name in "$@"; do
    echo "== $name"
    timeout -k 10 300 bash "$top/tests/servers/$name.sh" </dev/null >"$out" 2>&1
    status=$?
    grep -v '^ok ' "$out"
    good=$(grep -c '^ok ' "$out")
    bad=$(grep -c '^not ok ' "$out")
    if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || ! grep -qx "1\.\.$good" "$out"; }; then
        echo "not ok - $name ended early, with status $status"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

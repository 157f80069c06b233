#!/bin/bash
# Starts real tokens from Debian's packages, proves what Signet does with each of them, and holds the tables of docs/tokens.md to
# what was seen.
#
#     check-tokens.sh [--write] [RELEASE]...      bookworm, trixie, sid; without any, the one that runs here
#
# What is proved is in tests/tokens/prove.sh, each token in a file beside it. A release that does not run here has a root, which is
# made as for check-matrix.sh; that needs root. With --write the tables are written in place of being compared.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
build=${abs_top_builddir:-$PWD}
roots=${SIGNET_ROOTS:-/var/tmp/signet-roots}
. "$top/scripts/packages.sh"
. "$top/tests/matrix/root.sh"
write=
if [ "${1:-}" = --write ]; then
    write=yes
    shift
fi
[ $# -gt 0 ] || set -- "$(codename)"
passed=0
failed=0

# line STATUS "sentence": one more that passed or failed
line() {
    if [ "$1" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok - $2"
    fi
}

# here RELEASE: in namespaces of our own, for the daemons with their files, shared memory and ports
here() {
    install_missing $(release_packages "$1") $(token_packages "$1") || return 1
    apart="unshare --mount --propagation private --ipc --net --pid --fork --kill-child --mount-proc"
    [ "$(id -u)" -eq 0 ] || apart="$apart --map-root-user"
    timeout -k 20 900 $apart /bin/sh "$top/tests/tokens/run.sh" "$1" "$build/tokens-$1.md"
}

# in_root RELEASE: the same in its root, from a copy of the sources that git knows
in_root() {
    root=$roots/$1
    log=$roots/$1-tokens.log
    wanted=$(echo $(token_packages "$1")) # on one line
    [ "$(id -u)" -eq 0 ] || { echo "check-tokens: $1 has a root, which needs root"; return 1; }
    mkdir -p "$roots"
    root_make "$1" "$root" || { tail -n 5 "$roots/$1-"*.log; return 1; }
    if [ "$(cat "$root/.signet-tokens" 2>/dev/null)" != "$wanted" ]; then
        root_run "$root" 1200 "apt-get -o Acquire::Check-Valid-Until=false update -q
            apt-get install -q -y --no-install-recommends $wanted" >"$log" 2>&1 || { tail -n 5 "$log"; return 1; }
        echo "$wanted" >"$root/.signet-tokens"
    fi
    mkdir -p "$root/signet-tokens/source" "$root/signet-tokens/build"
    (cd "$top" && git ls-files -z | tar --null -T - -cf -) | tar -C "$root/signet-tokens/source" -xf - || return 1
    root_run "$root" 900 "cd /signet-tokens/source && { [ -e configure ] || autoreconf -fi; } && cd ../build &&
        { [ -e Makefile ] || ../source/configure; } && make -j2 && make -j2 check TESTS=" >"$log" 2>&1 || { tail -n 20 "$log"; return 1; }
    root_run "$root" 900 "cd /signet-tokens/build && abs_top_srcdir=/signet-tokens/source abs_top_builddir=/signet-tokens/build \
        unshare --net /bin/sh ../source/tests/tokens/run.sh $1 /signet-tokens/build/tokens-$1.md"
    status=$?
    cp "$root/signet-tokens/build/tokens-$1.md" "$build/"
    return $status
}

# kept RELEASE: the table in docs/tokens.md
kept() {
    awk -v begin="<!-- table $1 -->" '$0 == begin { on = 1; next } $0 == "<!-- end -->" { on = 0 } on' "$top/docs/tokens.md"
}

# keep RELEASE: puts the new one there
keep() {
    awk -v begin="<!-- table $1 -->" -v table="$build/tokens-$1.md" '
        $0 == begin { print; while ((getline row <table) > 0) print row; on = 1 }
        $0 == "<!-- end -->" { on = 0 }
        !on' "$top/docs/tokens.md" >"$build/tokens.md" && cp "$build/tokens.md" "$top/docs/tokens.md"
}

for release in "$@"; do
    began=$SECONDS
    out=$build/tokens-$release.out
    rm -f "$build/tokens-$release.md"
    if [ "$release" = "$(codename)" ]; then here "$release"; else in_root "$release"; fi </dev/null >"$out" 2>&1
    status=$?
    grep -v '^ok ' "$out"
    good=$(grep -c '^ok ' "$out")
    bad=$(grep -c '^not ok ' "$out")
    passed=$((passed + good))
    failed=$((failed + bad))
    [ "$status" -eq 0 ] && [ "$good" -gt 0 ] || [ "$bad" -gt 0 ] || line 1 "$release: the run ended with status $status"
    echo
    cat "$build/tokens-$release.md" 2>/dev/null
    if [ -n "$write" ]; then
        keep "$release"
    else
        kept "$release" | diff - "$build/tokens-$release.md"
        line $? "$release: docs/tokens.md has this table (make check-tokens TOKENS='--write $release' writes it)"
    fi
    echo "$release: $((SECONDS - began)) s"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

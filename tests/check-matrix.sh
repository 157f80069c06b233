#!/bin/bash
# Builds and tests Signet in several releases of Debian, for their OpenSSL, and prints a table of tests by version. Needs
# root, as debootstrap and chroot do.
#
#     check-matrix.sh [RELEASE]...      bookworm (3.0), trixie (3.5), sid (3.6 or later), sid-experimental (4.0 or later)
#
# A release is the machine itself where that runs it; else a root, made once by debootstrap from the machine's own
# mirror setting and kept in SIGNET_ROOTS (/var/tmp/signet-roots) with the logs of its last run.
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
roots=${SIGNET_ROOTS:-/var/tmp/signet-roots}
. "$top/scripts/packages.sh"
. "$top/tests/matrix/root.sh"
[ $# -gt 0 ] || set -- trixie

# matrix_tests RELEASE: beside those of `make check`; the other provider is not in Debian 12
matrix_tests() {
    echo "tests/matrix/key-types.sh"
    [ "$1" = bookworm ] || echo "tests/matrix/beside.sh"
}

[ "$(id -u)" -eq 0 ] || { echo "check-matrix: needs root" >&2; exit 1; }
for release in "$@"; do
    release_openssl "$release" >/dev/null || { echo "check-matrix: no release '$release' is known" >&2; exit 1; }
done
mkdir -p "$roots" || exit 1

# at_home RELEASE: whether the machine itself runs it
at_home() {
    [ "$1" = "$(codename)" ]
}

# run_in RELEASE SECONDS COMMAND
run_in() {
    if at_home "$1"; then
        timeout -k 20 "$2" /bin/sh -ec "$3"
    else
        root_run "$roots/$1" "$2" "$3"
    fi
}

# prepare RELEASE: the root, or the packages where there is none
prepare() {
    if at_home "$1"; then
        took_bootstrap=0
        took_packages=$SECONDS
        install_missing $(release_packages "$1") || return 1
        took_packages=$((SECONDS - took_packages))
    else
        root_make "$1" "$roots/$1"
    fi
}

# The release's OpenSSL, if it is the one that it must have, for programs as for the compiler.
openssl_of() {
    version=$(run_in "$1" 60 'openssl version' | cut -d' ' -f2)
    headers=$(run_in "$1" 60 'pkg-config --modversion libcrypto')
    if ! version_fits "$version" "$(release_openssl "$1")" || [ "$version" != "$headers" ]; then
        echo "check-matrix: Debian $1 has OpenSSL $version, headers of $headers: it must be $(release_openssl "$1")" >&2
        return 1
    fi
}

# build_in RELEASE and check_in RELEASE, in /signet of its root, from a copy of the sources that git knows
build_in() {
    root_remove "$roots/$1/signet" && mkdir -p "$roots/$1/signet/source" "$roots/$1/signet/build"
    (cd "$top" && git ls-files -z | tar --null -T - -cf -) | tar -C "$roots/$1/signet/source" -xf - || return 1
    run_in "$1" 900 "cd $place/source && autoreconf -fi >/dev/null 2>&1 && cd ../build &&
        ../source/configure --enable-werror >/dev/null && make -j2 >make.out 2>&1 || { tail -n 20 make.out; exit 1; }" \
        >"$roots/$1-check.log" 2>&1
}
check_in() {
    run_in "$1" 1700 "cd $place/build && make -k check" >>"$roots/$1-check.log" 2>&1
    check_status=$?
    run_in "$1" 1200 "cd $place/build && make -k check TESTS='$(matrix_tests "$1" | xargs)'" >>"$roots/$1-check.log" 2>&1 || check_status=1
    # Kept beside the root, so that the table can be written when only some releases have run anew.
    grep '^# cell ' "$roots/$1/signet/build/tests/matrix/key-types.log" >"$roots/$1.cells"
    return $check_status
}

# The table of key types: what docs/key-types.md has of the releases that ran must be what the run has found. With
# DOCS=yes it is written there, from the last run of each release.
key_types() {
    cells=
    for one in $ran; do
        cells="$cells $roots/$one.cells"
    done
    document="$top/docs/key-types.md"
    if [ "${DOCS:-}" = yes ]; then
        cells=$(ls "$roots"/{bookworm,trixie,sid,sid-experimental}.cells 2>/dev/null)
        awk -f "$top/tests/matrix/key-types.awk" $cells >"$roots/key-types.table" &&
            awk -v table="$roots/key-types.table" '
                /^<!-- key types: end/ { inside = 0 }
                !inside { print }
                /^<!-- key types: begin/ { inside = 1; while ((getline line < table) > 0) print line }' \
                "$document" >"$roots/key-types.md" && cp "$roots/key-types.md" "$document"
        return
    fi
    awk -f "$top/tests/matrix/key-types.awk" $cells
    awk -v doc="$document" -f "$top/tests/matrix/key-types.awk" $cells
}

# counted RELEASE STATUS: adds what the log counts to $passed and $failed, and shows what failed
counted() {
    log="$roots/$1-check.log"
    good=$(awk '/^# PASS:/ { n += $3 } END { print n + 0 }' "$log")
    bad=$(awk '/^# (FAIL|XPASS|ERROR|SKIP|XFAIL):/ { n += $3 } END { print n + 0 }' "$log")
    [ "$2" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || bad=$((bad + 1))
    [ "$bad" -eq 0 ] || grep -a '^FAIL:\|^ERROR:\|rror:' "$log" | head -n 40
    passed=$((passed + good))
    failed=$((failed + bad))
}

# check_release RELEASE: one column
check_release() {
    place=/signet
    at_home "$1" && place="$roots/$1/signet"
    exec 9>"$roots/$1.lock"
    flock -w 3600 9 || { echo "check-matrix: another run has held $1 for an hour" >&2; failed=$((failed + 1)); return; }
    if ! prepare "$1"; then
        echo "check-matrix: no root for $1 can be made:"
        tail -n 5 "$roots/$1-"*.log
        failed=$((failed + 1))
        return
    fi
    openssl_of "$1" || { failed=$((failed + 1)); return; }
    began=$SECONDS
    build_in "$1"
    status=$?
    took_build=$((SECONDS - began))
    began=$SECONDS
    [ $status -ne 0 ] || { check_in "$1"; status=$?; }
    counted "$1" $status
    handshakes=$(sed -n 's/^# \([0-9]* handshakes\) passed with.*/\1/p' "$roots/$1/signet/build/tests/tls/handshakes.log" 2>/dev/null)
    echo "Debian $1, OpenSSL $version: $good passed, $bad failed, ${handshakes:-no handshakes} in the matrix" \
        "(seconds: root $took_bootstrap, packages $took_packages, build $took_build, check $((SECONDS - began)))"
    columns="$columns $1=$version"
    ran="$ran $1"
}

passed=0
failed=0
columns=
ran=
for release in "$@"; do
    check_release "$release" 9>&-
done
if [ -n "$ran" ]; then
    awk -v roots="$roots" -v columns="$columns" -f "$top/tests/matrix/tests.awk"
    if key_types; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

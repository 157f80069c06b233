#!/bin/bash
# Builds and tests Signet in other releases of Debian, for their OpenSSL: a root for each, made once by debootstrap from this
# machine's own mirror setting and kept (SIGNET_ROOTS, /var/tmp/signet-roots). Needs root, as debootstrap and chroot do.
#
#     check-matrix.sh [RELEASE]...      (trixie)
set -u
top=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
roots=${SIGNET_ROOTS:-/var/tmp/signet-roots}
releases=${*:-trixie}
. "$top/scripts/packages.sh"

[ "$(id -u)" -eq 0 ] || { echo "check-matrix: needs root" >&2; exit 1; }

# The first mirror that apt is told of here.
mirror() {
    { sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
      sed -n 's/^deb  *\(\[[^]]*\] *\)\?\([^ ]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list; } 2>/dev/null |
        grep '/debian/*$' | head -n 1
}

mount_into() {
    mkdir -p "$1/proc" "$1/dev"
    mountpoint -q "$1/proc" || mount --bind /proc "$1/proc"
    mountpoint -q "$1/dev" || mount --bind /dev "$1/dev"
}

unmount_from() {
    for point in "$1/proc" "$1/dev"; do
        mountpoint -q "$point" && umount "$point"
    done
}

in_root() {
    chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root TMPDIR=/tmp \
        DEBIAN_FRONTEND=noninteractive /bin/sh -ec "$2"
}

# A root with what building and testing needs; kept for the next time once it is whole. A package more is installed into
# it.
make_root() {
    packages="$BUILD_PACKAGES $RUN_PACKAGES $TEST_PACKAGES $(later_packages "$1")"
    [ "$(cat "$2/.signet-ready" 2>/dev/null)" = "$packages" ] && return 0
    if ! [ -e "$2/.signet-ready" ]; then
        rm -rf --one-file-system "$2"
        debootstrap --variant=minbase "$1" "$2" "$(mirror)" >"$roots/$1-bootstrap.log" 2>&1 || return 1
    fi
    cp /etc/resolv.conf "$2/etc/" 2>/dev/null
    for setting in /etc/apt/apt.conf.d/*proxy*; do
        [ -e "$setting" ] && cp "$setting" "$2/etc/apt/apt.conf.d/"
    done
    mount_into "$2"
    in_root "$2" "apt-get -o Acquire::Check-Valid-Until=false update -q && apt-get install -q -y --no-install-recommends $packages" \
        >"$roots/$1-packages.log" 2>&1 || return 1
    echo "$packages" >"$2/.signet-ready"
}

# Builds and tests in a root, from a copy of the sources that git knows, and tells the counts as "passed failed".
check_in() {
    rm -rf "$2/signet" && mkdir -p "$2/signet/source" "$2/signet/build"
    (cd "$top" && git ls-files -z | tar --null -T - -cf -) | tar -C "$2/signet/source" -xf - || return 1
    in_root "$2" "cd /signet/source && autoreconf -fi >/dev/null 2>&1 && cd /signet/build && ../source/configure --enable-werror \
        >/dev/null && make -j2 >make.out 2>&1 || { tail -n 20 make.out; exit 1; }; make check" >"$roots/$1-check.log" 2>&1
}

passed=0
failed=0
mkdir -p "$roots"
for release in $releases; do
    root="$roots/$release"
    trap 'unmount_from "$root"' EXIT
    unmount_from "$root"
    if ! make_root "$release" "$root"; then
        echo "check-matrix: no root for $release can be made:"
        tail -n 5 "$roots/$release-"*.log
        failed=$((failed + 1))
        unmount_from "$root"
        continue
    fi
    mount_into "$root"
    check_in "$release" "$root"
    status=$?
    version=$(in_root "$root" 'openssl version' | cut -d' ' -f2)
    good=$(awk '/^# PASS:/ { n += $3 } END { print n + 0 }' "$roots/$release-check.log")
    bad=$(awk '/^# (FAIL|XPASS|ERROR|SKIP|XFAIL):/ { n += $3 } END { print n + 0 }' "$roots/$release-check.log")
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    [ "$good" -gt 0 ] || bad=$((bad + 1))
    [ "$bad" -eq 0 ] || grep -a '^FAIL:\|^ERROR:\|rror:' "$roots/$release-check.log" | head -n 40
    handshakes=$(sed -n 's/^# \([0-9]* handshakes\) passed with.*/\1/p' "$root/signet/build/tests/tls/handshakes.log" 2>/dev/null)
    echo "Debian $release, OpenSSL $version: $good passed, $bad failed, $handshakes in the matrix"
    passed=$((passed + good))
    failed=$((failed + bad))
    unmount_from "$root"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

# Roots with other releases of Debian, for tests/check-matrix.sh; sourced by bash, with $roots and scripts/packages.sh.
#
# A command in a root has namespaces of its own for mounts, processes and IPC. What is mounted there is seen by nobody
# else and is gone with the command's last process, however that ends; so are daemons, and the shared memory by which
# openCryptoki would meet another root's. Nothing is ever mounted in the machine's own namespace, so that removing a
# root can reach nothing but the root.

# release_suite RELEASE: what debootstrap calls it
release_suite() {
    case $1 in
    sid-experimental) echo sid ;;
    *) echo "$1" ;;
    esac
}

# release_openssl RELEASE: the OpenSSL it must have, major.minor; with a plus, that or a later one, as sid moves
release_openssl() {
    case $1 in
    bookworm) echo 3.0 ;;
    trixie) echo 3.5 ;;
    sid) echo 3.6+ ;;
    sid-experimental) echo 4.0+ ;;
    *) return 1 ;;
    esac
}

# version_fits 3.6.5 3.6+: whether the first is of the second
version_fits() {
    case $2 in
    *+) [ "$(printf '%s\n%s\n' "${2%+}" "$1" | sort -V | head -n 1)" = "${2%+}" ] ;;
    *) [ "${1%.*}" = "$2" ] ;;
    esac
}

# release_packages RELEASE: what building and testing needs there
release_packages() {
    echo "$BUILD_PACKAGES $RUN_PACKAGES $TEST_PACKAGES $(later_packages "$1") $(others_packages "$1")"
}

# The first mirror that apt is told of here.
mirror() {
    { sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources
      sed -n 's/^deb  *\(\[[^]]*\] *\)\?\([^ ]*\).*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list; } 2>/dev/null |
        grep '/debian/*$' | head -n 1
}

# root_remove FOLDER: refuses where something is mounted in it (an older version of these tests did that)
root_remove() {
    if grep -qF " $(realpath -m "$1")/" /proc/self/mounts; then
        echo "check-matrix: something is mounted in $1: unmount it first" >&2
        return 1
    fi
    rm -rf --one-file-system "$1"
}

# root_run ROOT SECONDS COMMAND: the shell's command there, stopped after that time with all that it started
root_run() {
    timeout -k 20 "$2" unshare --mount --propagation private --ipc --pid --fork --kill-child /bin/sh -ec '
        mount --bind "$1" "$1" # a mount of its own, so that what runs there can have namespaces in turn
        mount -t proc proc "$1/proc"
        mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
        mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$1/dev/pts"
        # No exec: the first process of a namespace must reap what daemons leave.
        chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root TMPDIR=/tmp \
            DEBIAN_FRONTEND=noninteractive /bin/sh -ec "$2" || exit' sh "$1" "$3"
}

# root_make RELEASE ROOT: with what the suite needs; kept for the next time once it is whole, and then only given the
# packages that are new in the list. The seconds that it took are in $took_bootstrap and $took_packages.
root_make() {
    packages=$(release_packages "$1")
    took_bootstrap=0
    took_packages=0
    [ "$(cat "$2/.signet-ready" 2>/dev/null)" = "$packages" ] && return 0
    began=$SECONDS
    if ! [ -e "$2/.signet-ready" ]; then
        root_remove "$2" || return 1
        debootstrap --variant=minbase "$(release_suite "$1")" "$2" "$(mirror)" >"$roots/$1-bootstrap.log" 2>&1 || return 1
        : >"$2/.signet-ready" # no package yet
    fi
    took_bootstrap=$((SECONDS - began))
    began=$SECONDS
    cp /etc/resolv.conf "$2/etc/" 2>/dev/null
    for setting in /etc/apt/apt.conf.d/*proxy*; do
        [ -e "$setting" ] && cp "$setting" "$2/etc/apt/apt.conf.d/"
    done
    install="apt-get install -q -y --no-install-recommends"
    newer=
    if [ "$1" = sid-experimental ]; then
        echo "deb $(mirror) experimental main" >"$2/etc/apt/sources.list.d/experimental.list"
        newer="&& $install -t experimental openssl libssl-dev"
    fi
    root_run "$2" 1200 "apt-get -o Acquire::Check-Valid-Until=false update -q && $install $packages $newer" \
        >"$roots/$1-packages.log" 2>&1 || return 1
    took_packages=$((SECONDS - began))
    echo "$packages" >"$2/.signet-ready"
}

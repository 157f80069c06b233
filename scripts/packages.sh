# What building and testing needs, as Debian packages; sourced by quickstart. Installs what is missing, says what, asks
# nothing.

BUILD_PACKAGES="gcc make autoconf automake libtool pkg-config libssl-dev libp11-kit-dev libcmocka-dev libjansson-dev"
RUN_PACKAGES="openssl softhsm2 opensc p11-kit p11-kit-modules"
BROWSER_PACKAGES="libnss3-tools"
# opensc opens libpcsclite1 and does not depend on it; vsmartcard-vpcd is the reader of a card that is a program; a browser
# without fonts draws empty pages
TEST_PACKAGES="curl jq valgrind haproxy libnss3-tools binutils chromium fonts-dejavu-core libpcsclite1 pcscd vsmartcard-vpcd"
# Not in every release: what later_packages adds to the tests' list.
LATER_PACKAGES="pkcs11-daemon libpkcs11-proxy0 openssl-provider-fips" # a token behind a network; a parent that is FIPS
# Real tokens and what stands in for their hardware, for `make check-tokens`.
TOKEN_PACKAGES="swtpm swtpm-tools tpm2-tools tpm2-abrmd dbus-daemon libtpm2-pkcs11-1 libtpm2-pkcs11-tools
    python3-tpm2-pkcs11-tools"
SERVER_PACKAGES="nginx apache2 haproxy stunnel4 postgresql" # for `make check-servers`
MATRIX_PACKAGES="clang debootstrap" # for other compilers and other releases: .ci/run
FUZZ_PACKAGES="clang libclang-rt-dev" # for `make fuzz`: each release's own clang, and the libFuzzer of that version

# In check-matrix alone, where the release has them: openCryptoki's daemon, and another provider for PKCS#11.
OTHERS_PACKAGES="opencryptoki pkcs11-provider"

# codename: of the release that this machine runs
codename() {
    sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# later_packages CODENAME: what the tests need beside TEST_PACKAGES in that release of Debian
later_packages() {
    [ "$1" = bookworm ] || echo "$LATER_PACKAGES"
}

# token_packages CODENAME: what the real tokens need beside all that in that release
token_packages() {
    case $1 in
    bookworm) echo "$TOKEN_PACKAGES libtss2-tcti-swtpm0 libtss2-tcti-tabrmd0" ;;
    *) echo "$TOKEN_PACKAGES libtss2-tcti-swtpm0t64 libtss2-tcti-tabrmd0 opencryptoki" ;;
    esac
}

# others_packages CODENAME: what check-matrix installs beside those
others_packages() {
    [ "$1" = bookworm ] || echo "$OTHERS_PACKAGES"
}

# as_root COMMAND...: through sudo where we are not root
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "quickstart: these need root, and there is no sudo: $*" >&2
        return 1
    fi
}

# install_missing PACKAGE...
install_missing() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            missing="$missing $package"
    done
    [ -z "$missing" ] && return 0
    echo "quickstart: installing$missing"
    # A machine that has just started may be at its own updates: wait for them.
    as_root apt-get -o DPkg::Lock::Timeout=300 -q update >/dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y --no-install-recommends \
            install $missing </dev/null >/dev/null
}

# without_services COMMAND...: the packages that it installs do not start their services (as root)
without_services() {
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] && policy=
    [ -z "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy; }
    "$@"
    without_status=$?
    [ -z "$policy" ] || rm -f $policy
    return $without_status
}

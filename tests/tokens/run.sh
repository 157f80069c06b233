#!/bin/sh
# Proves every token of this folder that this release of Debian has, with every type of key that it has, and writes the
# table. Run by tests/check-tokens.sh, which installs the packages and gives us namespaces of our own, with which all daemons end.
#
#     run.sh RELEASE TABLE [TOKEN]...      TOKEN is a file here, without .sh
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/run.sh"
. "$top/tests/life/drive.sh"
. "$top/tests/tokens/prove.sh"
release=$1 # sid calls itself by the name of the release that it will be
table=$2
shift 2
# The loopback of a network namespace of its own is down: SIOCSIFFLAGS, IFF_UP.
perl -MSocket -e 'socket(my $any, AF_INET, SOCK_DGRAM, 0); $up = pack("a16 s x22", "lo", 1); ioctl($any, 0x8914, $up) or die "lo: $!"' || exit 99
began=$(date +%s)
cd "$work" || exit 99
# Ours among OpenSSL's own modules, as it is when it is installed: openCryptoki loads "legacy".
mkdir modules
ln -s "$(openssl version -m | sed 's/.*"\(.*\)"/\1/')"/*.so "$build/.libs/signet.so" modules/
export OPENSSL_MODULES="$work/modules"
conf_write "$work/plain.cnf" "default"
OPENSSL_CONF="$work/plain.cnf"
export OPENSSL_CONF
setup_partner
printf '| token | key | sign | mutual TLS | fork | lost and back |\n|---|---|---|---|---|---|\n' >"$table"
for row in ${*:-$(cat "$top/tests/tokens/order")}; do
    prove_token "$row"
done
echo "# $release: the real tokens took $(($(date +%s) - began)) s"
tap_done

#!/bin/sh
# Every allocation of the provider fails once: nothing crashes, each failure has a reason, the next try succeeds.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/setup.sh"
setup_tls
cd "$work" || exit 99
frail="$build/tests/life/.libs/frail.so"
conf
sed "s#^\[signet_sect\]#&\nmodule = $frail#" "$OPENSSL_CONF" >frail.cnf
exec env OPENSSL_CONF="$work/frail.cnf" "$build/tests/life/memory" "$frail" "$work" "$work/frail.cnf"

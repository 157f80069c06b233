#!/bin/sh
# Forked processes: who may try a PIN, and that everybody signs.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/fork/setup.sh"
setup_forks

printf '13579\n' >"$work/wrong-pin"
conf "default signet" "pkcs11-module = $counter" "pin = file:$work/wrong-pin"
SIGNET_TEST_COUNTS="$work/counts-wrong"; export SIGNET_TEST_COUNTS
story wrong-pin
ok "and C_Login was called once" [ "$(calls Login)" = 1 ]
SIGNET_TEST_COUNTS="$work/counts-corrected"
printf '13579\n' >"$work/wrong-pin"
story corrected-pin
unset SIGNET_TEST_COUNTS

conf
story family
conf_without_pin
story prompt
conf
story busy
tap_done

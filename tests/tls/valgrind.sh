#!/bin/sh
# The demonstration server and client under valgrind: no error, nothing lost.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/run.sh"
setup_tls
watched="valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9 --suppressions=$top/tests/tls/valgrind.supp"
for type in ec rsa; do
    for version in 1.2 1.3; do
        ok "$type, TLS $version" mutual "$watched" "pkcs11:token=test;object=$type;type=private" $type "$work/ec.key" ec $version
        never_says "$type, TLS $version: valgrind has nothing to say" '^==[0-9]'
    done
done
tap_done

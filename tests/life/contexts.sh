#!/bin/sh
# Several library contexts on one module, under several names of it; the provider unloaded while its keys live; a module
# that itself uses libcrypto with our configuration.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
cd "$work" || exit 99
echo message >message
SIGNET_PROVIDER="$build/.libs/signet.so"
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"

# one module, three paths to it: as it is, through a link, through a folder that is left again; and a second name for
# the same file, which no path can tell from another module
mkdir here
cp "$counter" here/module.so
ln -s "$work/here/module.so" link.so
ln here/module.so twin.so
number=0
for module in here/module.so link.so here/../here/module.so twin.so; do
    number=$((number + 1))
    conf_write "$number.cnf" "default signet" "pkcs11-module = $work/$module" "pin = file:$work/pin"
done

# count FUNCTION
count() {
    "$build/tests/token/show-counts" counts "$1"
}

# each program tells its own lines; they are counted on
for key in "$ec" "$rsa"; do
    rm -f counts
    env OPENSSL_CONF=/dev/null SIGNET_TEST_COUNTS="$work/counts" SIGNET_PKCS11_MODULE="$work/here/module.so" \
        SIGNET_PIN="file:$work/pin" "$build/tests/life/contexts" "$key" 1.cnf 2.cnf 3.cnf 4.cnf >tap 2>err
    echo $? >status
    grep '^ok\|^not ok' tap | sed "s/^\(ok\|not ok\) [0-9]* - /\1 /" >lines
    while read -r word rest; do
        cp err out
        case $word in
        ok) tap_line 0 "$rest" ;;
        not) tap_line 1 "${rest#ok }" ;;
        esac
    done <lines
    { cat tap err; } >out
    ok "the process ends with its own status" test "$(cat status)" = 0
    ok "C_Initialize once, and once more through the second name of the file" test "$(count Initialize)" = 2
    ok "one login for all" test "$(count Login)" -le 2
    ok "no context that goes takes the module along" test "$(count Finalize)" = 0
    ok "and no session is left that nobody asked for" test "$(($(count OpenSession) - $(count CloseSession)))" -le 9
done

# SoftHSM uses libcrypto with the same openssl.cnf as we do
for order in "default signet" "signet default"; do
    for properties in "" "default_properties = ?provider=signet"; do
        conf "$order" "$properties"
        for key in "$ec" "$rsa"; do
            ok "SoftHSM beneath us, '$order' $properties: ${key#*object=} signs" \
                timeout 60 openssl dgst -sha256 -sign "$key" -out sig message
        done
        ok "SoftHSM beneath us, '$order' $properties: threads with contexts of their own" timeout 120 \
            env SIGNET_PKCS11_MODULE="$SOFTHSM_MODULE" SIGNET_PIN="file:$work/pin" "$build/tests/life/contexts" "$ec" openssl.cnf
    done
done
tap_done

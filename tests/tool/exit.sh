#!/bin/sh
# Processes end with their own status, whatever module they have loaded: once exit has begun, no module is called any more.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
cd "$work" || exit 99
echo message >message
rsa="pkcs11:token=test;object=rsa;type=private"

conf
ok "SoftHSM: a signature" openssl dgst -sha256 -sign "$rsa" -out sig message
ok "SoftHSM: a listing" openssl storeutl -noout pkcs11:token=test

mkdir nss
printf '%s\n' "$PIN" >nss.pw
LD_PRELOAD= env -u OPENSSL_CONF certutil -N -d "sql:$work/nss" -f nss.pw >/dev/null 2>&1
softokn=$(ls /usr/lib/*/libsoftokn3.so | head -n 1)
nss="configDir='sql:$work/nss' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
conf "default signet" "pkcs11-module = $softokn" "pkcs11-init-args = $nss"
ok "NSS: its tokens are listed" "$signet" list 'pkcs11:token=NSS%20Certificate%20DB'
says "NSS: with the one that holds keys" 'NSS Certificate DB'
head -c 64 /dev/urandom >noise
LD_PRELOAD= env -u OPENSSL_CONF certutil -S -s CN=nss -n nss -x -t u,u,u -k ec -q nistp256 -z noise -f nss.pw -m 1 \
    -d "sql:$work/nss" >/dev/null 2>&1
id=$("$signet" list 'pkcs11:token=NSS%20Certificate%20DB;object=nss;type=cert' | grep -o 'id=[^;]*')
openssl x509 -in 'pkcs11:token=NSS%20Certificate%20DB;object=nss;type=cert' -noout -pubkey -out nss.pub
ok "NSS: a signature" openssl dgst -sha256 -sign "pkcs11:token=NSS%20Certificate%20DB;$id;type=private" -out sig message
ok "NSS: which its certificate verifies" openssl dgst -sha256 -verify nss.pub -signature sig message
not_ok "NSS: a key that is not there" openssl pkey -in 'pkcs11:token=NSS%20Certificate%20DB;object=none;type=private'
says "NSS: is told as such" 'has no private key that matches'

opensc=$(ls /usr/lib/*/pkcs11/opensc-pkcs11.so | head -n 1)
conf "default signet" "pkcs11-module = $opensc"
openssl pkey -in "pkcs11:object=none;type=private" >out 2>&1
ok "OpenSC without a card: an error, and the status is that of any error" test $? = 1
openssl pkey -in "pkcs11:object=none;type=private" >out 2>&1
says "OpenSC without a card: which is told" 'no token matches\|opensc-pkcs11.so.: C_Initialize: CKR_' # the latter without pcscd, by release

client=$(ls /usr/lib/*/pkcs11/p11-kit-client.so | head -n 1)
eval "$(p11-kit server --provider "$SOFTHSM_MODULE" -n "$work/p11.sock" "pkcs11:token=test" 2>/dev/null)"
conf "default signet" "pkcs11-module = $client"
ok "p11-kit's client: a signature" env P11_KIT_SERVER_ADDRESS="unix:path=$work/p11.sock" openssl dgst -sha256 -sign "$rsa" -out sig message
[ -n "${P11_KIT_SERVER_PID:-}" ] && kill "$P11_KIT_SERVER_PID"

conf "default signet" "pkcs11-module = $counter"
ok "openssl version, with a provider configured" env SIGNET_TEST_COUNTS="$work/none" openssl version
ok "loads no module" test ! -e none
conf "default signet" "pin = file:/root/of/nobody"
ok "a PIN that can't be read harms nobody who needs no key" openssl dgst -sha256 message
ok "nor who makes a software key" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key
ok "nor who uses it" openssl dgst -sha256 -sign soft.key -out sig message
ok "nor who lists certificates on the token" "$signet" list "pkcs11:token=test;type=cert"
conf "default signet" "pkcs11-module = $counter"
ok "a process that signs" env SIGNET_TEST_COUNTS="$work/counts" openssl dgst -sha256 -sign "$rsa" -out sig message
ok "never finalizes the module" test "$("$build/tests/token/show-counts" counts Finalize)" = 0
tap_done

#!/bin/sh
# In every order of providers, a key on a token changes nothing for others, and is read wherever a software key is.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
other_pin=13579
printf '%s\n' "$other_pin" >"$work/other-pin"

# A token of its own for the second instance, with keys of the same names.
token_make other "$other_pin" || exit 99
conf "default signet" "pin = file:$work/other-pin"
for type in ec rsa; do
    [ $type = ec ] && kind=EC:prime256v1 || kind=rsa:2048
    token_key other "$other_pin" $kind $type 01 || exit 99
    pki_leaf "$work" "pkcs11:token=other;object=$type;type=private" $type-other "/CN=localhost" serverAuth,clientAuth \
        DNS:localhost || exit 99
    cat "$work/$type.key" "$work/$type-chain.pem" >"$work/$type-before.pem"
    cat "$work/$type-chain.pem" "$work/$type.key" >"$work/$type-after.pem"
    peers_file "$work/$type-peers.pem" "pkcs11:token=test;object=$type;type=private"
done

# order TITLE ORDER [SETTING...]: what is first in a process must not matter, so that each gets its turn
order() {
    title=$1
    shift
    conf "$@"
    run_tap "$title, software first" "$build/tests/tls/order" "$work" software ec rsa software encrypted
    run_tap "$title, EC first" "$build/tests/tls/order" "$work" ec software rsa software
    run_tap "$title, RSA first" "$build/tests/tls/order" "$work" rsa ec software
    run_tap "$title, readers" "$build/tests/tls/readers" "$work"
    run_tap "$title, key transport" "$build/tests/tls/transport" "$work"
}

# instances TITLE ORDER [SETTING...]: each has its own PIN
instances() {
    title=$1
    shift
    conf "$@"
    sed "/^\[signet2_sect\]/,/^\[/ s|^pin = .*|pin = file:$work/other-pin|" "$OPENSSL_CONF" >"$work/two.cnf"
    OPENSSL_CONF="$work/two.cnf"
    run_tap "$title, instances first" "$build/tests/tls/order" "$work" instances software
    run_tap "$title, instances last" "$build/tests/tls/order" "$work" software instances software
}

prefer="default_properties = ?provider=signet"
prefer2="default_properties = ?provider=signet2"
order "default first" "default signet"
order "ours first" "signet default"
order "default first, ?provider=signet" "default signet" "$prefer"
order "ours first, ?provider=signet" "signet default" "$prefer"
order "two of ours, default first" "default signet signet2"
order "two of ours, the other way round, default first" "default signet2 signet"
order "two of ours, default last" "signet signet2 default"
order "two of ours, the other way round, default last" "signet2 signet default"
order "two of ours, default between" "signet default signet2"
order "two of ours, the other way round, default between, ?provider=signet2" "signet2 default signet" "$prefer2"

# A token without raw RSA (CKM_RSA_X_509): it removes the padding itself, and what it says of bad padding stays inside.
export SIGNET_TEST_WITHOUT=3
order "a token without raw RSA" "default signet" "pkcs11-module = $counter"
unset SIGNET_TEST_WITHOUT

for active in "default signet signet2" "default signet2 signet" "signet default signet2" "signet2 default signet" \
    "signet signet2 default" "signet2 signet default"; do
    instances "$active" "$active"
done
instances "signet2 signet default, ?provider=signet" "signet2 signet default" "$prefer"
instances "signet signet2 default, ?provider=signet2" "signet signet2 default" "$prefer2"

for active in signet "signet signet2"; do
    conf "$active"
    run_tap "$active alone" "$build/tests/tls/order" "$work" alone
done
# The base provider reads PEM, and has no keys.
conf "signet"
sed 's/^signet = /base = base_sect\n&/; s/^\[signet_sect\]/[base_sect]\nactivate = 1\n&/' "$OPENSSL_CONF" >"$work/base.cnf"
OPENSSL_CONF="$work/base.cnf"
run_tap "signet with base" "$build/tests/tls/order" "$work" alone alone-files
tap_done

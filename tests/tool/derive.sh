#!/bin/sh
# Key agreement with static EC keys on a token: the secret is what a software key would get, and no object is left behind.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
echo "the message" >message
id=10

# on_token NAME CURVE: a key pair that may derive and sign
on_token() {
    id=$((id + 1))
    token_tool test "$PIN" --keypairgen --key-type EC:$2 --label $1 --id $id --sensitive --usage-derive --usage-sign >/dev/null 2>&1 || exit 99
}
soft() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$2 -out $1.key 2>/dev/null && openssl pkey -in $1.key -pubout -out $1.pub || exit 99
}
# agreed KEY PUBLIC-HALF PEER: whether KEY and the software key PEER get one secret
agreed() {
    openssl pkeyutl -derive -inkey "$1" -peerkey $3.pub -out one && openssl pkeyutl -derive -inkey $3.key -peerkey $2 -out other &&
        cmp one other && test -s one
}
enveloped() { # KEY
    openssl cms -encrypt -binary -aes-256-cbc -in message -outform DER -out cms one.crt &&
        openssl cms -decrypt -binary -inform DER -in cms -recip one.crt -inkey "$1" -out plain && cmp plain message
}

for curve in prime256v1 secp384r1 secp521r1; do
    on_token $curve $curve
    soft peer $curve
    uri="pkcs11:token=test;object=$curve;type=private"
    openssl pkey -in "$uri" -pubout -out token.pub || exit 99
    openssl pkey -in "$uri" -out token.key || exit 99
    ok "$curve: both sides get one secret" agreed "$uri" token.pub peer
    ok "$curve: by key file" agreed token.key token.pub peer
    ok "$curve: a certificate" openssl req -new -x509 -key "$uri" -subj /CN=$curve -days 30 -out one.crt
    ok "$curve: a CMS for it is opened, by X9.63" enveloped "$uri"
    ok "$curve: by key file" enveloped token.key
    for mode in -aes128-wrap -aes256-wrap; do
        ok "$curve: with $mode" openssl cms -encrypt -binary $mode -in message -outform DER -out cms one.crt
        ok "$curve: is opened" openssl cms -decrypt -binary -inform DER -in cms -recip one.crt -inkey "$uri" -out plain
    done
done
soft other-curve prime256v1
not_ok "a key of another curve is no peer" openssl pkeyutl -derive -inkey "$uri" -peerkey other-curve.pub -out one
soft peer prime256v1
odd_key sign-only 20 06082a8648ce3d030107
not_ok "a key that may not derive does not" openssl pkeyutl -derive -inkey "pkcs11:token=test;object=sign-only;type=private" -peerkey peer.pub -out one
says "and the token says so" 'C_DeriveKey: CKR_KEY_FUNCTION_NOT_PERMITTED'

# Montgomery curves. SoftHSM has them under the type of Edwards ones.
soft_x() { # NAME TYPE
    openssl genpkey -algorithm $2 -out $1.key 2>/dev/null && openssl pkey -in $1.key -pubout -out $1.pub || exit 99
}
# low_order TYPE: the public key whose secrets are zeros
low_order() {
    case $1 in
    X25519) printf '\060\052\060\005\006\003\053\145\156\003\041\000' && head -c 32 /dev/zero ;;
    X448) printf '\060\102\060\005\006\003\053\145\157\003\071\000' && head -c 56 /dev/zero ;;
    esac | openssl pkey -pubin -inform DER -out zero.pub || exit 99
}
odd_key X25519 31 xed:06032b656e
odd_key X448 32 xed:06032b656f
odd_key idle 33 ed:06032b656e
for type in X25519 X448; do
    soft_x peer-$type $type
    uri="pkcs11:token=test;object=$type;type=private"
    openssl pkey -in "$uri" -pubout -out token.pub || exit 99
    openssl pkey -in "$uri" -out token.key || exit 99
    ok "$type: both sides get one secret" agreed "$uri" token.pub peer-$type
    ok "$type: by key file" agreed token.key token.pub peer-$type
    low_order $type
    not_ok "$type: a key of low order is no peer" openssl pkeyutl -derive -inkey "$uri" -peerkey zero.pub -out one
done
not_ok "a key of X25519 is no peer for one of X448" openssl pkeyutl -derive -inkey "$uri" -peerkey peer-X25519.pub -out one
not_ok "nor one of a curve" openssl pkeyutl -derive -inkey "$uri" -peerkey peer.pub -out one
not_ok "a key of X25519 that may not derive does not" openssl pkeyutl -derive -inkey "pkcs11:token=test;object=idle;type=private" -peerkey peer-X25519.pub -out one
says "and the token says so" 'C_DeriveKey: CKR_KEY_FUNCTION_NOT_PERMITTED'

# What else there is: a token with other customs, which notes what it is asked.
mkdir keys
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out keys/dh.pem 2>/dev/null || exit 99
openssl pkey -in keys/dh.pem -pubout -out dh.pub || exit 99
export SIGNET_TEST_KEYS="$work/keys" SIGNET_TEST_CALLED="$work/called"
uri="pkcs11:token=soft;object=dh;type=private"
for words in "" padded old; do
    export SIGNET_TEST_SOFT=$words
    conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
    : >called
    ok "${words:-another token}: one secret" agreed "$uri" dh.pub peer
    ok "${words:-another token}: which is destroyed there" test "$(tr -d IS <called)" = Dd
done

for type in X25519 X448; do
    soft_x keys/own-$type $type
    mv keys/own-$type.key keys/own-$type.pem
    low_order $type
    x_uri="pkcs11:token=soft;object=own-$type;type=private"
    for words in "" padded old spki; do
        export SIGNET_TEST_SOFT=$words
        conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
        : >called
        ok "${words:-another token}, $type: one secret" agreed "$x_uri" keys/own-$type.pub peer-$type
        proof=Dd
        [ "$words" != spki ] || proof= # such a key shows its public half
        ok "${words:-another token}, $type: which is destroyed there, as that which proves the key is" test "$(cat called)" = ${proof}Dd
    done
    export SIGNET_TEST_SOFT=careless
    : >called
    not_ok "a token that does not check, $type: a key of low order is no peer" openssl pkeyutl -derive -inkey "$x_uri" -peerkey zero.pub -out one
    says "a token that does not check, $type: the error says so" 'low order'
    ok "nor is one asked but for its proof, $type: who sends such a key would have its answer recovered from" test "$(cat called)" = Dd
done

# The other side's point in an OCTET STRING, as PKCS#11 before 2.40 could be read; that of P-521 has a longer header.
soft wide-peer secp521r1
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out keys/wide.pem 2>/dev/null || exit 99
openssl pkey -in keys/wide.pem -pubout -out wide.pub || exit 99
export SIGNET_TEST_SOFT=octets
conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
for key in dh:peer wide:wide-peer; do
    : >called
    name=${key%:*}
    ok "a token that wants points in an OCTET STRING, $name: one secret" agreed "pkcs11:token=soft;object=$name;type=private" $name.pub ${key#*:}
    ok "at the second try" test "$(tr -d IS <called)" = DDd
done
unset SIGNET_TEST_SOFT
conf "default signet" "pkcs11-module = $counter" "deadline = 5"
export SIGNET_TEST_MODULE="$build/tests/token/.libs/soft-token.so"
for fault in DeriveKey GetAttributeValue DestroyObject; do
    for rv in DEVICE_ERROR SESSION_HANDLE_INVALID; do
        rm -f counts
        export SIGNET_TEST_COUNTS="$work/counts" SIGNET_TEST_FAULTS="$fault:rv=CKR_$rv"
        openssl pkey -in "$uri" -out dh.key 2>/dev/null
        rm -f counts
        ok "C_$fault fails once with $rv: one secret" agreed dh.key dh.pub peer
    done
done
unset SIGNET_TEST_FAULTS SIGNET_TEST_COUNTS SIGNET_TEST_MODULE

# Ephemeral keys of software stay software, whichever provider makes them.
for order in "default signet" "signet default"; do
    for properties in "" "default_properties = ?provider=signet"; do
        conf "$order" ${properties:+"$properties"} "pkcs11-module = $build/tests/token/.libs/soft-token.so"
        : >called
        for name in peer peer-X25519 peer-X448; do
            ok "$order${properties:+, $properties}, $name: software keys agree" agreed $name.key $name.pub $name
        done
        ok "$order${properties:+, $properties}: without a token" test ! -s called
    done
done
tap_done

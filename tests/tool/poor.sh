#!/bin/sh
# Tokens that have less than others: the key still signs, by the next choice, and what can't be done is told.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/run.sh"
setup_token
odd_key ed25519 03 $ED25519
odd_key ed448 04 $ED448
odd_key rsa-pss 05 $RSA_PSS
odd_key sha256-only 06 rsa 0x40 0x43 # CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS
poor="$build/tests/token/.libs/poor-token.so"
conf "default signet" "pkcs11-module = $poor"
cd "$work" || exit 99
echo "the message" >message
head -c 3000000 /dev/zero >long
openssl dgst -sha256 -binary message >digest
for type in ec rsa ed25519 ed448 rsa-pss sha256-only; do
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -pubout -out $type.pub || exit 99
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -out $type.key || exit 99
done

# at_once KEY DIGEST [OPTION...]: whether a key file signs the message in one piece; with a digest of "-" by none
at_once() {
    key=$1
    digest="-digest $2"
    [ "$2" != - ] || digest=
    shift 2
    openssl pkeyutl -sign -rawin $digest "$@" -inkey $key.key -in message -out sig &&
        openssl pkeyutl -verify -rawin $digest "$@" -pubin -inkey $key.pub -in message -sigfile sig
}
# streamed KEY FILE [OPTION...]: likewise in pieces, by SHA-256
streamed() {
    key=$1
    file=$2
    shift 2
    openssl dgst -sha256 "$@" -sign $key.key -out sig "$file" &&
        openssl dgst -sha256 "$@" -verify $key.pub -signature sig "$file"
}
# ready KEY [OPTION...]: likewise, a digest that was made before
ready() {
    key=$1
    shift
    openssl pkeyutl -sign "$@" -pkeyopt digest:sha256 -inkey $key.key -in digest -out sig &&
        openssl pkeyutl -verify "$@" -pkeyopt digest:sha256 -pubin -inkey $key.pub -in digest -sigfile sig
}
pss="-pkeyopt rsa_padding_mode:pss"
streamed_pss="-sigopt rsa_padding_mode:pss"

# with ONLY WORDS: what the token has from here on
with() {
    export SIGNET_TEST_ONLY="$1" SIGNET_TEST_POOR="${2:-}"
    token="only $1${2:+, $2}"
}
CKM_RSA_PKCS=0x1 CKM_RSA_X_509=0x3 CKM_RSA_PKCS_PSS=0xd CKM_SHA256_RSA_PKCS=0x40 CKM_SHA256_RSA_PKCS_PSS=0x43
CKM_ECDSA=0x1041 CKM_ECDSA_SHA256=0x1044 CKM_ECDSA_SHA384=0x1045

for silence in "" silent; do
    with $CKM_ECDSA_SHA256 $silence
    ok "$token: EC signs at once" at_once ec sha256
    ok "$token: and in pieces" streamed ec message
    not_ok "$token: but no digest whose message is gone" ready ec
    not_ok "$token: nor by another digest" at_once ec sha384

    with $CKM_SHA256_RSA_PKCS $silence
    ok "$token: RSA signs at once" at_once rsa sha256
    ok "$token: and in pieces" streamed rsa message
    not_ok "$token: but no digest whose message is gone" ready rsa
    not_ok "$token: nor by another digest" at_once rsa sha512
    not_ok "$token: nor with PSS" at_once rsa sha256 $pss
    says "$token: which names what would do" 'CKM_RSA_PKCS_PSS\|mechanism'

    with $CKM_SHA256_RSA_PKCS_PSS $silence
    ok "$token: PSS signs at once" at_once rsa sha256 $pss
    ok "$token: with a salt of another length" at_once rsa sha256 $pss -pkeyopt rsa_pss_saltlen:20
    ok "$token: and in pieces" streamed rsa message $streamed_pss
    ok "$token: a key of RSA-PSS" at_once rsa-pss sha256
    not_ok "$token: but no digest whose message is gone" ready rsa $pss

    with $CKM_RSA_X_509 $silence
    for hash in sha1 sha256 sha384 sha512; do
        ok "$token: RSA signs by $hash" at_once rsa $hash
        ok "$token: and with PSS by $hash" at_once rsa $hash $pss
    done
    for salt in digest max 0 20; do
        ok "$token: PSS with salt $salt" at_once rsa sha256 $pss -pkeyopt rsa_pss_saltlen:$salt
    done
    ok "$token: PSS whose mask is by another digest" at_once rsa sha256 $pss -pkeyopt rsa_mgf1_md:sha512
    ok "$token: in pieces" streamed rsa message
    ok "$token: and with PSS" streamed rsa message $streamed_pss
    ok "$token: a ready digest" ready rsa
    ok "$token: and with PSS" ready rsa $pss
    not_ok "$token: a key that does not allow it signs with nothing else" at_once rsa-pss sha256

    with $CKM_RSA_PKCS $silence
    ok "$token: RSA signs" at_once rsa sha256
    not_ok "$token: but not with PSS" at_once rsa sha256 $pss
done

# A message that is longer than what is kept for a token that is not known yet: the token is asked.
with $CKM_ECDSA_SHA256
ok "a long message for a token that hashes" streamed ec long
with $CKM_SHA256_RSA_PKCS_PSS
ok "a long message for a token that hashes, with PSS" streamed rsa long $streamed_pss
with $CKM_ECDSA
ok "a long message for one that does not" streamed ec long

with "" plain
ok "EdDSA without parameters, and just enough room" at_once ed25519 -
ok "Ed448 likewise" at_once ed448 -
with "" params
ok "EdDSA with parameters" at_once ed25519 -
ok "Ed448 likewise" at_once ed448 -

# What the key allows is known before anybody signs.
with ""
ok "a key that allows hashing alone signs" openssl dgst -sha256 -sign "pkcs11:token=test;object=sha256-only;type=private" -out sig message
ok "and that verifies" openssl dgst -sha256 -verify sha256-only.pub -signature sig message
not_ok "another digest is refused" openssl dgst -sha512 -sign "pkcs11:token=test;object=sha256-only;type=private" -out sig message
says "before the token is asked" "can't sign by SHA"

# Signatures that are begun by a digest that won't do are refused then, so that libssl takes another one.
odd_key sha384-only 07 rsa 0x41 0x44 # CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS
uri="pkcs11:token=test;object=sha384-only;type=private"
openssl req -new -x509 -sha384 -key "$uri" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 -out root.pem || exit 99
cp root.pem sha384-only-chain.pem
for version in 1.2 1.3; do
    ok "a key for SHA-384 alone at both ends, TLS $version: the handshake takes it" mutual "" "$uri" sha384-only "$uri" sha384-only $version
    says "by the digest that it can" 'sha384'
    never_says "and no other" 'pss_rsae_sha256\|pkcs1_sha256'
done

# PSS can't be refused then, since nobody says before what padding it is going to be.
odd_key pkcs1-only 08 rsa 0x40 0x41 0x42 # CKM_SHA*_RSA_PKCS
uri="pkcs11:token=test;object=pkcs1-only;type=private"
ok "a key without PSS signs" env SIGNET_TRACE=stderr:key openssl dgst -sha256 -sign "$uri" -out sig message
says "with a warning in the trace" "warning: .*can't sign by PSS"
not_ok "with PSS it does not" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign "$uri" -out sig message

# Nothing of this costs a token that has everything a call.
export SIGNET_TEST_LISTED="$work/listed"
for type in ec rsa rsa-pss; do
    ok "$type signs on a token that has all" at_once $type sha256
done
ok "in pieces, too" streamed ec message
ok "which is never asked what it offers" test ! -e listed
with $CKM_RSA_X_509
ok "one that refuses is asked" at_once rsa sha256
ok "once" test "$(wc -c <listed)" = 1
unset SIGNET_TEST_LISTED

for words in bare private bare,private; do
    with "" $words
    for type in ec ed25519 ed448; do
        uri="pkcs11:token=test;object=$type;type=private"
        case $words in
        bare)
            ok "$words: $type by URI" openssl pkey -in "$uri" -pubout -out again.pub
            ok "$words: is the same key" cmp again.pub $type.pub
            ;;
        *)
            not_ok "$words: $type shows no public half" openssl pkey -in "$uri" -pubout -out again.pub
            says "$words: which is told" 'neither a public key nor a certificate'
            ok "$words: $type by key file" openssl req -new -x509 -key $type.key -subj /CN=$type -outform DER -out $type.der
            ;;
        esac
    done
    for type in rsa; do
        ok "$words: $type by URI" openssl pkey -in "pkcs11:token=test;object=$type;type=private" -pubout -out again.pub
        ok "$words: is the same key" cmp again.pub $type.pub
    done
done
id=1
for type in ec ed25519 ed448; do
    [ $type = ec ] && id=01
    [ $type = ed25519 ] && id=03
    [ $type = ed448 ] && id=04
    token_tool test "$PIN" --write-object $type.der --type cert --id $id --label $type >/dev/null 2>&1
    ok "$type by URI, with a certificate on the token alone" openssl pkey -in "pkcs11:token=test;object=$type;type=private" -pubout -out again.pub
    ok "$type: is the same key" cmp again.pub $type.pub
done
tap_done

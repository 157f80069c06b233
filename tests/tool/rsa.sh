#!/bin/sh
# RSA keys on a token beside the same software: every digest and mask, one answer to bad padding, the public half alone,
# and what fips = yes refuses.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
echo "the message" >message
uri="pkcs11:token=test;object=rsa;type=private"
openssl pkey -in "$uri" -pubout -out rsa.pub || exit 99
OPENSSL_CONF=/dev/null openssl genpkey -algorithm RSA -out file.key 2>/dev/null || exit 99

# sign KEY OPTION...: its status
sign() {
    sign_key=$1
    shift
    openssl dgst "$@" -sign "$sign_key" -out sig message
}
# alike NAME OPTION...: the token's key signs, and rightly, just where a software key does
alike() {
    name=$1
    shift
    if sign file.key "$@" >/dev/null 2>&1; then
        ok "$name: the token's key signs, as software does" sign "$uri" "$@"
        ok "$name: which verifies" openssl dgst "$@" -verify rsa.pub -signature sig message
    else
        not_ok "$name: the token's key does not sign, as software doesn't" sign "$uri" "$@"
        says "$name: and says why" 'rror'
    fi
}
for digest in sha1 sha256 sha512 sha3-224 sha3-256 sha3-512 sha512-224 sha512-256 sm3 blake2b512 blake2s256 ripemd160 md5 shake256; do
    alike "$digest" -$digest
    alike "$digest, PSS" -$digest -sigopt rsa_padding_mode:pss
done
for mask in sha1 sha384 sha3-256; do
    alike "PSS with a mask by $mask" -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_mgf1_md:$mask
done
alike "PSS as usual, after that" -sha256 -sigopt rsa_padding_mode:pss
for digest in sha256 sha3-256 sha512-256; do
    for mask in sha1 sha3-512; do
        options="-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:$digest -pkeyopt rsa_mgf1_md:$mask"
        openssl pkeyutl -encrypt -pubin -inkey rsa.pub $options -in message -out cipher || exit 99
        ok "OAEP by $digest, with a mask by $mask" openssl pkeyutl -decrypt -inkey "$uri" $options -in cipher -out clear
        ok "is the message" cmp clear message
    done
done

# --- bad padding: one answer, whoever asks and however the key is named
head -c 256 /dev/zero | tr '\0' '\1' >garbage
answer() { # NAME URI
    openssl pkeyutl -decrypt -inkey "$2" -pkeyopt rsa_padding_mode:pkcs1 -in garbage -out "answer.$1"
}
ok "bad padding is answered" answer one "$uri"
ok "in another process" answer two "$uri"
ok "equally" cmp answer.one answer.two
ok "by another URI" answer three 'pkcs11:token=test;id=%02;type=private'
ok "equally" cmp answer.one answer.three
"$signet" key-file -o rsa.key "$uri" || exit 99
ok "by key file" answer four rsa.key
ok "equally" cmp answer.one answer.four
tr '\1' '\2' <garbage >other && mv other garbage
ok "other garbage" answer five "$uri"
not_ok "has another answer" cmp answer.one answer.five

# --- the public half alone
delete() {
    env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin "$PIN" --delete-object "$@" >/dev/null 2>&1 ||
        exit 99
}
delete --type pubkey --id 02
ok "a public key is had where the token shows a private one alone" openssl pkey -pubin -in 'pkcs11:token=test;object=rsa' -pubout -out again.pub
ok "it is the same" cmp again.pub rsa.pub
openssl req -new -x509 -key "$uri" -subj /CN=rsa -days 2 -out rsa.crt || exit 99
openssl x509 -in rsa.crt -outform DER -out rsa.der
env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin "$PIN" --write-object rsa.der --type cert --id 09 \
    --label crt >/dev/null 2>&1 || exit 99
ok "or a certificate alone" openssl pkey -pubin -in 'pkcs11:token=test;object=crt' -pubout -out again.pub
ok "which is the same, too" cmp again.pub rsa.pub
not_ok "where nothing bears the name" openssl pkey -pubin -in 'pkcs11:token=test;object=none' -pubout
says "a public key is what is missing" 'no .*key that matches'

# --- fips = yes
token_key test "$PIN" rsa:1024 short 07 || exit 99
short='pkcs11:token=test;object=short;type=private'
ok "without the setting a key of 1024 bits signs" sign "$short" -sha256
conf "default signet" "fips = yes"
not_ok "with fips = yes it does not" sign "$short" -sha256
says "for a reason that is told" 'less than 112 bits of security'
not_ok "nor a ready digest" sh -c "openssl dgst -sha256 -binary message >digest; openssl pkeyutl -sign -inkey '$short' -pkeyopt digest:sha256 -in digest -out sig"
not_ok "nor does any key by SHA-1" sign "$uri" -sha1
says "which is told" 'SHA1: it has less than 112 bits'
not_ok "nor a ready digest of it" sh -c "openssl dgst -sha1 -binary message >digest; openssl pkeyutl -sign -inkey '$uri' -pkeyopt digest:sha1 -in digest -out sig"
ok "but by SHA-256" sign "$uri" -sha256
tap_done

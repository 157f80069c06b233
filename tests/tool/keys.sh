#!/bin/sh
# Keys on a token in the hands of the openssl command, as a user has it.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
echo "the message" >message
openssl dgst -sha256 -binary message >digest

for type in ec rsa; do
    uri="pkcs11:token=test;object=$type;type=private"
    ok "$type: the public half comes as SubjectPublicKeyInfo" openssl pkey -in "$uri" -pubout -out $type.pub
    ok "$type: and says so" grep -q 'BEGIN PUBLIC KEY' $type.pub
    ok "$type: the text shows where the key is" openssl pkey -in "$uri" -noout -text
    says "$type: on a token" 'on a PKCS#11 token'
    never_says "$type: no private part is printed" '^priv\|prime1\|privateExponent'
    ok "$type: the key checks" openssl pkey -in "$uri" -noout -check
    ok "$type: dgst signs" openssl dgst -sha256 -sign "$uri" -out sig message
    ok "$type: and libcrypto verifies" openssl dgst -sha256 -verify $type.pub -signature sig message
    ok "$type: pkeyutl signs a ready digest" openssl pkeyutl -sign -inkey "$uri" -pkeyopt digest:sha256 -in digest -out sig
    ok "$type: which verifies" openssl pkeyutl -verify -pubin -inkey $type.pub -pkeyopt digest:sha256 -in digest -sigfile sig
    ok "$type: req makes a self-signed certificate" openssl req -new -x509 -key "$uri" -subj "/CN=$type" -addext basicConstraints=critical,CA:TRUE -days 30 -out $type.crt
    ok "$type: which verifies" openssl verify -CAfile $type.crt $type.crt
    ok "$type: req makes a request" openssl req -new -key "$uri" -subj "/CN=$type leaf" -out $type.csr
    ok "$type: whose signature is good" openssl req -in $type.csr -noout -verify
    ok "$type: x509 signs it with the token's key" openssl x509 -req -in $type.csr -CA $type.crt -CAkey "$uri" -CAcreateserial -out leaf.crt
    ok "$type: and the chain verifies" openssl verify -CAfile $type.crt leaf.crt
    ok "$type: cms signs" openssl cms -sign -nodetach -in message -signer $type.crt -inkey "$uri" -outform DER -out cms
    ok "$type: and verifies" openssl cms -verify -inform DER -in cms -CAfile $type.crt -out cms.out
    ok "$type: the key file is written" openssl pkey -in "$uri" -out $type.key
    says_nothing=$(grep -c 'BEGIN PRIVATE KEY' $type.key)
    ok "$type: under the label of every private key" test "$says_nothing" = 1
    ok "$type: the key file signs" openssl dgst -sha256 -sign $type.key -out sig message
    ok "$type: and that verifies" openssl dgst -sha256 -verify $type.pub -signature sig message
    not_ok "$type: another message does not" openssl dgst -sha256 -verify $type.pub -signature sig digest
done

# What is left out by settings costs others nothing, and what is not stays as it was.
peers_file peers.pem "pkcs11:token=test;object=ec;type=private"
for files in all signet none; do
    conf "default signet" "key-files = $files" "key-types = ec"
    own=not_ok
    peers=not_ok
    [ $files = none ] || own=ok
    [ $files != all ] || peers=ok
    ok "key-files = $files: the key comes by URI" openssl dgst -sha256 -sign "pkcs11:token=test;object=ec;type=private" -out sig message
    ok "key-files = $files: its key file can be written" openssl pkey -in "pkcs11:token=test;object=ec;type=private" -out again.key
    $own "key-files = $files: whether the key file is read" openssl dgst -sha256 -sign again.key -out sig message
    $peers "key-files = $files: whether another provider's is" openssl dgst -sha256 -sign peers.pem -out sig message
done
conf

uri="pkcs11:token=test;object=rsa;type=private"
for salt in digest auto max 0 20; do
    ok "PSS with salt length $salt" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:$salt -sign "$uri" -out sig message
    ok "PSS with salt length $salt verifies" openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:auto -verify rsa.pub -signature sig message
done
ok "a certificate signed with PSS, of the default salt" openssl req -new -x509 -key "$uri" -sigopt rsa_padding_mode:pss -subj /CN=pss -out pss.crt
ok "verifies, its own signature too" openssl verify -check_ss_sig -CAfile pss.crt pss.crt
ok "a certificate signed with PSS" openssl req -new -x509 -key "$uri" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1 -subj /CN=pss -out pss.crt
ok "verifies" openssl verify -CAfile pss.crt pss.crt
ok "a request signed with PSS, its salt left to the default" openssl req -new -key "$uri" -sigopt rsa_padding_mode:pss -subj /CN=pss -out pss.csr
ok "tells the salt that was used" openssl req -in pss.csr -noout -verify
says "and verifies" 'verify OK'
for options in "rsa_padding_mode:pkcs1" "rsa_padding_mode:oaep" "rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256" \
    "rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha384 -pkeyopt rsa_mgf1_md:sha1"; do
    openssl pkeyutl -encrypt -pubin -inkey rsa.pub -pkeyopt $options -in message -out cipher
    ok "decrypts with $options" openssl pkeyutl -decrypt -inkey "$uri" -pkeyopt $options -in cipher -out clear
    ok "to the same message" cmp message clear
done
head -c 256 /dev/zero | tr '\0' '\1' >garbage
ok "bad PKCS#1 padding is no error that an attacker could see" openssl pkeyutl -decrypt -inkey "$uri" -pkeyopt rsa_padding_mode:pkcs1 -in garbage -out one
openssl pkeyutl -decrypt -inkey "$uri" -pkeyopt rsa_padding_mode:oaep -in garbage >/dev/null 2>&1
not_ok "bad OAEP is one" openssl pkeyutl -decrypt -inkey "$uri" -pkeyopt rsa_padding_mode:oaep -in garbage
openssl cms -encrypt -in message -out enveloped rsa.crt
conf "default signet" "pkcs11-module = $counter"
openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in message -out cipher
ok "a token without raw RSA decrypts" env SIGNET_TEST_WITHOUT=3 openssl pkeyutl -decrypt -inkey "$uri" -in cipher -out clear
ok "to the same message (without raw RSA)" cmp message clear
ok "and bad padding is no error (without raw RSA)" env SIGNET_TEST_WITHOUT=3 openssl pkeyutl -decrypt -inkey "$uri" \
    -pkeyopt rsa_padding_mode:pkcs1 -in garbage -out one
openssl pkeyutl -encrypt -pubin -inkey rsa.pub -pkeyopt rsa_padding_mode:oaep -in message -out cipher
ok "nor does OAEP need raw RSA" env SIGNET_TEST_WITHOUT=3 openssl pkeyutl -decrypt -inkey "$uri" -pkeyopt rsa_padding_mode:oaep \
    -in cipher -out clear
conf
ok "cms decrypts" openssl cms -decrypt -in enveloped -inkey "$uri" -recip rsa.crt -out clear
ok "storeutl lists the token" openssl storeutl -noout pkcs11:token=test
says "two private and two public keys" 'Total found: 4'
ok "storeutl lists private keys alone" openssl storeutl -noout -keys pkcs11:token=test
says "both of them" 'Total found: 2'
ok "the scheme may be in any case" openssl pkey -in "PKCS11:token=test;object=ec;type=private" -noout

cat >ca.cnf <<CA
[ca]
default_ca = ca_sect
[ca_sect]
dir = $work
new_certs_dir = $work
database = $work/index
serial = $work/serial
default_md = sha256
default_days = 30
policy = policy_sect
[policy_sect]
commonName = supplied
CA
: >index
echo 01 >serial
cat openssl.cnf ca.cnf >both.cnf
for type in ec rsa; do
    ok "$type: ca signs a request with the token's key" env OPENSSL_CONF="$work/both.cnf" openssl ca -batch -config both.cnf \
        -cert $type.crt -keyfile "pkcs11:token=test;object=$type;type=private" -in ec.csr -out by-ca-$type.crt -notext
    ok "$type: and the certificate verifies" openssl verify -CAfile $type.crt by-ca-$type.crt
    : >index
done
ok "openssl ec shows the public half" openssl ec -in "pkcs11:token=test;object=ec;type=private" -pubout -out ec2.pub
ok "which is the same" cmp ec.pub ec2.pub
not_ok "a key file is not encrypted" openssl pkey -in "$uri" -aes256 -passout pass:x -out encrypted.key
not_ok "the private key is not written in the old form" openssl rsa -in "$uri" -traditional
tap_done

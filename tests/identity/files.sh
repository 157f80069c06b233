#!/bin/sh
# Keys whose public half is in a file, certificates that were renewed, and what the listing says of keys that can't be
# used.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
echo "the message" >message
status() {
    expected=$1
    shift
    "$@"
    test $? = "$expected"
}
p11() {
    env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin "$PIN" "$@" >p11.out 2>&1 ||
        { cat p11.out; exit 99; }
}
uri='pkcs11:token=test;object=ec;type=private'
openssl req -new -x509 -key "$uri" -subj /CN=alone -days 30 -out alone.crt || exit 99
openssl x509 -in alone.crt -pubkey -noout >alone.pub
openssl x509 -in alone.crt -outform DER -out alone.der
openssl req -new -x509 -key "pkcs11:token=test;object=rsa;type=private" -subj /CN=rsa -days 30 -out rsa.crt || exit 99
openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out stranger.pub 2>/dev/null

p11 --delete-object --type pubkey --id 01
not_ok "a private key alone on its token shows no public half" openssl pkey -in "$uri" -pubout
says "and the error names the way" 'signet key-file --certificate FILE'
for given in "--certificate alone.crt" "--certificate alone.der" "--public-key alone.pub"; do
    ok "key-file $given" "$signet" key-file --force $given -o alone.key "$uri"
    ok "signs" openssl dgst -sha256 -sign alone.key -out sig message
    ok "for that public half" openssl dgst -sha256 -verify alone.pub -signature sig message
done
ok "with a URI of several keys the half says which is meant" "$signet" key-file --force --public-key alone.pub -o alone.key 'pkcs11:token=test'
ok "it is that one" sh -c 'openssl pkey -in alone.key -pubout | cmp - alone.pub'
ok "another key's certificate is refused" status 1 "$signet" key-file --certificate rsa.crt -o wrong.key "$uri"
says "with its fingerprint" 'rsa.crt has the SHA-256 fingerprint [0-9a-f]\{64\}'
ok "and no file is made" test ! -e wrong.key
ok "a stranger's public key is refused" status 1 "$signet" key-file --public-key stranger.pub -o wrong.key "$uri"
ok "for an RSA key, too" status 1 "$signet" key-file --public-key alone.pub -o wrong.key 'pkcs11:token=test;object=rsa'
says "with both fingerprints" "that of the token's key is [0-9a-f]\{64\}"
ok "a file that is not there" status 1 "$signet" key-file --certificate none.crt "$uri"
says "is told" 'none.crt: No such file'
ok "a file that is no certificate" status 1 "$signet" key-file --certificate message "$uri"
says "is told" 'message: no certificate in PEM or DER'
ok "nor is a public key one" status 1 "$signet" key-file --certificate alone.pub "$uri"

# --- the file
ln -s target.key link.key
echo old >target.key
ok "--force replaces a symbolic link" "$signet" key-file --force --public-key alone.pub -o link.key "$uri"
ok "and not what it leads to" sh -c 'test "$(cat target.key)" = old && test ! -L link.key'
ok "nothing else is left beside it" sh -c 'test "$(ls link.key*)" = link.key'
(umask 077 && "$signet" key-file --force --public-key alone.pub -o link.key "$uri")
ok "the umask counts" test "$(stat -c %a link.key)" = 600

# --- the listing
"$signet" list 'pkcs11:token=test' >out 2>&1
says "a listing has the key that can't be used" "private key  EC prime256v1, 'ec', id 01"
says "with the reason" "can't be used: no public half of key 'ec'"
odd_key ed 05 $ED25519
odd_key agree 06 xed:06032b656e
"$signet" list 'pkcs11:token=test' >out 2>&1
says "Ed25519 is listed as what it is" "private key  ED25519, 'ed', id 05"
says "X25519, too" "private key  X25519, 'agree', id 06"

# --- renewal
openssl req -new -key "pkcs11:token=test;object=rsa;type=private" -subj /CN=www -out www.csr || exit 99
mkdir ca && : >ca/index.txt && echo 01 >ca/serial
cat >ca.cnf <<CNF
[ca]
default_ca = own
[own]
database = ca/index.txt
serial = ca/serial
new_certs_dir = ca
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
CNF
openssl req -new -x509 -newkey rsa:2048 -noenc -keyout ca.key -subj /CN=ca -days 3650 -out ca.crt 2>/dev/null || exit 99
made() { # NAME START END
    OPENSSL_CONF=/dev/null openssl ca -batch -config ca.cnf -notext -cert ca.crt -keyfile ca.key -in www.csr -startdate $2 -enddate $3 \
        -out $1.crt 2>made.err || { cat made.err; exit 99; }
    openssl x509 -in $1.crt -outform DER -out $1.der
    p11 --write-object $1.der --type cert --id 02 --label rsa
}
next=$(($(date +%Y) + 1))
made old 20200101000000Z ${next}0601000000Z
made expired 20190101000000Z 20200101000000Z
made new 20200101000000Z $((next + 1))0601000000Z
made later $((next + 2))0101000000Z $((next + 5))0101000000Z
for expect in "-certs" ""; do
    ok "of several certificates of one id and label ${expect:-without an expectation}" openssl storeutl $expect -noout -text -out text 'pkcs11:token=test;object=rsa;type=cert'
    ok "one comes" test "$(grep -c 'Certificate:' text)" = 1
    ok "the valid one that ends last" grep -q "Not After : Jun  1 00:00:00 $((next + 1))" text
done
ok "a listing has all" test "$("$signet" list 'pkcs11:token=test;type=cert' | grep -c 'certificate  CN = www')" = 4
ok "x509 takes the new one, too" sh -c "openssl x509 -in 'pkcs11:token=test;object=rsa;type=cert' -noout -enddate | grep -q $((next + 1))"

# --- several keys' certificates of one name
openssl x509 -in ca.crt -outform DER -out ca.der
p11 --write-object ca.der --type cert --id 09 --label rsa
name='pkcs11:token=test;object=rsa;type=cert'
openssl storeutl -certs -noout -text 'pkcs11:token=test;type=cert' >text
ok "where nothing is named, all come" test "$(grep -c 'Subject: CN *= *www' text)" = 4
cp text out
sed -n '/Subject: CN *= *www/{g;p;q};/Not After/h' text >out
says "of a key the valid one that ends last first" "Not After : Jun  1 00:00:00 $((next + 1))"
sed -n '/Not After/h;/Subject: CN *= *www/{g;p}' text | tail -n 1 >out
says "and the one that ended last" "Not After : Jan  1 00:00:00 2020"
ok "of an authority's that has the name, too, the key's own" openssl x509 -in "$name" -noout -subject
says "is first" 'CN *= *www'
openssl storeutl -certs -noout -text "$name" >text
ok "and of each key one comes" test "$(grep -c 'Subject:' text)" = 2
p11 --delete-object --type pubkey --id 02
ok "where no key tells" env SIGNET_TRACE=stderr:find openssl x509 -in "$name" -noout -subject
says "the one that was issued last is first" 'CN *= *ca'
says "which is told" 'certificates of 2 keys have this name.*name it by its id'
ok "by the id" openssl x509 -in "pkcs11:token=test;object=rsa;id=%02;type=cert" -noout -subject
says "it is the one" 'CN *= *www'

# --- both
ok "one file says whose half it is" status 2 "$signet" key-file --certificate rsa.crt --public-key alone.pub "$uri"
tap_done

#!/bin/sh
# Bad days: each failure says what happened, where, and what to do; a wrong PIN is tried once.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
cd "$work" || exit 99
rsa="pkcs11:token=test;object=rsa;type=private"
conf
openssl pkey -in "$rsa" -out rsa.key
openssl genpkey -algorithm RSA -out soft.key 2>/dev/null
echo message >message

# fails_with SENTENCE PATTERN COMMAND...: fails, and OpenSSL's first line of errors is ours and has the pattern. `openssl
# dgst` of 4.0 looks for a digest of the name "dgst" before anything else.
fails_with() {
    what=$1
    pattern=$2
    shift 2
    not_ok "$what: fails" "$@"
    grep ':error:' out | grep -v 'Algorithm (dgst : ' | head -n 1 | grep -q -- "$pattern"
    tap_line $? "$what: the first error says $pattern"
}

for key in "$rsa" rsa.key; do
    conf "default signet" "pin = 11111"
    fails_with "wrong PIN ($key)" ':signet:[a-z_]*:CKR_PIN_INCORRECT:provider/' openssl dgst -sha256 -sign "$key" -out sig message
    never_says "the PIN is not told ($key)" 11111
    conf "default signet" "pin = file:/does/not/exist"
    fails_with "no PIN file ($key)" 'file:/does/not/exist: No such file' openssl dgst -sha256 -sign "$key" -out sig message
    conf "default signet" "pkcs11-module = /does/not/exist.so"
    fails_with "no module ($key)" "module '/does/not/exist.so' can't be loaded" openssl dgst -sha256 -sign "$key" -out sig message
    conf "default signet" "deadline = soon"
    fails_with "a setting that makes no sense ($key)" 'deadline = soon: it is no number' openssl dgst -sha256 -sign "$key" -out sig message
done
for type in rsa ec; do
    conf "default signet" "key-types = ed25519"
    fails_with "a type that is left out, $type" "keys of type ${type%%[a-z]*}[A-Z]* are left out by the setting key-types: add" openssl pkey -in "pkcs11:token=test;object=$type;type=private" -noout
    conf "default signet" "key-types = ed25519, $type"
    ok "$type: added, it is there" openssl pkey -in "pkcs11:token=test;object=$type;type=private" -noout
done
conf "default signet" "key-types = rsa, ecdsa"
fails_with "a type that does not exist" 'key-types = rsa, ecdsa: a word of it is unknown.* rsa-pss, ec, ed25519, ' openssl pkey -in "$rsa" -noout
conf "default signet" "key-types = ec"
fails_with "the key file of a type that is left out" 'keys of type RSA are left out by the setting key-types: add' openssl pkey -in rsa.key -noout
ok "a software key of that type is read" openssl pkey -in soft.key -noout
cp "$SOFTHSM_MODULE" foreign.so
printf '\026\000' | LD_PRELOAD= dd of=foreign.so bs=1 seek=18 conv=notrunc 2>/dev/null # its machine: S/390
conf "default signet" "pkcs11-module = $work/foreign.so"
fails_with "a module of another architecture" 'the file is there, so it is for another architecture' openssl pkey -in "$rsa"
conf
SOFTHSM2_CONF=$work/none fails_with "a module that can't start" 'C_Initialize: CKR_GENERAL_ERROR .*whether this user may read' openssl pkey -in "$rsa"
conf "default signet" "pkcs11-module = $counter" "pin = 11111"
SIGNET_TEST_COUNTS=$work/counts openssl dgst -sha256 -sign "$rsa" -out sig message >/dev/null 2>&1
ok "a wrong PIN is tried once" test "$("$build/tests/token/show-counts" counts Login)" = 1
peers_file peers.pem "$rsa"
SIGNET_TEST_COUNTS=$work/counts-peers openssl dgst -sha256 -sign peers.pem -out sig message >out 2>&1
says "another provider's key file: a wrong PIN is told" ':signet:[a-z_]*:CKR_PIN_INCORRECT:provider/'
ok "and tried once" test "$("$build/tests/token/show-counts" counts-peers Login)" = 1
conf "default signet" "pkcs11-module = $counter" "pin = $PIN"
for type in rsa ec ed25519; do
    peers_file peers-$type.pem "pkcs11:token=test;object=$type;type=private"
    SIGNET_TEST_COUNTS=$work/counts-file-$type openssl pkey -in peers-$type.pem -noout 2>/dev/null
    SIGNET_TEST_COUNTS=$work/counts-uri-$type openssl pkey -in "pkcs11:token=test;object=$type;type=private" -noout 2>/dev/null
    ok "another provider's key file, $type: the token is searched as often as by the URI" \
        test "$("$build/tests/token/show-counts" counts-file-$type FindObjectsInit)" = "$("$build/tests/token/show-counts" counts-uri-$type FindObjectsInit)"
    ok "which is known" test "$("$build/tests/token/show-counts" counts-uri-$type FindObjectsInit)" -gt 0
done
conf "default signet" "pkcs11-module = $counter" "pin = $work/pin"
SIGNET_TEST_COUNTS=$work/counts-path fails_with "a path in place of a PIN" 'pin = (not shown): .* value:PIN' openssl pkey -in "$rsa"
ok "which costs no try, since the module is not even opened" test ! -e counts-path
conf "default signet" "pin = default_sect"
fails_with "a value lost to a section of that name" 'a section of the file bears the name' openssl pkey -in "$rsa"
conf "default signet" "tokens = prod"
fails_with "a named token without its URI" 'token.prod.uri' openssl pkey -in "$rsa"
conf "default signet" "pin = fd:x"
fails_with "a PIN source that is malformed" 'pin = (not shown)' openssl pkey -in "$rsa"
conf
fails_with "no such token" "no token matches 'pkcs11:token=nope'; present: 'test'" openssl pkey -in "pkcs11:token=nope"
fails_with "no such key" 'has no private key that matches' openssl pkey -in "pkcs11:token=test;object=nope;type=private"
fails_with "an attribute that does not exist" "unknown attribute 'tokn'" openssl pkey -in "pkcs11:tokn=test"
fails_with "a command as PIN source" 'may not run a command' openssl pkey -in "$rsa?pin-source=|cat"
fails_with "an unknown query attribute" "unknown attribute 'pin-sauce'" openssl pkey -in "$rsa?pin-sauce=/x"
fails_with "a type that does not exist" 'type= is one of' openssl pkey -in "pkcs11:token=test;type=privat"
conf "signet"
fails_with "no other provider" 'add `default = default_sect`' openssl pkey -in "$rsa"
conf "default signet"
sed 's/^pin = /pinn = /' openssl.cnf >typo.cnf
OPENSSL_CONF=$work/typo.cnf not_ok "a setting that does not exist: fails" openssl dgst -sha256 -sign rsa.key -out sig message
says "and is told" "unknown setting 'pinn'"
ok "the PIN comes from the URI" env OPENSSL_CONF="$work/typo.cnf" openssl pkey -in "$rsa?pin-source=file:$work/pin" -noout
ok "or its value" env OPENSSL_CONF="$work/typo.cnf" openssl pkey -in "$rsa?pin-value=$PIN" -noout
ok "or the application" env OPENSSL_CONF="$work/typo.cnf" openssl pkey -in "$rsa" -passin pass:$PIN -noout
conf "default signet" "pin = env:MY_PIN"
ok "or the environment" env MY_PIN=$PIN openssl pkey -in "$rsa" -noout
conf "default signet" "pin = exec:$work/giver"
printf '#!/bin/sh\ncat %s/pin\n' "$work" >giver && chmod +x giver
ok "or a program" openssl pkey -in "$rsa" -noout
conf "default signet" "pin = $PIN"
ok "or the setting itself" openssl pkey -in "$rsa" -noout
conf "default signet" "pin = fd:7"
ok "or a descriptor" sh -c "openssl pkey -in '$rsa' -noout 7<'$work/pin'"
conf "default signet" "pin = credential:hsm"
mkdir creds && cp pin creds/hsm
ok "or systemd's credentials" env CREDENTIALS_DIRECTORY="$work/creds" openssl pkey -in "$rsa" -noout

# a key file that can't be used, by the file: store; and what stands behind it
sed -n '/BEGIN/,$p' rsa.key | OPENSSL_CONF=/dev/null openssl asn1parse -noout -out rsa.der
{
    echo '-----BEGIN PRIVATE KEY-----'
    head -c $(($(wc -c <rsa.der) - 10)) rsa.der | OPENSSL_CONF=/dev/null openssl base64
    echo '-----END PRIVATE KEY-----'
} >cut.key
conf
fails_with "a key file that is cut off" "the key file can't be used: it is cut off" openssl pkey -in cut.key -noout
peers_file elsewhere.pem "pkcs11:token=nope;object=rsa;type=private"
fails_with "another provider's key file for a token that is elsewhere" "no token matches" openssl pkey -in elsewhere.pem -noout
openssl req -new -x509 -key rsa.key -subj /CN=rsa -out rsa.crt 2>/dev/null
cat elsewhere.pem rsa.crt >elsewhere-and-crt.pem
ok "who looks for a certificate behind it finds that" openssl x509 -in elsewhere-and-crt.pem -noout
conf "default signet" "deadline = soon"
ok "whatever the settings say" openssl x509 -in elsewhere-and-crt.pem -noout

# a key file may name neither a module nor a PIN
conf
"$signet" key-file -o good.key "$rsa"
ok "signet key-file writes one" openssl pkey -in good.key -noout
not_ok "and does not overwrite" "$signet" key-file -o good.key "$rsa"
says "but says how" '--force'
not_ok "signet says what is wrong with a URI" "$signet" key-file "pkcs11:token=test;object=nope"
says "in one line" "^signet: the key can't be loaded: token 'test' has no private key"
not_ok "an unknown subcommand is wrong usage" "$signet" frobnicate
ok "signet list" "$signet" list
says "shows tokens" "token 'test'"
says "and keys with their URIs" 'object=ec;type=private'
ok "openssl version loads no module" env SIGNET_TEST_COUNTS="$work/counts2" openssl version
# a key that was replaced by another of the same name: an RSA key shows itself, an EC key in SoftHSM only by what it signs
conf
openssl pkey -in "pkcs11:token=test;object=ec;type=private" -out ec.key
for type in ec rsa; do
    ok "$type: the key file signs" openssl dgst -sha256 -sign $type.key -out sig message
done
for type in privkey pubkey; do
    token_tool test "$PIN" --delete-object --type $type --label ec >/dev/null 2>&1
    token_tool test "$PIN" --delete-object --type $type --label rsa >/dev/null 2>&1
done
fails_with "a key that was deleted" 'no private key there matches' openssl dgst -sha256 -sign ec.key -out sig message
token_key test "$PIN" EC:prime256v1 ec 01
token_key test "$PIN" rsa:2048 rsa 02
rm -f sig
fails_with "an EC key that was replaced" 'does not fit the public key' openssl dgst -sha256 -sign ec.key -out sig message
fails_with "an RSA key that was replaced" 'none is the one that was loaded' openssl dgst -sha256 -sign rsa.key -out sig message
ok "and no signature gets out" test ! -s sig

# Where an application keeps errors to itself, the trace has them.
conf "default signet" "trace = stderr:error"
not_ok "an error in the trace" openssl pkey -in "pkcs11:token=test;object=none;type=private" -noout
says "is what the queue has" "^signet\[.*error: .*: token 'test' has no private key that matches 'pkcs11:token=test;object=none"
ok "without an error" openssl pkey -in "pkcs11:token=test;object=ec;type=private" -noout
never_says "nothing is said" '^signet\['
tap_done

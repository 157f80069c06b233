#!/bin/sh
# The command, on good days and bad: what it lists and writes, whose PIN it tries, and what it says where something is wrong.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
token_make other 1234 || exit 99
token_key other 1234 EC:secp384r1 elsewhere 01 || exit 99
cd "$work" || exit 99
conf "default signet" "pkcs11-module = $counter"
export SIGNET_TEST_COUNTS="$work/counts"
ec="pkcs11:token=test;object=ec;type=private"

# status N COMMAND...: whether it ends with that status
status() {
    wanted=$1
    shift
    "$@"
    test $? = "$wanted"
}

# tries SENTENCE N COMMAND...: the command tries a PIN so many times; what it said is in out and err
tries() {
    what=$1
    wanted=$2
    shift 2
    rm -f counts
    "$@" >said 2>err
    ok "$what" test "$("$build/tests/token/show-counts" counts Login)" = "$wanted"
    cp said out
}

# --- list
tries "several tokens: no PIN is tried on any" 0 "$signet" list
says "and that is said" 'several tokens match, so that no PIN is tried'
says "public keys are listed all the same" "public key   EC secp384r1, 'elsewhere', id 01"
ok "without complaints" test ! -s err
ok "asked for private keys, not seeing them is a failure" status 1 "$signet" list 'pkcs11:type=private'
says "with the way to have them" "several tokens match, so that no PIN is tried on .*token.NAME.pin"
tries "a token by its name: its PIN is tried once" 1 "$signet" list 'pkcs11:token=test'
says "private keys are listed with size, label and id" "private key  RSA 2048, 'rsa', id 02"
says "and the URI that names them" 'token=test;id=%02;object=rsa;type=private'
"$signet" list "$(sed -n 's/^ *\(pkcs11:.*object=rsa;type=private\)$/\1/p' out)" >one
ok "which names just that one" test "$(grep -c pkcs11: one)" = 1
conf "default signet" "pkcs11-module = $counter" "tokens = mine" "token.mine.uri = pkcs11:token=test" "token.mine.pin = $PIN"
tries "several tokens: a PIN of a token's own is tried on that one" 1 "$signet" list
says "whose private keys are listed" "private key  EC prime256v1, 'ec', id 01"
conf "default signet" "pkcs11-module = $counter"
tries "a wrong PIN is tried once" 1 "$signet" list --pin 999999 'pkcs11:token=test'
cp err out
says "and told with its source" "PIN from a literal PIN in the settings: C_Login: CKR_PIN_INCORRECT"
never_says "but not itself" 999999
conf_write nopin.cnf "default signet" "pkcs11-module = $SOFTHSM_MODULE"
ok "without a PIN the public part is listed" "$signet" list --config nopin.cnf 'pkcs11:token=test'
says "with what is missing" 'no private keys: they need a PIN'
ok "a PIN from the environment" env SIGNET_PIN=$PIN "$signet" list --config nopin.cnf "$ec"
openssl req -x509 -new -key "$ec" -subj '/O=Café/CN=www' -utf8 -out ec.pem 2>/dev/null
openssl x509 -in ec.pem -outform DER -out ec.der
token_tool test $PIN --write-object ec.der --type cert --label ec --id 01 >/dev/null 2>&1
ok "certificates are listed" "$signet" list 'pkcs11:token=test;type=cert'
says "with their subjects" "certificate  O = Café, CN = www, 'ec', id 01"
never_says "and nothing of private keys, which were not asked for" 'private'
ok "several modules, of which one does not load: the others are listed, and the status is that of a failure" \
    status 1 "$signet" list --module "$SOFTHSM_MODULE" --module /does/not/exist.so 'pkcs11:token=test;type=cert'
says "the good one" "token 'test'"
says "the bad one" "^signet: module '/does/not/exist.so' can't be loaded"
printf 'openssl_conf = init_sect\n[init_sect\n' >broken.cnf
for command in list key-file; do
    ok "$command: a configuration that is no such thing" status 1 "$signet" $command --config broken.cnf "$ec"
    says "$command: with its line" "'broken.cnf' can't be read: .*line 2"
    ok "$command: a configuration that is not there" status 1 "$signet" $command --config /does/not/exist "$ec"
    says "$command: with the reason" 'No such file'
    ok "$command: a provider that the configuration does not have" status 1 "$signet" $command --provider none "$ec"
    says "$command: with its name" "has no provider 'none'"
    ok "$command: an attribute that does not exist" status 1 "$signet" $command 'pkcs11:tokn=test'
    says "$command: with those that do" "unknown attribute 'tokn'"
    sed 's/^pin = .*/pin = default_sect/' openssl.cnf >lost.cnf
    ok "$command: a value that OpenSSL would lose" status 1 "$signet" $command --config lost.cnf "$ec"
    says "$command: with its name" '^signet: lost.cnf: pin in \[signet_sect\]: a section'
    sed 's/^activate = 1/activate = 1\ndeadline = soon/' openssl.cnf >bad.cnf
    ok "$command: a value that makes no sense" status 1 "$signet" $command --config bad.cnf "$ec"
    says "$command: with the file, and what is allowed" '^signet: bad.cnf: deadline = soon: it is no number; it may be seconds'
    ok "$command: a value of the environment that makes no sense" status 1 env SIGNET_DEADLINE=soon "$signet" $command "$ec"
    says "$command: with the variable, and no file" '^signet: SIGNET_DEADLINE = soon'
    ok "$command: an option that makes no sense" status 1 "$signet" $command --pin fd:x "$ec"
    says "$command: with its name" '^signet: --pin = (not shown)'
    sed 's/^pin = .*/&\nasink = yes/' openssl.cnf >typo.cnf
    ok "$command: a setting that does not exist is no failure" "$signet" $command --config typo.cnf "$ec"
    says "$command: but told with the file, and what is meant" "^signet: typo.cnf: .*unknown setting 'asink': is 'async' meant?"
    ok "$command: output that does not arrive is a failure" sh -c '! "$@" >/dev/full 2>err' sh "$signet" $command "$ec"
    cp err out
    says "$command: with the reason" 'standard output: No space left'
    ok "$command: an unknown option is wrong usage" status 2 "$signet" $command --frob "$ec"
    says "$command: with the one" "^signet $command: unrecognized option '--frob'"
    ok "$command: too many arguments are wrong usage" status 2 "$signet" $command "$ec" "$ec"
    ok "$command: help is none" "$signet" $command --help
done

printf 'openssl_conf = init_sect\n[init_sect]\n' >other.cnf
ok "a configuration without the provider is no failure" env OPENSSL_CONF="$work/other.cnf" "$signet" list --module "$SOFTHSM_MODULE" "pkcs11:token=test;type=cert"
says "but told where it was named" "other.cnf' (OPENSSL_CONF) has no provider 'signet': no settings are read"

# --- key-file
ok "key-file writes a file" "$signet" key-file -o ec.key "$ec?pin-value=$PIN"
cp ec.key out
never_says "without the PIN" "$PIN"
says "which says that it holds no secret" 'holds no secret'
openssl pkey -in ec.key -pubout -out ec.pub
conf_write two.cnf "default signet" "pkcs11-module = $SOFTHSM_MODULE" "tokens = mine" "token.mine.uri = pkcs11:token=test" \
    "token.mine.pin = file:$work/pin"
ok "and signs" env OPENSSL_CONF=two.cnf openssl dgst -sha256 -sign ec.key -out sig ec.pem
ok "what its public half verifies" openssl dgst -sha256 -verify ec.pub -signature sig ec.pem
ok "the same comes on the terminal" sh -c '"$1" key-file "$2" >ec2.key && cmp ec.key ec2.key' sh "$signet" "$ec"
ok "an existing file stays" status 1 "$signet" key-file -o ec.key "pkcs11:token=test;object=rsa"
ok "as it was" cmp ec.key ec2.key
ok "unless --force is given" "$signet" key-file --force -o ec.key "pkcs11:token=test;object=rsa"
not_ok "then it is another" cmp ec.key ec2.key
ok "a disk that is full" status 1 "$signet" key-file --force -o /dev/full "$ec"
says "is told" '/dev/full: No space left'
ln -s /proc/self/fd/1 stdout # as /dev/stdout is
ok "standard output that is a file" sh -c '"$1" key-file --force -o stdout "$2" >ec3.key && cmp ec3.key ec2.key' sh "$signet" "$ec"
ok "by a link, which stays" test -L stdout
ok "a URI of several keys" status 1 "$signet" key-file 'pkcs11:token=test'
says "is told" 'matches several keys'
ok "a file in place of a URI" status 1 "$signet" key-file ec.key
says "is told" "starts with 'pkcs11:'"
ok "a key that is not there" status 1 "$signet" key-file -o none.key "pkcs11:token=test;object=none"
ok "makes no file" test ! -e none.key
for line in "key-file -o x.key pkcs11:token=test;object=none" "key-file --pin 999999 $ec" "list --module /none.so" \
    "list --module $SOFTHSM_MODULE pkcs11:token=none"; do
    "$signet" $line >/dev/null 2>err
    ok "$line: one line of error, ours" test "$(wc -l <err) $(grep -c '^signet: ' err)" = "1 1"
done

SOFTHSM2_CONF=$work/none "$signet" list --module "$SOFTHSM_MODULE" >/dev/null 2>err
ok "list of a module that can't start: one line of error, ours" test "$(wc -l <err) $(grep -c '^signet: .*can.t start' err)" = "1 1"

# --- the rest
ok "help" "$signet" help
ok "--help" "$signet" --help
ok "-h" "$signet" -h
ok "version" "$signet" version
says "names it" '^signet [0-9]'
ok "no subcommand is wrong usage" status 2 "$signet"
ok "an unknown one, too" status 2 "$signet" frobnicate
says "with its name" "no subcommand 'frobnicate'"
tap_done

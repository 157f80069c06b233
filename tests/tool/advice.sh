#!/bin/sh
# What an error says to do, done: each fault is planted, what the message says is taken out of it and followed, and the key
# signs. And what can't be a PIN costs no try.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
cd "$work" || exit 99
key="pkcs11:token=test;object=ec;type=private"
echo message >message

# signing KEY: one signature through the counting module; what was said is in the file `said`
signing() {
    rm -f counts
    SIGNET_TEST_COUNTS=$work/counts openssl dgst -sha256 -sign "$1" -out sig message >said 2>&1
    tap_signed=$?
    cat said
    return $tap_signed
}
settings() {
    conf "default signet" "pkcs11-module = $counter" "$@"
}
logins() {
    if [ -e counts ]; then "$build/tests/token/show-counts" counts Login; else echo 0; fi
}
# costs_nothing SENTENCE PATTERN KEY: it fails, says so, and the token never saw a PIN
costs_nothing() {
    not_ok "$1: fails" signing "$3"
    says "$1: the error says '$2'" "$2"
    ok "$1: no try was spent" test "$(logins)" = 0
}

# --- what can't be a PIN ----------------------------------------------------------------------------------------------
# wrong SENTENCE CONTENT PATTERN: through every source
wrong() {
    printf -- "$2" >wrong.pin
    printf '#!/bin/sh\ncat %s/wrong.pin\n' "$work" >giver
    chmod 700 giver
    mkdir -p creds && cp wrong.pin creds/hsm
    settings "pin = file:$work/wrong.pin"
    costs_nothing "$1 in a file" "file:$work/wrong.pin: .*$3" "$key"
    settings "pin = exec:$work/giver"
    costs_nothing "$1 of a program" "exec:$work/giver: .*$3" "$key"
    settings "pin = fd:7"
    not_ok "$1 from a descriptor: fails" signing "$key" 7<wrong.pin
    says "$1 from a descriptor: the error says so" "fd:7: .*$3"
    ok "$1 from a descriptor: no try was spent" test "$(logins)" = 0
    export CREDENTIALS_DIRECTORY="$work/creds"
    settings "pin = credential:hsm"
    costs_nothing "$1 in a credential" "credential:hsm: .*$3" "$key"
    unset CREDENTIALS_DIRECTORY
    settings "pin = env:THE_PIN"
    THE_PIN=$(cat wrong.pin; echo .) && THE_PIN=${THE_PIN%.}
    export THE_PIN
    costs_nothing "$1 in a variable" "env:THE_PIN: .*$3" "$key"
    unset THE_PIN
    settings "login = auto"
    sed -i '/^pin = /d' openssl.cnf
    costs_nothing "$1 in the URI's pin-source" "file:$work/wrong.pin: .*$3" "$key?pin-source=$work/wrong.pin"
}
wrong "a second line" "$PIN\nsecond\n" 'more than one line'
wrong "a byte-order mark" "\357\273\277$PIN\n" 'byte-order mark'
wrong "a tab" "$PIN\t\n" 'control character'
wrong "a certificate" '-----BEGIN CERTIFICATE-----\nMIIB\n' 'PEM'
wrong "a kilobyte" "$(printf '%01024d' 7)" "1024 bytes, and token 'test' has PINs of [0-9]* at the most"
settings
sed -i '/^pin = /d' openssl.cnf
costs_nothing "a path attribute in the query" "a ';' stands behind the '?'" "pkcs11:token=test?pin-value=$PIN;object=ec"
costs_nothing "a line end in pin-value" 'pin-value of the URI: .*more than one line' "$key?pin-value=$PIN%0Ax"
costs_nothing "pin-value among the attributes of the path" "put '?'" "$key;pin-value=$PIN"
never_says "the PIN is not told" $PIN
rm -f counts
SIGNET_TEST_COUNTS=$work/counts openssl pkey -in "$key" -noout -passin "pass:$PIN$(printf '\tx')" >out 2>&1
says "an answer to the prompt with a control character is refused" 'the prompt: .*control character'
ok "and costs no try" test "$(logins)" = 0

# --- a literal PIN that OpenSSL's parser eats -------------------------------------------------------------------------
for eaten in '24680#x' "24680'x" '24680"x"' '24680\x' '"24680"x'; do
    settings
    grep -v '^pin = ' openssl.cnf | awk -v line="$(printf '%s' "pin = $eaten" | sed 's/\\/\\\\/g')" '{ print } /^pkcs11-module = / && !seen++ { print line }' >eaten.cnf
    cp eaten.cnf openssl.cnf
    costs_nothing "pin = $eaten" 'OpenSSL does not read this PIN as it stands' "$key"
    line=$(sed -n 's/.*: line \([0-9]*\): OpenSSL does not.*/\1/p' said | head -n 1)
    ok "the line is that of the PIN" sh -c "sed -n '${line:-0}p' openssl.cnf | grep -q '^pin = '"
    to_write=$(sed -n 's/.*: write \(pin = file:\).*/\1/p' said | head -n 1)
    ok "the error says what to write" test "$to_write" = "pin = file:"
    sed -i "${line:-1}s|.*|$to_write$work/pin|" openssl.cnf
    ok "with that in its place the key signs" signing "$key"
done
# what others' sections say, and what names a source, is none of a PIN's business
settings
printf '[req_dn]\npin = Personal "PIN" number\n[other_sect]\npkcs11-module-token-pin = 12#34\n' >>openssl.cnf
ok "a pin in a section that is not ours is as it is" signing "$key"
settings "pin = file:$work/pin#comment"
sed -i "/^pin = file:[^#]*$/d" openssl.cnf
ok "a source is read as OpenSSL reads it" signing "$key"
for good in "\"$PIN\"" "$PIN # of the token" "'$PIN'"; do
    settings "pin = $good"
    sed -i "/^pin = file:/d" openssl.cnf
    ok "pin = $good is as OpenSSL reads it, and signs" signing "$key"
done
softhsm2-util --init-token --free --label odd --so-pin 12345678 --pin '24#80"x$y' >/dev/null || exit 99
token_key odd '24#80"x$y' EC:prime256v1 ec 01 || exit 99
settings 'pin = 24\#80\"x\$y'
sed -i "/^pin = file:/d" openssl.cnf
ok "with a \\ before each of them, as the error says, such a PIN is right" signing "pkcs11:token=odd;object=ec;type=private"

# --- followed ---------------------------------------------------------------------------------------------------------
settings
costs_nothing "a blank before an attribute" "a blank stands before 'object'" "pkcs11:token=test; object=ec;type=private"
ok "left out, the key signs" signing "$(echo "pkcs11:token=test; object=ec;type=private" | sed 's/ //')"
costs_nothing "slashes after the scheme" "write pkcs11:token=" "pkcs11://token=test;object=ec;type=private"
ok "without them the key signs" signing "$(sed -n "s/.*write \(pkcs11:token=\).*/\1/p" said | head -n 1)test;object=ec;type=private"
sed -i '/^pin = /d' openssl.cnf
costs_nothing "pin-source among the attributes of the path" "put '?'" "$key;pin-source=$work/pin"
ok "with the '?' the key signs" signing "$key?pin-source=$work/pin"
costs_nothing "a relative pin-source" 'must be the absolute path of a file: file:/PATH or /PATH' "$key?pin-source=pin"
for form in $(sed -n 's/.*of a file: \(file:.PATH\) or \(.PATH\).*/\1 \2/p' said | head -n 1); do
    ok "as $form the key signs" signing "$key?pin-source=$(echo "$form" | sed "s|/PATH|$work/pin|")"
done
settings
sed -i "s|^pin = .*|pin = $work/pin|" openssl.cnf
costs_nothing "a bare path as PIN" 'looks like a path' "$key"
form=$(sed -n 's|.*is written \(file:\)/PATH.*|\1|p' said | head -n 1)
sed -i "s|^pin = .*|pin = $form$work/pin|" openssl.cnf
ok "written as the error says, the key signs" signing "$key"
settings
sed 's/^pin = /pinn = /' openssl.cnf >typo.cnf && mv typo.cnf openssl.cnf
not_ok "a mistyped setting: fails" signing "$key"
meant=$(sed -n "s/.*is '\([a-z.-]*\)' meant.*/\1/p" said | head -n 1)
ok "the error names the one that is meant" test -n "$meant"
sed -i "s/^pinn = /$meant = /" openssl.cnf
ok "with it the key signs" signing "$key"

# --- from a token that is not initialised to a key that signs: each message has the next command
mkdir "$work/blank" && printf 'directories.tokendir = %s/blank\n' "$work" >blank.conf
conf # SoftHSM by its own name, which is known not to look at a PIN where there is none
blank() {
    SOFTHSM2_CONF="$work/blank.conf" "$@"
}
new="pkcs11:token=new;object=ec;type=private"
not_ok "no token is initialised: fails" blank openssl dgst -sha256 -sign "$new" -out sig message
cp out said
command=$(sed -n 's/.*: \(pkcs11-tool --module [^ ]* --init-token --label \)LABEL --so-pin SOPIN.*/\1/p' said | head -n 1)
ok "the error has the command that initialises it" test -n "$command"
ok "which does that" blank env -u OPENSSL_CONF $command new --so-pin 12345678
not_ok "it has no PIN yet: fails" blank openssl dgst -sha256 -sign "$new" -out sig message
cp out said
says "and the error says so" 'PIN'
command=$(sed -n 's/.*\(pkcs11-tool .*--init-pin\).*/\1/p' said | head -n 1)
ok "with the command that gives it one" test -n "$command"
ok "which does that, too" blank env -u OPENSSL_CONF $command --module "$SOFTHSM_MODULE" --token-label new --so-pin 12345678 --new-pin "$PIN"
(blank token_key new "$PIN" EC:prime256v1 ec 01) || exit 99
ok "and a key there signs" blank openssl dgst -sha256 -sign "$new" -out sig message

settings

# --- a key's long names -----------------------------------------------------------------------------------------------
long=$(printf '%01200d' 7)
odd_key long "$long" 06082a8648ce3d030107
ok "a key with an id of 600 bytes has that id" sh -c "'$signet' list 'pkcs11:token=test;object=long;type=private' | grep -q 'id=%00%00'"
ok "and signs by it" signing "pkcs11:token=test;id=$(echo "$long" | sed 's/../%&/g');type=private"
tap_done

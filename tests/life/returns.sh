#!/bin/sh
# A token that goes and returns under a process that goes on signing. SoftHSM looks for its tokens in C_Initialize alone:
# what comes later is seen only by a module that has been initialised again.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
setup_token
cd "$work" || exit 99
conf "default signet" "deadline = 2"
openssl pkey -in "pkcs11:token=test;object=rsa;type=private" -out rsa.key || exit 99

# A token that was dead for a deadline is asked again after a pause, so that callers need not wait.
token_returns() {
    rmdir tokens && mv away tokens
    sleep 2.5
}

for by in uri file; do
    case $by in uri) what="pkcs11:token=test;object=rsa;type=private" ;; file) what="$work/rsa.key" ;; esac
    driver_start
    expect "by $by: loaded" done load key "$what"
    expect "by $by: signs" signed sign key
    mv tokens away && mkdir tokens
    tell sign key
    ok "by $by: without the token, an error or a signature ($answer)" \
        sh -c 'case $1 in signed | "error "*) ;; *) exit 1 ;; esac' x "$answer"
    took=$(expr "$answer" : 'error .* in \([0-9]*\) ms$')
    ok "by $by: within the deadline of 2 s, and what a busy machine adds" test "${took:-0}" -lt 5000
    expect "by $by: nothing else is found there either" "error *" load other "pkcs11:token=test;object=ec;type=private"
    token_returns
    expect "by $by: the token is back: the key signs" signed sign key
    expect "by $by: again" signed sign key 20
    expect "by $by: others are found" done load other "pkcs11:token=test;object=ec;type=private"
    expect "by $by: and sign" signed sign other
    driver_end "by $by: the process ends with its own status"
done
# started while the token is away
mv tokens away && mkdir tokens
driver_start
expect "no token yet: an error" "error *" load key "pkcs11:token=test;object=rsa;type=private"
says "which says so" "no token matches"
expect "a key file is loaded without it" done load key "$work/rsa.key"
expect "and can't sign yet" "error *" sign key
token_returns
expect "the token has come: the key signs" signed sign key
expect "others are found" done load other "pkcs11:token=test;object=ec;type=private"
driver_end "the process ends with its own status"

# A server that has run out of descriptors for a moment: SoftHSM can't open its files, and takes its token for gone.
ec="pkcs11:token=test;object=ec;type=private"
driver_start
expect "loaded" done load key "pkcs11:token=test;object=rsa;type=private"
expect "signs" signed sign key
tell fds
fds=$answer
expect "no descriptor left, with keys in use:" done files full
tell sign key
ok "  a signature, or an error ($answer)" sh -c 'case $1 in signed | "error "*) ;; *) exit 1 ;; esac' x "$answer"
expect "  another key is not found" "error *" load other "$work/none.key"
tell load other "$ec"
ok "  another key of the token is found, or an error ($answer)" sh -c 'case $1 in done | "error "*) ;; *) exit 1 ;; esac' x "$answer"
expect "descriptors again:" done files back
sleep 2.5
expect "  the key signs" signed sign key 5
expect "  another is loaded" done load other "$ec"
expect "  and signs" signed sign other
expect "  no descriptor is lost" "$fds" fds
driver_end "the process ends with its own status"
tap_done

#!/bin/sh
# Odd answers under the commands that people run; and a sample of those that `make check-hostile` tries.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_hostile "deadline = 0.1"
cd "$work" || exit 99
echo "the message" >message
openssl pkey -in keys/ec.pem -pubout -out ec.pub && openssl pkey -in keys/rsa.pem -pubout -out rsa.pub || exit 99
private="pkcs11:token=soft;type=private"

# right_or_refused FILE COMMAND...: the command fails without a crash and says why, or it succeeds, and `proved FILE` says
# that what it wrote is right. Sets $status.
right_or_refused() {
    written=$1
    shift
    rm -f "$written"
    timeout 60 "$@" >"$work/said" 2>&1
    status=$?
    ! grep -q -e "$PIN" -e 'runtime error' -e Sanitizer "$work/said" || return 1
    if [ $status -eq 0 ]; then proved "$written"; else [ $status -lt 124 ] && [ -s "$work/said" ]; fi
}
proved() {
    case $1 in
    ec.sig) OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify ec.pub -signature ec.sig message ;;
    rsa.sig) OPENSSL_CONF=/dev/null openssl pkeyutl -verify -rawin -pubin -inkey rsa.pub -in message -sigfile rsa.sig ;;
    rsa.out) cmp rsa.out rsa.pub ;;
    new.key) openssl pkey -in new.key -pubout -out rsa.out && cmp rsa.out rsa.pub ;;
    none) ;;
    esac
}
hostile_to() {
    case $1 in
    "openssl dgst") right_or_refused ec.sig openssl dgst -sha256 -sign "$private;object=ec" -out ec.sig message ;;
    "openssl pkeyutl") right_or_refused rsa.sig openssl pkeyutl -sign -rawin -inkey rsa.key -in message -out rsa.sig ;;
    "openssl pkey") right_or_refused rsa.out openssl pkey -in "$private;object=rsa" -pubout -out rsa.out ;;
    "openssl storeutl") right_or_refused none openssl storeutl -noout "pkcs11:token=soft" ;;
    "signet list") right_or_refused none "$signet" list --module "$hostile" ;;
    "signet key-file") right_or_refused new.key "$signet" key-file "$private;object=rsa" --out new.key ;;
    esac
}

# One record each (hostile.h): nothing written, no length, one above the room, minus one, one that wraps, too small for
# ever, full for ever, zeros, another template. Which call meets it goes round.
programs() {
    for call in 00 03 06 07 09 0a 0c 0d; do
        for odd in 02 0500 0502 0501 0504 8601 8802 0300 09; do
            echo $call${odd}00 | cut -c 1-8
        done
    done
}
for command in "openssl dgst" "openssl pkeyutl" "openssl pkey" "openssl storeutl" "signet list" "signet key-file"; do
    unset SIGNET_TEST_HOSTILE
    ok "$command, without an odd answer" hostile_to "$command"
    ok "succeeds" test $status -eq 0
    cases=0
    met=0
    mv "$work/said" "$work/usual"
    : >"$work/wrong"
    for program in $(programs); do
        cases=$((cases + 1))
        export SIGNET_TEST_HOSTILE=$program
        hostile_to "$command" >"$work/proof" 2>&1 ||
            { echo "$program: status $status"; cat "$work/said" "$work/proof"; } >>"$work/wrong"
        cmp -s "$work/said" "$work/usual" || met=$((met + 1))
    done
    ok "$command meets them: it says something else at $met" test $met -ge 8
    ok "$command: $cases odd answers, and none crashed it, hung it or became a wrong result" sh -c '! cat "$1" | grep .' sh "$work/wrong"
done

# The tenth call reads the private key's attributes, of which the fourth is the modulus, and the fifth the exponent.
export SIGNET_TEST_HOSTILE=09050903
not_ok "a modulus of one byte is no key" openssl pkey -in "$private;object=rsa" -pubout
export SIGNET_TEST_HOSTILE=09050904
not_ok "an exponent of 1 is none" openssl pkey -in "$private;object=rsa" -pubout
export SIGNET_TEST_HOSTILE=09030003
ok "a modulus of zeros was not filled: the public key object has it" hostile_to "openssl pkey"
ok "and the key is right" test $status -eq 0

unset SIGNET_TEST_HOSTILE
# A server, whose every handshake meets another answer: it serves on.
serve_oddly() {
    # Once the key is loaded, each fifth call is answered oddly, each time in another way.
    SIGNET_TEST_HOSTILE=$(awk 'BEGIN { for (i = 0; i < 40; i++) printf "%s%02x%02x00", i == 0 ? "1c" : "04", i % 9, i * 7 % 16 }')
    export SIGNET_TEST_HOSTILE
    openssl s_server -accept 127.0.0.1:0 -cert ec.crt -key "$private;object=ec" -tls1_3 -www >server.out 2>&1 &
    server=$!
    unset SIGNET_TEST_HOSTILE
}
serve_oddly
port=
for i in $(seq 100); do
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server.out)
    [ -z "$port" ] && kill -0 $server 2>/dev/null || break
    sleep 0.1
done
shakes() {
    OPENSSL_CONF=/dev/null openssl s_client -connect "127.0.0.1:$port" -CAfile ec.crt -verify_return_error </dev/null >client.out 2>&1
}
ok "a TLS server starts" test -n "$port"
shaken=0
refused=0
row=0 # of those that went well, the last so many
while [ $row -lt 20 ] && [ $((shaken + refused)) -lt 400 ]; do
    if shakes; then shaken=$((shaken + 1)) row=$((row + 1)); else refused=$((refused + 1)) row=0; fi
done
ok "lives on after $((shaken + refused)) handshakes" kill -0 $server
ok "of which $refused met an odd answer and failed" test $refused -ge 1
ok "and shakes hands as before after the last odd answer" test $row -eq 20
kill $server
wait $server 2>/dev/null

drive=$build/tests/hostile/drive
for shown in "" old; do
    export SIGNET_TEST_SOFT=$shown
    run_tap "${shown:-messages}" "$drive" "$hostile" "$work" 40 200 1
done
tap_done

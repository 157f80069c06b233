#!/bin/sh
# C_SignMessage of PKCS#11 3.0: one call a signature, where a token means it; and a life as before when something gets lost.
# The letters are those of tests/token/soft-token.c: i, s, f are C_MessageSignInit, C_SignMessage, C_MessageSignFinal, and I, S
# are C_SignInit and C_Sign.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
mkdir "$work/keys"
SIGNET_TEST_KEYS=$work/keys
SIGNET_TEST_CALLED=$work/called
SIGNET_TEST_MODULE=$build/tests/token/.libs/soft-token.so
export SIGNET_TEST_KEYS SIGNET_TEST_CALLED SIGNET_TEST_MODULE
cd "$work" || exit 99
OPENSSL_CONF=/dev/null openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out keys/ec.pem 2>/dev/null || exit 99
OPENSSL_CONF=/dev/null openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out keys/rsa.pem 2>/dev/null || exit 99
OPENSSL_CONF=/dev/null openssl genpkey -algorithm ED25519 -out keys/ed25519.pem || exit 99
echo message >message
ec="pkcs11:token=soft;object=ec;type=private"
rsa="pkcs11:token=soft;object=rsa;type=private"
faults="$build/tests/token/set-faults"

# called "sentence" LETTERS: which calls there were since the last time
called() {
    cat called >out 2>/dev/null
    : >called
    ok "$1" test "$(cat out)" = "$2"
}
# fresh SETTINGS-OF-THE-TOKEN [SETTING...]: a process with both keys
fresh() {
    export SIGNET_TEST_SOFT=$1
    shift
    rm -f counts called
    conf "default signet" "pkcs11-module = $counter" "deadline = 5" "$@"
    SIGNET_TEST_COUNTS=$work/counts driver_start env
    expect "${SIGNET_TEST_SOFT:-a good token}: one key is loaded" done load ec "$ec"
    expect "and another" done load rsa "$rsa"
    : >called # of EC, a signature has proved which public half is the key's
}
strike() {
    "$faults" counts "$@" || exit 99
}

for fault in DEVICE_ERROR OPERATION_ACTIVE KEY_HANDLE_INVALID; do
    fresh ""
    strike MessageSignInit:rv=CKR_$fault
    expect "C_MessageSignInit fails once with $fault: the key signs" signed sign rsa
    : >called
    expect "and again" signed sign rsa
    called "with one call" s
    driver_end "the process ends with its own status"
done

fresh ""
expect "a key signs" signed sign ec
called "the session is told once" is
expect "it signs ten times more" signed sign ec 10
called "with one call each" ssssssssss
expect "another key signs" signed sign rsa
called "with a session of its own" is
for round in 1 2 3; do
    expect "one key" signed sign ec
    expect "and the other" signed sign rsa
done
called "go on with one call each" ssssss

strike lose
expect "all sessions are lost: the key signs" signed sign ec
expect "the other one, too" signed sign rsa
: >called
expect "and again" signed sign ec
called "with one call" s
strike log-out
expect "the login is lost: the key signs" signed sign ec
: >called
expect "and again" signed sign ec
called "with one call" s
for fault in DEVICE_ERROR GENERAL_ERROR SESSION_HANDLE_INVALID OPERATION_NOT_INITIALIZED KEY_HANDLE_INVALID USER_NOT_LOGGED_IN; do
    for left in "" :left; do
        strike SignMessage:rv=CKR_$fault$left
        expect "C_SignMessage fails once with $fault${left:+, its operation left active}: the key signs" signed sign ec
        : >called
        expect "and again" signed sign ec
        called "with one call" s
    done
    strike SignMessage:rv=CKR_$fault:times=always
    tell sign ec
    says "C_SignMessage always fails with $fault: an error" "^error.*CKR_\|^error.*0"
    strike calm
    expect "which passes: the key signs" signed sign ec
    : >called
    expect "and again" signed sign ec
    called "with one call" s
done
strike go-away
(sleep 0.5; "$faults" counts come-back=3) &
expect "the token is away, and comes back as another slot: the key signs" signed sign ec
wait $!
: >called
expect "and again" signed sign ec
called "with one call" s
driver_end "the process ends with its own status"

fresh "" "max-sessions = 1"
expect "one session, and two keys: one signs" signed sign ec
expect "then the other" signed sign rsa
called "the session is told something else" isfis
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; do
    expect "by turns, $round" signed sign ec
    expect "and" signed sign rsa
done
: >called
expect "after a while nobody tells it any more" signed sign ec
expect "by turns" signed sign rsa
called "since two calls are less than three" ISIS
driver_end "the process ends with its own status"

# Tokens that say that they have it.
fresh unsupported
expect "a key signs" signed sign ec 3
expect "and another" signed sign rsa 2
called "the token is asked once" iISISISISIS
driver_end "the process ends with its own status"
fresh late
expect "a key signs" signed sign ec 3
expect "and another" signed sign rsa 2
called "the token is asked once" isfISISISISIS
driver_end "the process ends with its own status"
fresh old
expect "a key signs" signed sign ec 2
called "a module of 2.40 is not asked" ISIS
driver_end "the process ends with its own status"
# p11-kit's client and proxy answer the first of these for a module that has no such functions.
for refusal in CRYPTOKI_NOT_INITIALIZED FUNCTION_NOT_SUPPORTED; do
    fresh ""
    strike MessageSignInit:rv=CKR_$refusal:times=always
    expect "C_MessageSignInit answers $refusal: a key signs" signed sign ec 3
    expect "and another" signed sign rsa 2
    called "by two calls each" ISISISISIS
    ok "and one call is lost, once" test "$("$build/tests/token/show-counts" counts MessageSignInit)" = 1
    driver_end "the process ends with its own status"
done
fresh ""
strike MessageSignInit:rv=CKR_CRYPTOKI_NOT_INITIALIZED SignInit:rv=CKR_CRYPTOKI_NOT_INITIALIZED
expect "a module that is not initialised, as it says of two calls, too: a key signs" signed sign ec
: >called
expect "and again" signed sign ec
called "with one call" s
driver_end "the process ends with its own status"
fresh always
expect "a key that wants a login for each signature signs" signed sign ec 2
called "by two calls, between which there is the login" ISIS
driver_end "the process ends with its own status"
export SIGNET_TEST_SOFT=some
conf "default signet" "pkcs11-module = $SIGNET_TEST_MODULE"
ok "a mechanism that is not for messages signs" openssl pkeyutl -sign -rawin -inkey "pkcs11:token=soft;object=ed25519;type=private" -in message -out sig
called "by two calls, after two that prove the key" ISiIS

# Threads and a child, each with what it loads itself.
unset SIGNET_TEST_SOFT
conf "default signet" "pkcs11-module = $SIGNET_TEST_MODULE"
openssl pkey -in "$ec" -out ec.key || exit 99
openssl pkey -in "$rsa" -out rsa.key || exit 99
: >called
ok "eight threads, and a child: every signature is made" "$build/tests/life/threads" 2048 "$rsa" "$work/rsa.key" "$work/ec.key"
called_i=$(tr -cd i <called | wc -c) called_s=$(tr -cd s <called | wc -c) called_two=$(tr -cd IS <called | wc -c)
ok "each by C_SignMessage" test "$called_two" = 0
echo "# $called_s signatures, for which sessions were told $called_i times"
ok "the sessions were told less often than they signed" test "$called_i" -lt "$called_s"
tap_done

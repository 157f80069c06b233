#!/bin/sh
# mtls-server --async, mtls-client --load, and openssl s_server -async, on a token whose calls take 2 ms.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
setup_tls
cd "$work" || exit 99
export SIGNET_TEST_COUNTS="$work/counts"
faults="$build/tests/token/set-faults"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
# The server's own configuration: clients don't wait for its token.
conf "default signet" "pkcs11-module = $counter" "deadline = 20"
cp openssl.cnf server.cnf
conf

# await FILE PATTERN: for a minute at the most
await() {
    tries=0
    until grep -q -- "$2" "$1"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] && kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
}

# start ARGUMENT...: its address is $address
start() {
    : >server.out
    OPENSSL_CONF="$work/server.cnf" "$build/mtls-server" --key ec.key --cert ec-chain.pem --ca root.pem \
        --listen 127.0.0.1:0 --async "$@" >server.out 2>server.err &
    server=$!
    await server.out 'ready on'
    address=$(sed -n 's/.*ready on \([0-9.]*:[0-9]*\).*/\1/p' server.out)
    [ -n "$address" ]
}

stop() {
    kill "-$1" "$server"
    wait "$server"
    status=$?
    server=
    return $status
}

client() {
    timeout 120 "$build/mtls-client" --key ec-soft.key --cert ec-soft-chain.pem --ca root.pem --name localhost \
        --connect "$address" "$@"
}

ok "a server with one thread starts" start --quiet
ok "a client is served" client
says "and gets its answer" 'the server has read: hello'
"$faults" "$SIGNET_TEST_COUNTS" delay=2000
ok "200 connections, 50 at once, are served while each call of the token takes 2 ms" client --load 50 --repeat 4 --json
says "all of them" '"done":200,"failed":0'
says "with percentiles" '"p99_ms":'
says "and a line of progress" 'client: 200 of 200 connections, 0 under way, 0 failed'
threads=$(ls "/proc/$server/task" | wc -l)
ok "the token is served by workers beside the one thread ($threads)" test "$threads" -gt 2 -a "$threads" -le 67
ok "HTTP is answered" sh -c 'printf "GET / HTTP/1.0\r\n\r\n" | "$@"' - timeout 120 "$build/mtls-client" \
    --key ec-soft.key --cert ec-soft-chain.pem --ca root.pem --name localhost --connect "$address" --tunnel
says "by the page" 'HTTP/1.[01] 200'
not_ok "a client without a certificate is refused" timeout 120 "$build/mtls-client" --ca root.pem --name localhost \
    --connect "$address"
not_ok "also 20 at once" timeout 120 "$build/mtls-client" --ca root.pem --name localhost --connect "$address" --load 20
says "and they are counted" '20 failed'
kill -HUP "$server"
ok "SIGHUP loads keys again" await server.out 'loaded again'
ok "and others are served afterwards" client --load 20

# Clients that go while the token signs for them: the server lets the job end, and keeps nothing.
fds() {
    ls "/proc/$server/fd" | wc -l
}
# The server closes a connection some time after its client is gone: the number that stays for a second.
fds_settled() {
    settled=$(fds)
    same=0
    tries=0
    while [ $same -lt 10 ] && [ $tries -lt 300 ]; do
        sleep 0.1
        now=$(fds)
        [ "$now" -eq "$settled" ] && same=$((same + 1)) || same=0
        settled=$now
        tries=$((tries + 1))
    done
    echo "$settled"
}

# signs: how many signatures the token was asked for
signs() {
    "$build/tests/token/show-counts" "$SIGNET_TEST_COUNTS" Sign
}

# fds_settle MOST: until there are no more than that, for a minute at most
fds_settle() {
    tries=0
    while [ "$(fds)" -gt "$1" ] && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    [ "$(fds)" -le "$1" ]
}

# killed_amid: 40 clients, killed when the token is signing for some of them
killed_amid() {
    asked=$(signs)
    client --load 40 --quiet >/dev/null 2>&1 &
    pid=$!
    tries=0
    while [ "$(signs)" -le "$asked" ] && [ $tries -lt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -9 "$pid"
    wait "$pid" 2>/dev/null
    [ "$(signs)" -gt "$asked" ]
}
before=$(fds_settled)
"$faults" "$SIGNET_TEST_COUNTS" Sign:delay=1000000
ok "40 clients are killed while the token signs for them" killed_amid
ok "40 others, too" killed_amid
ok "and 40 more" killed_amid
"$faults" "$SIGNET_TEST_COUNTS" calm
ok "afterwards, others are served" client --load 20
ok "and descriptors are no more than before ($before)" fds_settle "$before"

"$faults" "$SIGNET_TEST_COUNTS" Sign:rv=CKR_GENERAL_ERROR:times=always
not_ok "a token that fails fails handshakes" client
"$faults" "$SIGNET_TEST_COUNTS" calm
ok "and not the server" client
ok "SIGTERM ends it" stop TERM
ok "a server that takes 5 connections" start --quiet --accept 5
ok "takes 5" client --load 5
wait "$server"
ok "and ends" test $? -eq 0
server=
if [ "${SANITIZER:-none}" = none ]; then
    ok "nothing was said on stderr of memory or crashes" sh -c '! grep -qi "segm\|abort\|corrupt" server.err'
fi

# Both ends on tokens, both in jobs.
start --quiet
ok "clients with a key on a token pause, too" timeout 120 "$build/mtls-client" --key rsa.key --cert rsa-chain.pem \
    --ca root.pem --name localhost --connect "$address" --load 20
stop TERM

# openssl s_server -async
OPENSSL_CONF="$work/server.cnf" openssl s_server -async -accept 127.0.0.1:0 -key ec.key -cert ec-chain.pem \
    -cert_chain ec-chain.pem -www \
    >s_server.out 2>&1 &
server=$!
"$faults" "$SIGNET_TEST_COUNTS" delay=2000
await s_server.out 'ACCEPT'
port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' s_server.out)
ok "openssl s_server -async signs" sh -c "echo | timeout 60 openssl s_client -connect 127.0.0.1:$port -CAfile root.pem -verify_return_error"
says "and openssl s_client is content" 'Verify return code: 0'
ok "by a worker" grep -q signet-worker /proc/"$server"/task/*/comm
tap_done

#!/bin/sh
# The demonstration server as a server (many clients, signals, host names, sessions, protocols), and the client's ways
# to use it.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
cd "$work" || exit 99
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT

# start ARGUMENTS...: the server, with the EC key; its address is $address
start() {
    : >server.out
    "$build/mtls-server" --key "$ec" --cert ec-chain.pem --ca root.pem --listen 127.0.0.1:0 "$@" \
        >server.out 2>server.err &
    server=$!
    await 'ready on'
    address=$(sed -n 's/.*ready on \([0-9.]*:[0-9]*\).*/\1/p' server.out)
    [ -n "$address" ]
}

# await PATTERN [COUNT]: until the server has said it so often, for 60 s at the most
await() {
    tries=0
    while [ "$(grep -c -- "$1" server.out)" -lt "${2:-1}" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] && kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
}

# stop SIGNAL: the server's exit status. A server that does not end is ended by another signal after a minute, which its
# status tells.
stop() {
    kill "-$1" "$server"
    tries=0
    while kill -0 "$server" 2>/dev/null && [ $tries -lt 600 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL "$server" 2>/dev/null
    wait "$server"
    status=$?
    server=
    return $status
}

client() {
    timeout 120 "$build/mtls-client" --key ec.key --cert ec-chain.pem --ca root.pem --name localhost \
        --connect "$address" "$@"
}

# steps FILE: the numbers that it tells, each once, in the order of their first line
steps() {
    sed -n 's/^[a-z]*: (\([0-9]\)).*/\1/p' "$1" | awk '!seen[$0]++' | tr '\n' ' ' | sed 's/ $//'
}

# at_once COUNT ARGUMENTS...: so many clients together; all of them must end well
at_once() {
    count=$1
    shift
    clients=
    for number in $(seq "$count"); do
        client "$@" >"client-$number.out" 2>&1 &
        clients="$clients $!"
    done
    bad=0
    for pid in $clients; do
        wait "$pid" || bad=$((bad + 1))
    done
    [ $bad -eq 0 ]
}

# --- many clients, and signals ----------------------------------------------------------------------------------------

ok "the server starts" start --quiet
ok "20 clients at once are served" at_once 20 --quiet
cat client-*.out >out
never_says "and none has an error" ':signet:\|refused'
ok "one after the other, too" client --quiet --repeat 10
says "and the client tells how many" 'done  *10'

# A tunnel that is open while the server loads its keys again.
mkfifo talk
client --quiet --tunnel <talk >tunnel.out 2>tunnel.err &
tunnel=$!
exec 3>talk
echo "before" >&3
ok "a tunnel is open" await 'message   before'
cp ec-chain.pem ec-chain.kept
cp rsa-chain.pem ec-chain.pem
kill -HUP "$server"
ok "a certificate that is not the key's is not taken" await 'stay as they were'
ok "and the error shows both fingerprints" test "$(grep -c 'SHA256 [0-9a-f]\{64\}$' server.err)" -eq 2
cp ec-chain.kept ec-chain.pem
ok "the server goes on as before" client --quiet
kill -HUP "$server"
ok "good files are loaded again" await 'loaded again'
ok "and serve" client --quiet
echo "after" >&3
ok "the tunnel is still the same connection" await 'message   after'
exec 3>&-
ok "it ends with stdin" wait $tunnel
ok "both lines were answered" test "$(grep -c 'the server has read' tunnel.out)" -eq 2
ok "SIGTERM ends the server, and that is no failure" stop TERM

# --- sessions ---------------------------------------------------------------------------------------------------------

for version in 1.2 1.3; do
    start
    ok "TLS $version: a session is resumed" client --tls $version --repeat 3 --resume
    says "TLS $version: twice of three times" 'resumed  *2'
    ok "TLS $version: with one signature of the server" test "$(grep -c '(2) signed' server.out)" -eq 1
    ok "TLS $version: and its end" stop TERM
done

# --- host names and protocols -----------------------------------------------------------------------------------------

pki_leaf . "$rsa" other "/CN=other.test" serverAuth DNS:other.test
start --sni other.test --key "$rsa" --cert other-chain.pem --alpn h2,http/1.1
ok "a client that asks for the first host gets it" client
says "with its EC key" 'scheme *ecdsa_'
ok "the other host has the other token key" timeout 120 "$build/mtls-client" --key ec.key --cert ec-chain.pem \
    --ca root.pem --connect "$address" --name other.test
says "which signs for it" 'scheme *rsa_'
not_ok "a host that the server does not have is refused by the client" timeout 120 "$build/mtls-client" --key ec.key \
    --cert ec-chain.pem --ca root.pem --connect "$address" --name third.test
says "because of its name" 'refused: the server.s certificate is for another host: it names localhost'
ok "a protocol in common is taken" client --alpn http/1.1
says "and told" 'protocol *http/1.1'
not_ok "without one the client is refused" client --alpn spdy
says "by an alert" 'sent the alert "no application protocol"'
ok "the server says why" await 'none of our application protocols'

# --- what is shown ----------------------------------------------------------------------------------------------------

printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >request
ok "HTTP is answered" sh -c 'exec "$@" <request' - timeout 120 "$build/mtls-client" --key ec.key --cert ec-chain.pem \
    --ca root.pem --name localhost --connect "$address" --tunnel --quiet
says "as text" 'Content-Type: text/plain'
says "with the server's token" 'on the token  *test'
says "and the client's name" 'commonName  *localhost'
printf 'GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n' >request
ok "for a browser" sh -c 'exec "$@" <request' - timeout 120 "$build/mtls-client" --key ec.key --cert ec-chain.pem \
    --ca root.pem --name localhost --connect "$address" --tunnel --quiet
says "as a page" '<td>on the token</td><td>test</td>'
ok "its end" stop TERM

start
not_ok "RSA key transport is not to be had with an EC key" client --tls 1.2 --suites AES128-GCM-SHA256
ok "and the server says so" await 'no cipher suite in common'
stop TERM
: >server.out
"$build/mtls-server" --key "$rsa" --cert rsa-chain.pem --ca root.pem --listen 127.0.0.1:0 >server.out 2>&1 &
server=$!
await 'ready on'
address=$(sed -n 's/.*ready on //p' server.out)
ok "with an RSA key it is" client --tls 1.2 --suites AES128-GCM-SHA256
cp out client.out
ok "and has no step 2 for the client" test "$(steps client.out)" = "1 3 5 6 4 7 8 9"
ok "nor for the server" test "$(steps server.out)" = "1 3 5 6 4 7 8 9"
stop TERM

start --json
ok "JSON for programs" client --json
cp out client.out
ok "each line of the client is an object" test "$(jq -c .event client.out | wc -l)" -eq "$(wc -l <client.out)"
ok "each line of the server, too" test "$(jq -c .event server.out | wc -l)" -eq "$(wc -l <server.out)"
ok "with the duration of the signature as a number" jq -se 'any(.[]; .event == "signature" and .step == 4 and .took_us > 0)' client.out
ok "its end" stop TERM

# --- wrong usage ------------------------------------------------------------------------------------------------------

identity="--key $ec --cert ec-chain.pem"
incomplete() { # SENTENCE WHAT-IT-SAYS PROGRAM OPTION...
    sentence=$1
    says=$2
    shift 2
    not_ok "$sentence" "$build/$@"
    says "says what" "^${1}: $says"
    says "and where to read" "see $1 --help"
}
ok "--help of the server" "$build/mtls-server" --help
says "shows the usage" '^usage: mtls-server'
ok "--help of the client" "$build/mtls-client" --help
says "shows the usage" '^usage: mtls-client'
incomplete "no identity" "--key and --cert are missing" mtls-server --ca root.pem
incomplete "no root for the server" "--ca is missing" mtls-server $identity
incomplete "half an identity for a host" "--key and --cert are missing after an --sni" mtls-server $identity --sni other.test --ca root.pem
incomplete "no root for the client" "--ca is missing" mtls-client --name localhost
incomplete "no server's name" "--name is missing" mtls-client --ca root.pem
incomplete "a key without a certificate" "--key without --cert" mtls-client --key ec.key --ca root.pem --name localhost
incomplete "a certificate without a key" "--cert without --key" mtls-client --cert ec.crt --ca root.pem --name localhost
incomplete "a tunnel and a message" "--tunnel is one connection" mtls-client --ca root.pem --name localhost --tunnel --message hi
incomplete "load with resumption" "--load takes" mtls-client --ca root.pem --name localhost --load 2 --resume
incomplete "a word too many" "'word' is no option" mtls-client --ca root.pem --name localhost word
not_ok "an option that is none" "$build/mtls-server" --sertificate x
says "is told" "sertificate"
says "and where to read" "see mtls-server --help"
not_ok "a certificate that is not there" "$build/mtls-server" --key "$ec" --cert none.pem --ca root.pem
says "is told by its name" 'none.pem'
not_ok "a root that is not there" "$build/mtls-server" --key "$ec" --cert ec-chain.pem --ca none.pem
says "is told" 'the root to trust'
not_ok "a list of revoked certificates that is none" "$build/mtls-server" --key "$ec" --cert ec-chain.pem \
    --ca root.pem --crl root.pem
says "is told" 'list of revoked'
for bad in "--accept 0" "--accept x" "--tls 1.1" "--listen nowhere" "--alpn a,,b"; do
    not_ok "mtls-server $bad" "$build/mtls-server" --key "$ec" --cert ec-chain.pem --ca root.pem $bad
    says "names it" "^mtls-server: ${bad%% *} '${bad#* }'"
done
tap_done

#!/bin/sh
# HAProxy with ssl-mode-async: real traffic through one thread, the key in a key file.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
haproxy=$(command -v haproxy || echo /usr/sbin/haproxy)
if [ ! -x "$haproxy" ]; then
    ok "HAProxy is installed (scripts/packages.sh does that)" false
    tap_done
    exit
fi
setup_tls
cd "$work" || exit 99
export SIGNET_TEST_COUNTS="$work/counts"
faults="$build/tests/token/set-faults"
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
conf "default signet" "pkcs11-module = $counter" "deadline = 3"
cp openssl.cnf server.cnf
conf
cat ec-chain.pem ec.key >ec-both.pem
address=
request=$(printf 'GET / HTTP/1.0\r\n\r')

# start LINE: with one more line of its global section
start() {
    cat >haproxy.cfg <<END
global
    nbthread 1
    maxconn 2000
    stats socket $work/admin level admin
    $1
defaults
    mode http
    timeout client 20s
    timeout server 20s
    timeout connect 20s
frontend web
    bind $address ssl crt $work/ec-both.pem
    http-request return status 200 content-type text/plain string "served\n"
END
    OPENSSL_CONF="$work/server.cnf" "$haproxy" -db -f haproxy.cfg >haproxy.out 2>&1 &
    server=$!
    tries=0
    until load --load 1 >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 150 ] && kill -0 "$server" 2>/dev/null || {
            cat haproxy.out
            return 1
        }
        sleep 0.2
    done
}

# free_port: HAProxy does not take port 0
free_port() {
    "$build/mtls-server" --key ec-soft.key --cert ec-soft-chain.pem --ca root.pem --listen 127.0.0.1:0 --quiet >port &
    free=$!
    tries=0
    until grep -q 'ready on' port || [ $tries -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill "$free"
    wait "$free" 2>/dev/null
    sed -n 's/.*ready on //p' port
}

stop() {
    kill -TERM "$server"
    wait "$server"
    server=
}

load() {
    timeout 60 "$build/mtls-client" --ca root.pem --name localhost --connect "$address" --message "$request" --json "$@"
}

# per_second: of the last load
per_second() {
    sed -n 's/.*"per_second":\([0-9.]*\).*/\1/p' out
}

address=$(free_port)
ok "HAProxy starts with a key file" start ""
ok "50 connections without ssl-mode-async are served" load --load 50
says "all of them" '"done":50,"failed":0'
"$faults" "$SIGNET_TEST_COUNTS" delay=2000
ok "also while each call of the token takes 2 ms" load --load 50 --repeat 2
"$faults" "$SIGNET_TEST_COUNTS" delay=10000
ok "or 10 ms" load --load 50
sync=$(per_second)
not_ok "no worker was there" grep -q signet /proc/"$server"/task/*/comm
stop
"$faults" "$SIGNET_TEST_COUNTS" calm

ok "HAProxy starts with ssl-mode-async" start ssl-mode-async
ok "50 connections are served" load --load 50
says "all of them" '"done":50,"failed":0'
"$faults" "$SIGNET_TEST_COUNTS" delay=2000
ok "640 also while each call of the token takes 2 ms" load --load 64 --repeat 10
says "all of them" '"done":640,"failed":0'
"$faults" "$SIGNET_TEST_COUNTS" delay=10000
ok "or 10 ms" load --load 64 --repeat 4
async=$(per_second)
ok "by workers" grep -q signet-worker /proc/"$server"/task/*/comm
if [ "${SANITIZER:-none}" = none ]; then
    ok "twice as fast as by waiting, at least: $async connections a second, $sync" \
        awk -v async="$async" -v sync="$sync" 'BEGIN { exit !(async > 2 * sync) }'
else
    echo "# $async connections a second, $sync by waiting: a sanitizer makes the processor the limit"
fi
"$faults" "$SIGNET_TEST_COUNTS" Sign:rv=CKR_GENERAL_ERROR:times=always
not_ok "a token that fails fails handshakes" load --load 5
"$faults" "$SIGNET_TEST_COUNTS" calm
ok "and not HAProxy" load --load 20
before=$(ls "/proc/$server/fd" | wc -l)
"$faults" "$SIGNET_TEST_COUNTS" Sign:delay=1000000
load --load 40 >/dev/null 2>&1 &
pid=$!
sleep 0.5
kill -9 "$pid"
wait "$pid" 2>/dev/null
"$faults" "$SIGNET_TEST_COUNTS" calm
ok "after 40 clients that were killed, others are served" load --load 20
tries=0
while [ "$(ls "/proc/$server/fd" | wc -l)" -gt "$before" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
after=$(ls "/proc/$server/fd" | wc -l)
ok "and descriptors are as many as before ($before, $after)" test "$after" -le "$before"
stop
not_ok "it said nothing of a crash" grep -i 'segm\|abort\|corrupt\|bug\|WARNING: ThreadS\|ERROR: AddressS' haproxy.out
tap_done

#!/bin/sh
# A token behind a daemon that dies, returns, and hangs, under servers that go on serving: p11-kit's server, and
# pkcs11-proxy where the release has it.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/setup.sh"
. "$top/tests/life/drive.sh"
setup_tls
cd "$work" || exit 99
cat root.pem intermediate.pem >both.pem # the second name of openssl's server sends no intermediate
ec="pkcs11:token=test;object=ec;type=private"
DEADLINE=2
daemon=
server=

trap 'daemon_kill KILL; [ -z "$server" ] || kill -9 $server; rm -rf "$work"' EXIT
trap 'exit 143' TERM INT

# A daemon is the leader of a group of its own, so that the processes that it makes for its clients end with it.
# daemon_start: returns when it can be reached
daemon_start() {
    rm -f daemon.out
    case $kind in
    p11-kit)
        (exec env LD_PRELOAD= OPENSSL_CONF=/dev/null setsid p11-kit server -f -n "$work/p11.sock" --provider "$SOFTHSM_MODULE" \
            "pkcs11:token=test") >daemon.out 2>&1 &
        daemon=$!
        wait_until grep -q P11_KIT_SERVER_PID daemon.out
        ;;
    pkcs11-proxy)
        (exec env LD_PRELOAD= OPENSSL_CONF=/dev/null PKCS11_DAEMON_SOCKET="tcp://127.0.0.1:$port" setsid pkcs11-daemon "$SOFTHSM_MODULE" -) \
            >daemon.out 2>&1 &
        daemon=$!
        wait_until listening "$port"
        ;;
    esac
}

# A token that was dead for a deadline is asked again after a pause, so that callers need not wait: one or two seconds.
daemon_returns() {
    daemon_start
    sleep 2.5
}

# daemon_kill SIGNAL
daemon_kill() {
    [ -n "$daemon" ] || return 0
    kill -s "$1" -- "-$daemon" 2>/dev/null
    [ "$1" = KILL ] || { sleep 0.5; kill -s KILL -- "-$daemon" 2>/dev/null; } # some wait for their clients to leave
    wait "$daemon" 2>/dev/null
    daemon=
}

# wait_until COMMAND...: a minute at most
wait_until() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || return 1
        sleep 0.1
    done
}

listening() {
    grep -q ":$(printf '%04X' "$1") 00000000:0000 0A " /proc/net/tcp
}

# free_port: one that nobody listens on, below those that the kernel gives to connections
free_port() {
    port=$((20000 + $$ % 12000))
    while listening $port; do port=$((port + 1)); done
}

# The server has two names: that of the key on the token, and one whose key is a file.
# server_start KEY
server_start() {
    openssl s_server -www -accept 127.0.0.1:0 -cert ec-chain.pem -cert_chain intermediate.pem -key "$1" \
        -servername soft.test -cert2 ec-soft-chain.pem -key2 ec-soft.key -CAfile root.pem -Verify 3 -verify_return_error \
        >server.out 2>&1 &
    server=$!
    wait_until grep -q ACCEPT server.out
    at=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' server.out | head -n 1)
}

server_end() {
    kill $server
    wait $server
    status=$?
    server=
    cp server.out out
    test $status = 143
}

# visit NAME: a whole mutual handshake and a page; the client's key is software, so that only the server needs the token
visit() {
    printf 'GET / HTTP/1.0\r\n\r\n' | OPENSSL_CONF=/dev/null LD_PRELOAD= timeout 60 openssl s_client -connect "127.0.0.1:$at" \
        -servername "$1" -ign_eof -cert rsa-soft.pem -cert_chain intermediate.pem -key rsa-soft.key \
        -CAfile both.pem -verify_return_error -verify 3 >visit.out 2>&1
    grep -q 'HTTP/1.0 200' visit.out || { cat visit.out server.out; return 1; }
}

# timed COMMAND...: how long it takes is in $took, in milliseconds
timed() {
    began=$(date +%s%N)
    "$@"
    timed_status=$?
    took=$((($(date +%s%N) - began) / 1000000))
    return $timed_status
}

# fails_in_time NAME: no page, and an answer within the deadline and a second, on a machine where a handshake takes no
# time; here it is allowed what one with a key in software takes just now, a few times
fails_in_time() {
    timed visit "$1" && return 1
    failed_ms=$took
    timed visit soft.test || return 1
    echo "after $failed_ms ms; a handshake in software takes $took ms"
    [ $failed_ms -lt $((DEADLINE * 1000 + 1000 + 5 * took)) ]
}

live_server() {
    server_start "$1"
    ok "$what: a mutual handshake with the key behind the daemon" visit token.test
    ok "$what: one with a key in software" visit soft.test
    for signal in KILL TERM; do
        daemon_kill $signal
        : >server.out
        ok "$what: the daemon is gone ($signal): a handshake fails in time" fails_in_time token.test
        ok "$what: the server lives" kill -0 $server
        cp server.out out
        says "$what: and says what has failed" "CKR_DEVICE_ERROR"
        says "$what: with which key" "'ec'"
        ok "$what: the key in software serves on" visit soft.test
        ok "$what: another handshake fails in time" fails_in_time token.test
        ok "$what: and the key in software serves on" visit soft.test
        daemon_returns
        ok "$what: the daemon is back: the first handshake succeeds" visit token.test
        ok "$what: the second too" visit token.test
        ok "$what: as does the one in software" visit soft.test
    done
    daemon_kill KILL
    daemon_start
    ok "$what: a daemon that is replaced between two handshakes is not noticed" visit token.test
    ok "$what: the server ends by the signal that ends it" server_end
}

# One process, step by step, for the reasons that it is given.
one_process() {
    soft=$work/ec-soft.key
    driver_start
    expect "$kind: loaded" done load key "$ec"
    expect "$kind: signs" signed sign key 20
    expect "$kind: a key in software" done load soft "$soft"
    tell fds
    fds=$answer
    for round in 1 2 3; do
        daemon_kill KILL
        expect "$kind: gone ($round): an error, and the process lives" "error *CKR_DEVICE_ERROR*" sign key
        expect "$kind: gone ($round): no key is loaded" "error *" load other "$ec"
        says "$kind: gone ($round): which names the module" "$(basename "$module")"
        expect "$kind: gone ($round): software signs" signed sign soft
        daemon_returns
        expect "$kind: back ($round): the key signs" signed sign key
        expect "$kind: back ($round): a key is loaded" done load other "$ec"
        expect "$kind: back ($round): and signs" signed sign other
    done
    expect "$kind: no descriptor is left behind" "$fds" fds
    driver_end "$kind: the process ends with its own status"
    daemon_kill KILL
    driver_start
    expect "$kind: not there at the start: an error" "error *" load key "$ec"
    expect "$kind: software is loaded" done load soft "$soft"
    daemon_returns
    expect "$kind: it has come: the key is loaded" done load key "$ec"
    expect "$kind: and signs" signed sign key
    daemon_kill KILL
    driver_end "$kind: the process ends with its own status while the daemon is gone"
    daemon_start
}

# A daemon that takes a question and does not answer. One thread waits for it; no other must.
hanging() {
    conf "default signet" "pkcs11-module = $module" "deadline = $DEADLINE" "trace = file:$work/trace:token"
    driver_start
    expect "$kind: loaded" done load key "$ec"
    expect "$kind: loaded again" done load other "$ec"
    expect "$kind: and again" done load third "$ec"
    expect "$kind: a key in software" done load soft "$work/ec-soft.key"
    expect "$kind: signs" signed sign key
    kill -s STOP -- "-$daemon"
    expect "$kind: it hangs: a thread waits for it" done begin key
    expect "$kind: it hangs: software signs" signed sign soft 10
    sleep $((DEADLINE + 1))
    expect "$kind: it hangs: after the deadline another may ask" done begin other
    ok "$kind: it hangs: which does" wait_until grep -q 'asked whether it answers again' trace
    error_within $((DEADLINE * 1000 / 2)) "$kind: it hangs: all others fail at once, and wait for no deadline" sign third
    expect "$kind: it hangs: software signs" signed sign soft 10
    kill -s CONT -- "-$daemon"
    expect "$kind: it goes on: the thread that waited has its signature, or an error" "[se][ir][gr][no]*" end key
    expect "$kind: it goes on: so has the other" "[se][ir][gr][no]*" end other
    sleep 2.5
    expect "$kind: it goes on: everybody signs" signed sign third
    expect "$kind: it goes on: with every key" signed sign other
    expect "$kind: it goes on: with every key" signed sign key
    driver_end "$kind: the process ends with its own status"
}

kinds="p11-kit"
# Debian 12 has no pkcs11-proxy; every later release does, and there it must be installed.
if grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
    echo "# pkcs11-proxy is not in Debian 12: its part runs in later releases (make check-matrix)"
else
    kinds="p11-kit pkcs11-proxy"
fi
for kind in $kinds; do
    case $kind in
    p11-kit)
        export P11_KIT_SERVER_ADDRESS="unix:path=$work/p11.sock"
        module=$(ls /usr/lib/*/pkcs11/p11-kit-client.so | head -n 1)
        ;;
    pkcs11-proxy)
        free_port
        export PKCS11_PROXY_SOCKET="tcp://127.0.0.1:$port"
        module=/usr/lib/libpkcs11-proxy.so.0
        ;;
    esac
    conf "default signet" "pkcs11-module = $module" "deadline = $DEADLINE"
    daemon_start || echo "# the daemon did not start: $(cat daemon.out)"
    one_process
    for key in "$ec" "$work/ec.key"; do
        case $key in pkcs11:*) what="$kind, by URI" ;; *) what="$kind, by key file" ;; esac
        live_server "$key"
    done
    hanging
    daemon_kill KILL
done
tap_done

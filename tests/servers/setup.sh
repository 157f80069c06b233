# Servers that people run, on loopback, for clients that prove themselves; sourced. As root, since the servers begin as root
# and go on as another user.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"

# setup_server PROGRAM USER: it is installed, and its user reaches token, PIN and keys
setup_server() {
    command -v "$1" >/dev/null || { tap_line 1 "$1 is installed (check-servers says how)"; tap_done; exit 1; }
    [ "$(id -u)" -eq 0 ] || { tap_line 1 "this is run as root, as the server is"; tap_done; exit 1; }
    server_user=$2
    setup_tls
    cd "$work" || exit 99
    cp openssl.cnf client.cnf
    chmod 755 .
    may
    server=
    trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
    free_port
}

# may, may_not: whether the server's user can use the token
may() {
    chgrp -R "$server_user" tokens pin && chmod -R g+rwX tokens && chmod g+r pin
}
may_not() {
    chgrp -R root tokens && chmod -R go-rwx tokens
}

# free_port: one that nobody listens on, in $port
free_port() {
    "$build/mtls-server" --key "$work/ec-soft.key" --cert "$work/ec-soft-chain.pem" --ca "$work/root.pem" --listen 127.0.0.1:0 \
        --quiet >"$work/port" &
    free=$!
    waits_for grep -q 'ready on' "$work/port"
    kill $free
    wait $free
    port=$(sed -n 's/^ready on .*://p' "$work/port")
}

# waits_for COMMAND...: until it succeeds, for up to 20 seconds
waits_for() {
    for tries in $(seq 200); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

# visit [OPTION...]: a page, by a client whose key is on the token
visit() {
    OPENSSL_CONF="$work/client.cnf" timeout 30 curl -sS --cacert root.pem --cert rsa-chain.pem --key rsa.key \
        --connect-to "localhost:443:127.0.0.1:$port" "$@"
}

# visits N: so many, four at a time, all served
visits() {
    seq "$1" | OPENSSL_CONF="$work/client.cnf" xargs -P 4 -I N timeout 30 curl -sS -o visited.N --cacert root.pem --cert ec-soft-chain.pem \
        --key ec-soft.key --connect-to "localhost:443:127.0.0.1:$port" https://localhost/hello &&
        [ "$(cat visited.* | grep -c hello)" -eq "$1" ] && rm visited.*
}

# with_suite SUITE: a handshake of TLS 1.2, so that the server's key is of one kind
with_suite() {
    visit --tls-max 1.2 --ciphers "$1" https://localhost/hello
}

listens() {
    openssl s_client -connect "127.0.0.1:$port" </dev/null 2>&1 | grep -q CONNECTED
}

# ends SIGNAL: the server, when it is told so
ends() {
    kill "-$1" "$server" && waits_for gone "$server" && server=
}
gone() {
    for one in "$@"; do
        ! kill -0 "$one" || return 1
    done
}
children() {
    ps -o pid= --ppid "$server"
}

# logged SENTENCE PATTERN: what the server's log, or its start, tells people
logged() {
    waits_for grep -q "$2" error.log start.out
    cat error.log start.out >out
    says "$1" "$2"
}

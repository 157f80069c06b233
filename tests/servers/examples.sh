#!/bin/bash
# Starts each server of docs/servers.md with its configuration as it is written, but for the folder /etc/signet, and connects to
# it twice: before and after it was told to load everything again. A server that is not installed has failed. As root, in a network of its own, servers drop their rights as the examples
# say; else ports 8080 and 8443 of the loopback must be free.
if [ "$(id -u)" -eq 0 ] && [ -z "${SIGNET_APART:-}" ]; then
    exec env SIGNET_APART=yes unshare --net bash "$0"
fi
. "$(dirname "$0")/../lib/setup.sh"
cd "$work" || exit 99
if [ -n "${SIGNET_APART:-}" ]; then
    # The loopback of a new network is down: SIOCSIFFLAGS, IFF_UP.
    perl -MSocket -e 'socket(my $any, AF_INET, SOCK_DGRAM, 0); $up = pack("a16 s x22", "lo", 1); ioctl($any, 0x8914, $up) or die "lo: $!"' || exit 99
fi

# What a reader of README would have in /etc/signet.
furnish() {
    token_home "$work"
    token_make prod 1234 && token_key prod 1234 rsa:2048 www 01 || exit 99
    printf 1234 >pin
    chmod 600 pin
    sed "s|/etc/signet|$work|; s|^pkcs11-module = .*|pkcs11-module = $SOFTHSM_MODULE|" "$top/examples/openssl.cnf" >openssl.cnf
    export OPENSSL_CONF="$work/openssl.cnf"
    "$signet" key-file --output www.key 'pkcs11:token=prod;object=www' || exit 99
    openssl req -x509 -new -key www.key -subj /CN=localhost -addext subjectAltName=DNS:localhost -out www.pem || exit 99
    ln -s www.key www.pem.key
    chmod 755 . && chmod 644 www.key www.pem softhsm2.conf
}

example() {
    sed "s|/etc/signet|$work|g" "$top/examples/$1" >"$1"
}

# fetches WHAT: the server's page, over TLS that is verified
fetches() {
    tries=0
    until OPENSSL_CONF=/dev/null curl -sS --max-time 5 --cacert www.pem https://localhost:8443/ >page 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 20 ] || break
        sleep 0.2
    done
    cat page
    grep -q "$1" page
}

# The database's protocol begins in clear.
queries() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        OPENSSL_CONF=/dev/null openssl s_client -starttls postgres -connect 127.0.0.1:8443 -CAfile www.pem -verify_return_error \
            -verify_hostname localhost </dev/null && return
        sleep 0.3
    done
    return 1
}

# server PROGRAM LOOKS COMMAND...: starts it, looks twice, with a SIGHUP between, and ends it
server() {
    program=$1
    looks=$2
    shift 2
    if ! command -v "$program" >/dev/null; then
        echo "it is not installed (make check-servers does that)" >out
        tap_line 1 "$program"
        return
    fi
    failed_before=$tap_failed
    "$@" >"$program.out" 2>&1 </dev/null &
    pid=$!
    ok "$program serves with a key on the token" $looks "$program"
    kill -HUP $pid
    sleep 1
    ok "$program does so after it has loaded its files again" $looks "$program"
    kill $pid
    wait $pid
    [ "$tap_failed" -eq "$failed_before" ] || tail -n 5 "$program.out" | sed 's/^/# /'
}

# owned USER FILE...: as the examples say who must be able to read them
owned() {
    [ "$(id -u)" -ne 0 ] || chown -R "$@"
}

furnish
PATH=$PATH:/usr/sbin:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
for file in nginx.conf apache.conf haproxy.cfg stunnel.conf postgresql.conf; do
    example $file
done
mkdir www data
echo stunnel >www/index.html

owned www-data tokens
server nginx fetches nginx -c "$work/nginx.conf"
server apache2 fetches apache2 -f "$work/apache.conf" -DFOREGROUND
server haproxy fetches haproxy -W -f haproxy.cfg
python3 -m http.server --bind 127.0.0.1 --directory www 8080 >/dev/null 2>&1 &
behind=$!
server stunnel fetches stunnel "$work/stunnel.conf"
kill $behind

as_database=
if [ "$(id -u)" -eq 0 ]; then as_database="setpriv --reuid=postgres --regid=postgres --init-groups"; fi
chmod 600 www.key
owned postgres tokens pin www.key data
if command -v initdb >/dev/null; then
    $as_database env OPENSSL_CONF=/dev/null initdb -D "$work/data" >/dev/null 2>&1
fi
server postgres queries $as_database postgres -D "$work/data" -c config_file="$work/postgresql.conf" \
    -c hba_file="$work/data/pg_hba.conf" -c ident_file="$work/data/pg_ident.conf"
tap_done

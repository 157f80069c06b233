#!/bin/sh
# PostgreSQL, which forks for each connection: a server with its key on the token, and clients that are known by theirs.
. "$(dirname "$0")/setup.sh"
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
setup_server postgres postgres
mkdir data run && cp ec.key server.key && chmod 600 rsa.key server.key ec-soft.key && chown postgres data run server.key || exit 99
cat >postgresql.conf <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$work/run'
ssl = on
ssl_cert_file = '$work/ec-chain.pem'
ssl_key_file = '$work/server.key'
ssl_ca_file = '$work/root.pem'
END
cat >pg_hba.conf <<END
local all all trust
hostssl all all 127.0.0.1/32 cert
END

as_server() {
    setpriv --reuid postgres --regid postgres --init-groups "$@"
}
start() {
    : >error.log
    chown postgres error.log
    as_server pg_ctl -D "$work/data" -l "$work/error.log" -w -t 20 start >start.out 2>&1 && server=$(head -n 1 data/postmaster.pid)
}
stop() {
    as_server pg_ctl -D "$work/data" -m fast -w -t 20 stop && server=
}
# question [SETTING=VALUE]...: as a client whose key is on the token
question() {
    OPENSSL_CONF="$work/client.cnf" PGCONNECT_TIMEOUT=20 timeout 30 psql -At \
        "host=localhost port=$port user=localhost dbname=postgres sslmode=verify-full sslrootcert=$work/root.pem sslcert=$work/rsa-chain.pem sslkey=$work/rsa.key $*" \
        -c "select client_dn || ', ' || version from pg_stat_ssl where pid = pg_backend_pid()"
}
questions() {
    seq "$1" | OPENSSL_CONF="$work/client.cnf" xargs -P 4 -I N timeout 60 psql -At -o asked.N \
        "host=localhost port=$port user=localhost dbname=postgres sslmode=verify-full sslrootcert=$work/root.pem sslcert=$work/ec-soft-chain.pem sslkey=$work/ec-soft.key" \
        -c "select 'hello'" && [ "$(cat asked.* | grep -c hello)" -eq "$1" ] && rm asked.*
}

ok "a database" as_server env -u OPENSSL_CONF LD_PRELOAD= initdb -D "$work/data" --auth trust --no-sync
cat postgresql.conf >>data/postgresql.conf
cp pg_hba.conf data/pg_hba.conf
ok "PostgreSQL starts" start
as_server env -u OPENSSL_CONF psql -q -h "$work/run" -p "$port" -d postgres -c 'create role localhost login' >/dev/null 2>&1
ok "a client with its key on the token" question
says "is known to the server" 'CN=localhost, TLSv1.3'
ok "TLS 1.2, too" question ssl_max_protocol_version=TLSv1.2
ok "many connections, each with a process of its own" questions 60
ok "a reload" as_server pg_ctl -D "$work/data" reload
ok "and many more" questions 40
ok "all of it in processes that ended well" test "$(grep -c 'terminated by signal' error.log)" -eq 0
ok "PostgreSQL ends" stop

# Bad days: what the log says must be enough.
may_not
ok "a token that the server can't read: PostgreSQL starts" start
not_ok "a connection fails" question
logged "the log names the module's call" 'C_Initialize\|token'
ok "PostgreSQL ends" stop
may
printf '99999\n' >pin
ok "a wrong PIN: PostgreSQL starts" start
not_ok "a connection fails" question
logged "the log says that the PIN is wrong" 'CKR_PIN_INCORRECT'
ok "PostgreSQL ends" stop
tap_done

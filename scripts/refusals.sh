# Every way in which one end refuses the other; sourced after ends.sh by the demonstration and by tests/tls/refusals.sh.

# refusals: one a line, fields cut by '|': what is wrong | who refuses | the server's certificates | the client's, or
# "none" | a word that the refusal must have | the alert in TLS 1.2 | in TLS 1.3
refusals() {
    cat <<'TEXT'
a client without a certificate|server|server-pki/server-ec-chain|none|no certificate|handshake failure|certificate required
a client from an unknown root|server|server-pki/server-ec-chain|stranger-pki/client-chain|no root|unknown CA|unknown CA
a server from an unknown root|client|stranger-pki/server-chain|client-pki/client-chain|no root|unknown CA|unknown CA
a client without its intermediate|server|server-pki/server-ec-chain|client-pki/client|no intermediate|unknown CA|unknown CA
a server without its intermediate|client|server-pki/server-ec|client-pki/client-chain|no intermediate|unknown CA|unknown CA
a client that has expired|server|server-pki/server-ec-chain|client-pki/expired-chain|expired|certificate expired|certificate expired
a server that has expired|client|server-pki/expired-chain|client-pki/client-chain|expired|certificate expired|certificate expired
a client that is not valid yet|server|server-pki/server-ec-chain|client-pki/future-chain|not.*yet|bad certificate|bad certificate
a server that is not valid yet|client|server-pki/future-chain|client-pki/client-chain|not.*yet|bad certificate|bad certificate
a server of another name|client|server-pki/elsewhere-chain|client-pki/client-chain|another host|bad certificate|bad certificate
a client with a server's certificate|server|server-pki/server-ec-chain|client-pki/usage-chain|usage|unsupported certificate|unsupported certificate
a server with a client's certificate|client|server-pki/usage-chain|client-pki/client-chain|usage|unsupported certificate|unsupported certificate
a revoked client|server|server-pki/server-ec-chain|client-pki/revoked-chain|revoked|certificate revoked|certificate revoked
a revoked server|client|server-pki/revoked-chain|client-pki/client-chain|revoked|certificate revoked|certificate revoked
TEXT
}

# refusals_pki FOLDER: the certificates of that table, beside those of ends_pki. All are for the keys on the tokens: one
# key has many certificates here.
refusals_pki() {
    refusals_end "$1/server-pki" "$server_ec" "$server_subject" serverAuth clientAuth DNS:localhost &&
        pki_leaf "$1/server-pki" "$server_ec" elsewhere "$server_subject" serverAuth DNS:elsewhere.test &&
        pki_leaf "$1/server-pki" "$server_ec" good "$server_subject" serverAuth DNS:good.test &&
        refusals_end "$1/client-pki" "$client_ec" "$client_subject" clientAuth serverAuth "" &&
        pki_ca "$1/stranger-pki" "Unknown CA" &&
        pki_leaf "$1/stranger-pki" "$client_ec" client "$client_subject" clientAuth &&
        pki_leaf "$1/stranger-pki" "$server_ec" server "$server_subject" serverAuth DNS:localhost
}

# refusals_end FOLDER KEY SUBJECT USAGE WRONG-USAGE SAN: what can be wrong with either end
refusals_end() {
    pki_leaf "$1" "$2" expired "$3" "$4" "$6" "$(pki_date '-60 days')" "$(pki_date '-1 day')" &&
        pki_leaf "$1" "$2" future "$3" "$4" "$6" "$(pki_date '+2 days')" "$(pki_date '+60 days')" &&
        pki_leaf "$1" "$2" usage "$3" "$5" "$6" &&
        pki_leaf "$1" "$2" revoked "$3" "$4" "$6" && pki_revoke "$1" revoked && pki_crl "$1"
}

# refusal_meet FOLDER VERSION SERVER-CERTIFICATES CLIENT-CERTIFICATES: the two meet, then a client to which nobody
# objects asks the same server for its name good.test. Leaves what they said in FOLDER/{server,client,good}.out, and
# $server_status, $client_status, $good_status. Nobody is waited for without a bound.
refusal_meet() {
    : >"$1/server.out" # what the server before this one said must not be taken for its word
    timeout 120 "$build/mtls-server" --listen 127.0.0.1:0 --accept 2 --tls "$2" --ca "$1/client-pki/root.pem" \
        --crl "$1/client-pki/crl.pem" --key "$server_ec" --cert "$1/$3.pem" \
        --sni good.test --key "$server_ec" --cert "$1/server-pki/good-chain.pem" >"$1/server.out" 2>&1 &
    server=$!
    refusal_address "$1" || return 1
    refusal_client "$1/client.out" "$1" "$2" "$4" localhost
    client_status=$?
    refusal_client "$1/good.out" "$1" "$2" client-pki/client-chain good.test
    good_status=$?
    wait $server
    server_status=$?
    server=
}

# refusal_address FOLDER: where the server listens, as $address
refusal_address() {
    tries=0
    while ! grep -q '^ready on' "$1/server.out" && [ $tries -lt 300 ] && kill -0 $server 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    address=$(sed -n 's/^ready on //p' "$1/server.out")
    [ -n "$address" ] && return 0
    kill $server 2>/dev/null
    wait $server
    server=
    return 1
}

# refusal_client OUTPUT FOLDER VERSION CERTIFICATES NAME
refusal_client() {
    refusal_out=$1
    refusal_folder=$2
    refusal_version=$3
    refusal_certificates=$4
    refusal_name=$5
    set --
    [ "$refusal_certificates" = none ] || set -- --key "$client_ec" --cert "$refusal_folder/$refusal_certificates.pem"
    timeout 60 "$build/mtls-client" --connect "$address" --name "$refusal_name" --tls "$refusal_version" \
        --ca "$refusal_folder/server-pki/root.pem" --crl "$refusal_folder/server-pki/crl.pem" \
        --message "good morning" "$@" </dev/null >"$refusal_out" 2>&1
}

# refusal_words FOLDER END: what the end that refuses says of it; refusal_alert FOLDER END: the alert that it got
refusal_words() {
    sed -n "s/^$2: refused: //p" "$1/$2.out" | head -n 1
}

refusal_alert() {
    sed -n "s/^$2: the .* sent the alert \"\(.*\)\"\$/\1/p" "$1/$2.out" | head -n 1
}

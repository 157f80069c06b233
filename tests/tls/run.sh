# One mutual handshake between the demonstration programs; sourced after setup.sh.

# mutual WRAPPER SERVER-KEY SERVER-NAME CLIENT-KEY CLIENT-NAME VERSION: both programs, under WRAPPER if it is not empty. NAME is that of
# the chain's file. What both say is the output.
mutual() {
    : >"$work/server.out" # what the server before this one said must not be taken for its word
    timeout 300 $1 "$build/mtls-server" --key "$2" --cert "$work/$3-chain.pem" --ca "$work/root.pem" --listen 127.0.0.1:0 \
        --accept 1 --tls "$6" >"$work/server.out" 2>&1 &
    server=$!
    tries=0
    while ! grep -q '^ready on' "$work/server.out" && [ $tries -lt 1200 ] && kill -0 $server 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    address=$(sed -n 's/^ready on //p' "$work/server.out")
    if [ -z "$address" ]; then
        kill $server 2>/dev/null
        wait $server
        cat "$work/server.out"
        return 1
    fi
    timeout 300 $1 "$build/mtls-client" --key "$4" --cert "$work/$5-chain.pem" --ca "$work/root.pem" --connect "$address" \
        --name localhost --message "good morning" --tls "$6" >"$work/client.out" 2>&1
    client_status=$?
    # The server may be waiting for a client that never came; if one came, it has a while to say what was wrong.
    tries=0
    while [ $client_status -ne 0 ] && [ $tries -lt 100 ] && kill -0 $server 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    [ $client_status -eq 0 ] || kill $server 2>/dev/null
    wait $server
    server_status=$?
    cat "$work/server.out" "$work/client.out"
    [ $client_status -eq 0 ] && [ $server_status -eq 0 ]
}

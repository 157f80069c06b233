#!/bin/sh
# The demonstration server and client, and openssl's own, with keys on a token.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/run.sh"
setup_tls
cd "$work" || exit 99
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"
# steps WHO: the textbook's numbers of what it told, each once, in the order of their first line
steps() {
    sed -n "s/^$1: (\([0-9]\)).*/\1/p" said | awk '!seen[$0]++' | tr '\n' ' ' | sed 's/ $//'
}
for version in 1.2 1.3; do
    ok "TLS $version, keys by URI" mutual "" "$rsa" rsa "$ec" ec $version
    says "the server has read the client's message" 'message   good morning'
    says "and the client the answer" 'message   the server has read: good morning'
    cp out said
    says "the server's key is shown" 'key       rsa'
    says "and the client's" 'key       ec'
    ok "and their token, twice" test "$(grep -c '^ *token *test$' said)" -eq 2
    ok "the server tells the steps in their order" test "$(steps server)" = "1 3 2 5 6 4 7 8 9"
    ok "so does the client" test "$(steps client)" = "1 3 2 5 6 4 7 8 9"
    ok "TLS $version, keys by key file" mutual "" ec.key ec rsa.key rsa $version
    ok "TLS $version, the client's key in software" mutual "" ec.key ec rsa-soft.key rsa-soft $version
done
not_ok "a certificate of another key is refused at start" mutual "" "$ec" rsa "$ec" ec 1.3
pki_ca other "Other CA"
pki_leaf other ec-soft.key stranger "/CN=stranger" clientAuth
cp other/stranger-chain.pem stranger-chain.pem
mutual "" "$ec" ec ec-soft.key stranger 1.3 >out 2>&1
says "a client from an unknown root is refused" 'server: refused: the client.s certificate leads to .*Other CA'
not_ok "wrong usage is told" "$build/mtls-server" --key
not_ok "no address is told" "$build/mtls-client" --key a --cert b --ca c --name d --connect nowhere

timeout 120 openssl s_server -www -accept 127.0.0.1:0 -naccept 1 -cert rsa-chain.pem -cert_chain intermediate.pem -key "$rsa" -CAfile root.pem -Verify 3 \
    -verify_return_error >s_server.out 2>&1 &
server=$!
tries=0
while ! grep -q ACCEPT s_server.out && [ $tries -lt 600 ] && kill -0 $server 2>/dev/null; do sleep 0.1; tries=$((tries + 1)); done
port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' s_server.out)
printf 'GET / HTTP/1.0\r\n\r\n' | timeout 60 openssl s_client -connect "127.0.0.1:$port" -ign_eof -cert ec-chain.pem -key "$ec" \
    -CAfile root.pem -verify_return_error -verify 3 >out 2>&1
says "s_server and s_client, both with keys on the token: the client trusts the server" 'Verify return code: 0 (ok)'
wait $server
cp s_server.out out
says "and the server has checked the client's chain" 'depth=0 CN *= *localhost'
tap_done

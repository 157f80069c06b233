# The two ends that the demonstrations and their tests have: a token each, with keys generated in it, and a PKI each.
# Sourced after token.sh and pki.sh.
server_rsa='pkcs11:token=server;object=server-rsa;type=private'
server_ec='pkcs11:token=server;object=server-ec;type=private'
client_ec='pkcs11:token=client;object=client-ec;type=private'

# Each CA writes into its certificates on which token the key was generated: it has seen it happen.
server_subject='/O=Demo/OU=token server/CN=localhost'
client_subject='/O=Demo/OU=token client/CN=Alice'

# ends_tokens PIN
ends_tokens() {
    token_make server "$1" && token_make client "$1" || { echo "SoftHSM made no tokens" >&2; return 1; }
    token_key server "$1" rsa:2048 server-rsa 01 && token_key server "$1" EC:prime256v1 server-ec 02 &&
        token_key client "$1" EC:prime256v1 client-ec 01 || { echo "SoftHSM made no keys" >&2; return 1; }
}

# ends_pki FOLDER: FOLDER/server-pki with server-rsa and server-ec, FOLDER/client-pki with client
ends_pki() {
    pki_ca "$1/server-pki" "Demo server CA" && pki_ca "$1/client-pki" "Demo client CA" &&
        pki_leaf "$1/server-pki" "$server_rsa" server-rsa "$server_subject" serverAuth DNS:localhost &&
        pki_leaf "$1/server-pki" "$server_ec" server-ec "$server_subject" serverAuth DNS:localhost &&
        pki_leaf "$1/client-pki" "$client_ec" client "$client_subject" clientAuth
}

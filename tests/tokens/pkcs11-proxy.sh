# pkcs11-proxy: a module behind a network. TLS with a pre-shared key is left out here; without it nothing is encrypted.
title="pkcs11-proxy"
forks=forks_by_file # it notices forks and yet uses its parent's connection: parent and children would get each other's answers, and die
types="rsa2048 p256 p384 ed25519"
releases="trixie sid"
module=/usr/lib/libpkcs11-proxy.so.0
cannot sign ed25519 'CKR_MECHANISM_INVALID' "it passes on no mechanism of Ed25519"
free_port
PKCS11_PROXY_SOCKET="tcp://127.0.0.1:$port"
export PKCS11_PROXY_SOCKET

proxy_start() {
    daemon_start env PKCS11_DAEMON_SOCKET="$PKCS11_PROXY_SOCKET" pkcs11-daemon "$SOFTHSM_MODULE" -
    wait_until listening "$port"
}

token_start() {
    token_home "$home" && token_make "$token" "$PIN" && proxy_start
}

token_settings() {
    echo "pkcs11-module = $module"
}

make_key() {
    (module=$SOFTHSM_MODULE && key_by_tool --sensitive)
}

token_lose() {
    daemon_kill
}

token_back() {
    proxy_start
}

token_stop() {
    daemon_kill
    unset PKCS11_PROXY_SOCKET
}

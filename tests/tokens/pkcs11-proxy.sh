# pkcs11-proxy: a module behind a network. TLS with a pre-shared key is left out here; without it nothing is encrypted.
title="pkcs11-proxy"
. "$top/tests/tokens/behind"
forks=forks_by_file # it notices forks and yet uses its parent's connection: parent and children would get each other's answers, and die
releases="trixie sid"
module=/usr/lib/libpkcs11-proxy.so.0
cannot sign ed25519 'CKR_MECHANISM_INVALID' "it passes on no mechanism of Ed25519"
free_port
reached_by=PKCS11_PROXY_SOCKET
export PKCS11_PROXY_SOCKET="tcp://127.0.0.1:$port"

behind_start() {
    daemon_start env PKCS11_DAEMON_SOCKET="$PKCS11_PROXY_SOCKET" pkcs11-daemon "$SOFTHSM_MODULE" -
    wait_until listening "$port"
}

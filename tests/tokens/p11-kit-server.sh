# p11-kit's server: a token in another process, which keeps the module out of ours (here SoftHSM), or over ssh on another machine.
title="p11-kit server"
types="rsa2048 p256 p384 ed25519"
module=$(ls /usr/lib/*/pkcs11/p11-kit-client.so 2>/dev/null | head -n 1)
P11_KIT_SERVER_ADDRESS="unix:path=$home/socket"
export P11_KIT_SERVER_ADDRESS
cannot sign ed25519 'CKR_MECHANISM_INVALID' "its protocol passes on no mechanism of Ed25519"

server_start() {
    rm -f "$home/socket"
    daemon_start p11-kit server -f -n "$home/socket" --provider "$SOFTHSM_MODULE" "pkcs11:token=$token"
    wait_until grep -q P11_KIT_SERVER_PID "$home/daemon.out"
}

token_start() {
    token_home "$home" && token_make "$token" "$PIN" && server_start
}

token_settings() {
    echo "pkcs11-module = $module"
}

# In the token itself.
make_key() {
    (module=$SOFTHSM_MODULE && key_by_tool --sensitive)
}

token_lose() {
    daemon_kill
}

token_back() {
    server_start
}

token_stop() {
    daemon_kill
    unset P11_KIT_SERVER_ADDRESS
}

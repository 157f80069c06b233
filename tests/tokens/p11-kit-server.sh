# p11-kit's server: a token in another process, which keeps the module out of ours (here SoftHSM), or over ssh on another machine.
title="p11-kit server"
. "$top/tests/tokens/behind"
module=$(ls /usr/lib/*/pkcs11/p11-kit-client.so 2>/dev/null | head -n 1)
reached_by=P11_KIT_SERVER_ADDRESS
export P11_KIT_SERVER_ADDRESS="unix:path=$home/socket"
cannot sign ed25519 'CKR_MECHANISM_INVALID' "its protocol passes on no mechanism of Ed25519"

behind_start() {
    rm -f "$home/socket"
    daemon_start p11-kit server -f -n "$home/socket" --provider "$SOFTHSM_MODULE" "pkcs11:token=$token"
    wait_until grep -q P11_KIT_SERVER_PID "$home/daemon.out"
}

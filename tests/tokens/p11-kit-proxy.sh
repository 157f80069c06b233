# p11-kit's proxy module: all modules that are registered, as one. Here SoftHSM, with OpenSC beside it. What the machine has
# registered is not asked: as root p11-kit reads the system's list, so an own one is mounted over it.
title="p11-kit proxy module"
types="rsa2048 p256 p384 ed25519"
module=$(ls /usr/lib/*/p11-kit-proxy.so 2>/dev/null | head -n 1)

registered_here() {
    if [ "$(id -u)" -eq 0 ]; then
        mount -t tmpfs tmpfs /usr/share/p11-kit/modules
        list=/usr/share/p11-kit/modules
    else
        HOME=$home
        export HOME
        list=$home/.config/pkcs11/modules
        mkdir -p "$list"
        echo "user-config: only" >"$home/.config/pkcs11/pkcs11.conf"
    fi
    echo "module: $SOFTHSM_MODULE" >"$list/softhsm.module"
    echo "module: $(ls /usr/lib/*/pkcs11/opensc-pkcs11.so | head -n 1)" >"$list/opensc.module"
}

token_start() {
    token_home "$home" && token_make "$token" "$PIN" && registered_here
}

token_settings() {
    echo "pkcs11-module = $module"
}

make_key() {
    (module=$SOFTHSM_MODULE && key_by_tool --sensitive)
}

token_stop() {
    [ "$(id -u)" -ne 0 ] || umount /usr/share/p11-kit/modules
}

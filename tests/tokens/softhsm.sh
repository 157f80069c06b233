# SoftHSM: keys in files, encrypted with the PIN; everything happens in the process itself.
title="SoftHSM"
types="rsa2048 p256 p384 ed25519 mldsa65"
module=$SOFTHSM_MODULE
cannot key 'mldsa*' 'CKR_MECHANISM_INVALID\|: 0x70$' "its release 2.6.1 has no such mechanism"

token_start() {
    token_home "$home" && token_make "$token" "$PIN"
}

token_settings() {
    echo "pkcs11-module = $module"
}

make_key() {
    if [ -n "$tool" ]; then key_by_tool --sensitive; else key_by_program; fi
}

token_stop() {
    :
}

# A TPM with a resource manager: swtpm, tpm2-abrmd in front of it on a bus of its own, and tpm2-pkcs11.
title="TPM, resource manager"
types="rsa2048 p256 p384"
module=$(ls /usr/lib/*/pkcs11/libtpm2_pkcs11.so 2>/dev/null | head -n 1)
. "$top/tests/tokens/swtpm"
bus=

bus_start() {
    outside dbus-daemon --session --fork --print-address=1 --print-pid=1 --address="unix:path=$home/bus" >"$home/bus.out" 2>&1
    bus=$(sed -n 2p "$home/bus.out")
    DBUS_SESSION_BUS_ADDRESS="unix:path=$home/bus"
    export DBUS_SESSION_BUS_ADDRESS
    [ -n "$bus" ]
}

manager_answers() {
    outside tpm2_getrandom --tcti tabrmd:bus_type=session --hex 4
}

manager_start() {
    chip=$daemon
    daemon_start tpm2-abrmd --session --allow-root --tcti="$TPM2TOOLS_TCTI"
    wait_until manager_answers
}

token_start() {
    tpm_start && bus_start && manager_start && TPM2TOOLS_TCTI=tabrmd:bus_type=session &&
        export TPM2_PKCS11_TCTI=tabrmd:bus_type=session && mkdir -p "$home/bin" && tpm_token
}

# The manager goes; the chip keeps its power.
token_lose() {
    daemon_kill
}

token_back() {
    TPM2TOOLS_TCTI=swtpm:path=$home/tpm
    daemon=$chip
    manager_start
    TPM2TOOLS_TCTI=tabrmd:bus_type=session
}

token_stop() {
    daemon_kill
    daemon=$chip
    daemon_kill
    [ -z "$bus" ] || kill "$bus"
}

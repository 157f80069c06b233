# A TPM without a resource manager: swtpm in place of the chip, tpm2-pkcs11 in front. It has room for three objects, and talks to
# one process at a time.
title="TPM, bare"
types="rsa2048 p256 p384"
module=$(ls /usr/lib/*/pkcs11/libtpm2_pkcs11.so 2>/dev/null | head -n 1)
apart=yes
. "$top/tests/tokens/swtpm"

token_start() {
    tpm_start && tpm_commands && export TPM2_PKCS11_TCTI="$TPM2TOOLS_TCTI" && tpm_token
}

# A process that has ended has left its session in the chip, and there it stays. Not while a program is connected.
token_fresh() {
    for kind in -t -l -s; do
        outside tpm2_flushcontext $kind
    done >/dev/null 2>&1
    tpm_forgives
}

cannot fork '*' 'of 8 children signed.*C_Login: CKR_GENERAL_ERROR' \
    "each child leaves something in the chip, which has room for three; use a resource manager"

#!/bin/sh
# NSS in forked processes: its random numbers, and the rights that a server's workers give up.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/fork/setup.sh"
SIGNET_PROVIDER="$build/.libs/signet.so"
softokn=$(ls /usr/lib/*/libsoftokn3.so | head -n 1)
work_db="sql:$work/db"
mkdir "$work/db"
printf '%s\n' "$PIN" >"$work/nss-pin"
head -c 64 /dev/urandom >"$work/noise"
LD_PRELOAD= certutil -N -d "$work_db" -f "$work/nss-pin" || exit 99
LD_PRELOAD= certutil -S -d "$work_db" -f "$work/nss-pin" -n ec -s CN=nss -x -t u,u,u -k ec -q nistp256 -z "$work/noise" \
    >/dev/null 2>&1 || exit 99

# nss [SETTING...]: the configuration from here on
nss() {
    conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $softokn" \
        "pkcs11-init-args = configdir='$work_db' flags=readOnly" "pin = file:$work/nss-pin" "$@"
    export OPENSSL_CONF="$work/openssl.cnf"
}
nss
"$signet" key-file 'pkcs11:token=NSS%20Certificate%20DB;type=private' >"$work/ec.key" || exit 99

story family
story different

# With the copy of its parent's state a child repeats its parent's random numbers: the reason of the row in
# pkcs11/module/quirks.c, and why a module that nobody knows is refused.
nss "tokens = db" "token.db.uri = pkcs11:token=NSS%20Certificate%20DB" "token.db.quirks = fork=share"
story the-same
nss "tokens = db" "token.db.uri = pkcs11:token=NSS%20Certificate%20DB" "token.db.quirks = fork=refuse"
story refused-after-fork

# A worker in its chroot can't open the database any more.
if [ "$(id -u)" = 0 ]; then
    nss "after-fork = lazy" "deadline = 1"
    story shut-out
    ok "each says so once, with the reason and what to do" \
        [ "$(grep -c "signet\[[0-9]*\]: this forked process can't use its key: .*C_Initialize: CKR_" "$work/err")" = 4 ]
    nss "after-fork = eager"
    story cage
    ok "and nothing is said" sh -c '! grep signet "$1"' sh "$work/err"
    nss "after-fork = eager"
    story family
else
    echo "# not run here: what needs root for chroot"
fi
tap_done

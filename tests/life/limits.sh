#!/bin/sh
# Limits that are reached: memory that can't be locked, descriptors, stacks, disks. What can go on goes on, what can't says
# why, and is well again when the limit is gone.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
setup_token
cd "$work" || exit 99
echo message >message
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"
conf "default signet" "deadline = 4"
openssl pkey -in "$rsa" -out rsa.key || exit 99
openssl pkey -in "$rsa" -pubout -out rsa.pub || exit 99
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key 2>/dev/null || exit 99

# Root locks as much as it likes, unless it gives that right up.
bounded() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$@"
    else
        "$@"
    fi
}

# --- no memory may be locked ---
no_memlock() {
    (ulimit -l 0 && bounded "$@")
}
ok "RLIMIT_MEMLOCK=0 is really so" no_memlock sh -c 'test "$(ulimit -l)" = 0 && ! grep -q "^CapEff:.*[4567cdef]...$" /proc/self/status'
for key in "$ec" "$rsa" rsa.key; do
    ok "no memory may be locked: ${key##*object=} signs" no_memlock openssl dgst -sha256 -sign "$key" -out sig message
done
ok "the signature verifies" openssl dgst -sha256 -verify rsa.pub -signature sig message

# --- no descriptor is left ---
driver_start
expect "libcrypto has read its configuration" done load soft "$work/soft.key" # without it, there is no provider of ours
expect "no descriptor left, at the first use:" done files full
for key in "$ec" "$rsa" "$work/rsa.key"; do
    expect "  ${key##*object=} is not loaded" "error *" load key "$key"
    says "  and there is a reason" 'error ..*: '
    tell sign key
    says "  so that nothing signs" '^error'
done
expect "descriptors again:" done files back
for key in "$ec" "$rsa" "$work/rsa.key"; do
    expect "  ${key##*object=} is loaded" done load key "$key"
    expect "  and signs" signed sign key
done
driver_end "the process ends with its own status"

# a PIN that can't be read for want of a descriptor is no wrong PIN
conf "default signet" "pkcs11-module = $counter"
SIGNET_TEST_COUNTS="$work/counts" driver_start env
expect "libcrypto has read its configuration" done load soft "$work/soft.key"
expect "no descriptor is left" done files full
expect "the PIN's file can't be opened: an error" "error *" load key "$ec"
expect "descriptors again" done files back
expect "the PIN is read, and right" done load key "$ec"
expect "the key signs" signed sign key
driver_end "the process ends with its own status"
ok "one login" test "$("$build/tests/token/show-counts" counts Login)" = 1
conf

# --- small stacks ---
# A sanitizer's own frames are larger than what is looked at here.
stacks="128 256"
[ "${SANITIZER:-none}" = none ] || stacks=2048
for kib in $stacks; do
    ok "threads with $kib KiB of stack load and sign" "$build/tests/life/threads" $kib "$ec" "$rsa" "$work/rsa.key"
done

# --- a disk that is full ---
for trace in stderr file:/dev/full; do
    conf "default signet" "trace = $trace"
    ok "a trace to $trace, and no room: a signature" \
        sh -c 'openssl dgst -sha256 -sign "$1" -out sig message 2>/dev/full' x "$rsa"
    ok "  that verifies" env OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify rsa.pub -signature sig message
done
conf "default signet" "trace = file:$work/small/trace"
if [ "$(id -u)" -eq 0 ] && mkdir small && mount -t tmpfs -o size=8k none small 2>/dev/null; then
    head -c 8192 /dev/zero >small/fill 2>/dev/null
    ok "a trace on a disk that is full: a signature" openssl dgst -sha256 -sign "$rsa" -out sig message
    rm small/fill
    ok "there is room again: a signature" openssl dgst -sha256 -sign "$rsa" -out sig message
    ok "and a trace" test -s small/trace
    umount small
fi
conf
not_ok "a key file for a full disk is an error" "$signet" key-file "$rsa" --force -o /dev/full
tap_done

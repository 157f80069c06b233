# openCryptoki's soft token: a module that keeps its state in shared memory, watched over by a daemon.
title="openCryptoki, soft token"
types="rsa2048 p256 p384 ed25519 mldsa44 mldsa65 mldsa87"
releases="trixie sid"
absent="its release 3.8 has RSA alone, and takes no user PIN"
lost=signed # the daemon is needed when a process begins
module=$(ls /usr/lib/*/pkcs11/libopencryptoki.so 2>/dev/null | head -n 1)
case $release in
trixie)
    cannot key 'ed25519' 'mechanism 1055 not supported' "not in its release 3.23"
    cannot key 'mldsa*' ': 0x70$' "not in its release 3.23"
    ;;
esac

# The package leaves its folders to root alone, where the daemon and the module want those of the group. The token gets a folder of
# its own, for this mount namespace.
token_start() {
    cp -a /var/lib/opencryptoki "$home/" && mount --bind "$home/opencryptoki" /var/lib/opencryptoki &&
        chgrp -R pkcs11 /var/lib/opencryptoki && find /var/lib/opencryptoki -type d -exec chmod 770 {} + && slots_start &&
        { printf '87654321\n%s\n' "$token" | outside pkcsconf -I -c 3; } &&
        outside pkcsconf -P -c 3 -S 87654321 -n 76543210 && outside pkcsconf -u -c 3 -S 76543210 -n 12345670 &&
        outside pkcsconf -p -c 3 -U 12345670 -n "$PIN"
}

slots_start() {
    mkdir -p /run/opencryptoki /run/lock/opencryptoki
    chgrp pkcs11 /run/opencryptoki /run/lock/opencryptoki
    daemon_start pkcsslotd -f
    wait_until slots_answer
}

slots_answer() {
    outside pkcsconf -t -c 3
}

token_settings() {
    echo "pkcs11-module = $module"
}

make_key() {
    [ "$type" != ed25519 ] || tool=EC:Ed25519 # its OID; the name of the curve it does not know
    if [ -n "$tool" ]; then key_by_tool --sensitive; else key_by_program; fi
}

token_lose() {
    daemon_kill
}

token_back() {
    slots_start
}

token_stop() {
    daemon_kill
    umount /var/lib/opencryptoki
}

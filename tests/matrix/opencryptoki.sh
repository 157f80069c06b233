# openCryptoki's soft token, "ocksoft", for the processes of one test alone; sourced. The daemon, its files and its shared
# memory live in namespaces that end with the test: a machine's own pkcsslotd and its tokens are never met.

OCK_MODULE=$(ls /usr/lib/*/pkcs11/libopencryptoki.so 2>/dev/null | head -n 1)
OCK_PIN=24680

# ock_enter PROGRAM [ARGUMENT...]: the test begins anew as PROGRAM, in namespaces of its own
ock_enter() {
    [ "${OCK_INSIDE:-}" != yes ] || return 0
    export OCK_INSIDE=yes
    exec unshare --mount --propagation private --ipc --pid --fork --kill-child /bin/sh -c '"$@"; exit $?' sh /bin/sh "$@"
}

# ock_start: the daemon runs, and the token has its PIN. Only the folders that the package made are taken over.
ock_start() {
    (cd /var/lib/opencryptoki && find . -type d) >"$work/ock-folders" &&
        mount -t proc proc /proc &&
        mount -t tmpfs -o mode=1777 tmpfs /dev/shm &&
        mount -t tmpfs tmpfs /run && mkdir -p /run/lock/opencryptoki /run/opencryptoki &&
        chgrp pkcs11 /run/lock/opencryptoki /run/opencryptoki && chmod 770 /run/lock/opencryptoki /run/opencryptoki &&
        mount -t tmpfs tmpfs /var/lib/opencryptoki &&
        (cd /var/lib/opencryptoki && xargs mkdir -p <"$work/ock-folders" && chgrp -R pkcs11 . && chmod -R 770 .) &&
        pkcsslotd || return 1
    tries=0
    until ock_slot=$(pkcsconf -t 2>/dev/null | sed -n 's/^Token #\([0-9]*\) Info.*/\1/p' | head -n 1) && [ -n "$ock_slot" ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || return 1
        sleep 0.1
    done
    pkcs11-tool --module "$OCK_MODULE" --slot "$ock_slot" --init-token --label ocksoft --so-pin 87654321 &&
        pkcsconf -P -c "$ock_slot" -S 87654321 -n 76543210 &&
        pkcsconf -u -c "$ock_slot" -S 76543210 -n 12345670 &&
        pkcsconf -p -c "$ock_slot" -U 12345670 -n "$OCK_PIN"
}

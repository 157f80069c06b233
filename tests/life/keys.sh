#!/bin/sh
# A key that is loaded again, deleted, or replaced by another of its name, under a process that goes on signing.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
setup_token
cd "$work" || exit 99
conf "default signet" "deadline = 5"
cp "$OPENSSL_CONF" plain.cnf
conf "default signet" "deadline = 5" "pkcs11-module = $counter"
cp "$OPENSSL_CONF" counted.cnf
for type in ec rsa; do
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -out $type.key || exit 99
done

count() {
    "$build/tests/token/show-counts" counts "$1"
}

# --- reload: what a server does at SIGHUP ---
OPENSSL_CONF="$work/counted.cnf" SIGNET_TEST_COUNTS="$work/counts" driver_start env
for type in ec rsa; do
    for name in "pkcs11:token=test;object=$type;type=private" "$work/$type.key"; do
        case $name in pkcs11:*) by="$type by URI" ;; *) by="$type by key file" ;; esac
        expect "$by: loaded" done load old "$name"
        expect "$by: signs" signed sign old
        tell fds
        fds=$answer
        sessions=$(($(count OpenSession) - $(count CloseSession)))
        good=0
        round=0
        while [ $round -lt 50 ]; do
            round=$((round + 1))
            tell load new "$name"
            tell free old
            tell sign new
            [ "$answer" = signed ] && good=$((good + 1))
            tell load old "$name"
            tell free new
            tell sign old
            [ "$answer" = signed ] && good=$((good + 1))
        done
        ok "$by: loaded again and the one before freed, 100 times: the new one signs ($good)" test $good = 100
        expect "$by: no descriptor is left behind" "$fds" fds
        ok "$by: nor a session" test "$(($(count OpenSession) - $(count CloseSession)))" = "$sessions"
        tell free old
    done
done
ok "all of it with one login" test "$(count Login)" = 1
driver_end "the process ends with its own status"

# --- a key that is deleted, or replaced by another of the same name ---
export OPENSSL_CONF="$work/plain.cnf"

# object_delete NAME
object_delete() {
    token_tool test "$PIN" --delete-object --type privkey --label "$1" >/dev/null 2>&1
    token_tool test "$PIN" --delete-object --type pubkey --label "$1" >/dev/null 2>&1
}

for type in EC:prime256v1 rsa:2048; do
    for by in uri file; do
        name="doomed-$by"
        token_key test "$PIN" $type $name 0a || exit 99
        uri="pkcs11:token=test;object=$name;type=private"
        openssl pkey -in "$uri" -out doomed.key || exit 99
        case $by in uri) what=$uri ;; file) what="$work/doomed.key" ;; esac
        for used in used unused; do
            driver_start
            expect "$type by $by, $used: loaded" done load key "$what"
            expect "$type by $by, $used: another beside it" done load other "$work/ec.key"
            [ $used = unused ] || expect "$type by $by, $used: signs" signed sign key
            object_delete $name
            expect "$type by $by, $used: deleted, it is an error" "error *" sign key
            says "$type by $by, $used: which names the key" "$name"
            expect "$type by $by, $used: other keys of the token sign on" signed sign other
            token_key test "$PIN" $type $name 0a || exit 99
            expect "$type by $by, $used: replaced by another of its name, it is an error" "error *" sign key
            says "$type by $by, $used: which names the key" "$name"
            expect "$type by $by, $used: again" "error *" sign key
            expect "$type by $by, $used: other keys of the token sign on" signed sign other
            expect "$type by $by, $used: loaded anew by URI, the new one signs" "done" load fresh "$uri"
            expect "$type by $by, $used: and is itself" signed sign fresh
            driver_end "$type by $by, $used: the process ends with its own status"
            openssl pkey -in "$uri" -out doomed.key || exit 99
        done
        object_delete $name
    done
done
tap_done

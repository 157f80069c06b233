# A browser as a TLS client whose identity is on a token: NSS, in which Chromium keeps certificates, loads the token's
# PKCS#11 module. Everything is in one FOLDER beside the PKIs of ends_pki: the browser's home, with its tokens, its NSS
# database and its profile. Sourced after ends.sh.

# browser_token FOLDER PIN: the client's token moves into FOLDER, so that the browser sees this one only; its
# certificate is written beside the key
browser_token() {
    mkdir -p "$1"
    openssl x509 -in "${1%/*}/client-pki/client.pem" -outform DER -out "$1/client.der" &&
        token_tool client "$2" --write-object "$1/client.der" --type cert --label client-ec --id 01 >/dev/null 2>&1 &&
        token_move client "$1"
}

# browser_nss FOLDER [MODULE]: what a user enters by hand: the root to trust, the intermediate to send along, the module
browser_nss() {
    browser_database="sql:$1/.pki/nssdb"
    mkdir -p "$1/.pki/nssdb"
    browser_run "$1" certutil -N -d "$browser_database" --empty-password &&
        browser_run "$1" certutil -A -d "$browser_database" -n "Demo server root" -t C,, \
            -i "${1%/*}/server-pki/root.pem" &&
        browser_run "$1" certutil -A -d "$browser_database" -n "Demo client intermediate" -t ,, \
            -i "${1%/*}/client-pki/intermediate.pem" || return 1
    [ -z "${2:-}" ] ||
        browser_run "$1" modutil -force -dbdir "$browser_database" -add "Demo token" -libfile "$2" >/dev/null
}

# browser_run FOLDER COMMAND...: at home in FOLDER, and away from our configuration of OpenSSL, which SoftHSM would read
browser_run() {
    browser_folder=$1
    shift
    env -u OPENSSL_CONF -u OPENSSL_MODULES -u LD_PRELOAD HOME="$browser_folder" XDG_CONFIG_HOME="$browser_folder" \
        XDG_CACHE_HOME="$browser_folder" SOFTHSM2_CONF="$browser_folder/softhsm2.conf" "$@" </dev/null
}

# browser_visit FOLDER OPTION... URL: Chromium without a screen, and with no more time than it needs. Nobody can be
# asked there which certificate to present, so the profile says: any. Nor can anybody be asked for the PIN: a module that
# logs in by itself, tests/token/token-login, must have been given to browser_nss.
browser_visit() {
    mkdir -p "$1/profile/Default"
    cat >"$1/profile/Default/Preferences" <<'TEXT'
{"profile":{"managed_auto_select_certificate_for_urls":["{\"pattern\":\"https://localhost\",\"filter\":{}}"]}}
TEXT
    browser_folder=$1
    shift
    browser_run "$browser_folder" timeout -k 5 90 chromium --headless --no-sandbox --disable-gpu \
        --disable-dev-shm-usage --no-first-run --disable-background-networking --disable-component-update \
        --user-data-dir="$browser_folder/profile" --timeout=60000 "$@" 2>"$browser_folder/errors"
}

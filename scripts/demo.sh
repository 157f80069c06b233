# The demonstration; sourced by quickstart, which has $here, $build, $demo, step, fail and build.
. scripts/token.sh
. scripts/pki.sh
. scripts/ends.sh
. scripts/refusals.sh
. scripts/browser.sh

# demo_key_file TOKEN LABEL: what a program gets that asks the provider for the private key; each byte is accounted for
demo_key_file() {
    key="$demo/$2.der"
    parts="$demo/$2.parts"
    openssl pkey -in "pkcs11:token=$1;object=$2;type=private" -outform DER -out "$key" || fail "the key is not there"
    openssl pkey -in "pkcs11:token=$1;object=$2;type=private" -pubout -outform DER -out "$demo/$2.pub" ||
        fail "the key has no public half"
    octets=$(openssl asn1parse -inform DER -in "$key" | sed -n 's/^ *\([0-9]*\):d=1 .*OCTET STRING.*/\1/p')
    openssl asn1parse -inform DER -in "$key" -strparse "${octets:-0}" | grep ':d=1 ' >"$parts"
    sed -n 1p "$parts" | grep -q 'UTF8STRING *:signet key 1$' && sed -n 2p "$parts" | grep -q 'UTF8STRING *:pkcs11:' &&
        [ "$(wc -l <"$parts")" -eq 3 ] || fail "something else than a key file came out: $key"
    tail -c "$(wc -c <"$demo/$2.pub")" "$key" | cmp -s - "$demo/$2.pub" ||
        fail "the key file ends with something else than the public half: $key"
    echo "   the provider, asked for the private key, gives $(wc -c <"$key") bytes: a mark, a URI and the public half"
}

# demo_proof TOKEN LABEL: whether the token keeps the private key to itself
demo_proof() {
    step "Does the token '$1' give up '$2'?"
    access=$(token_tool "$1" "$pin" --list-objects --type privkey 2>/dev/null |
        awk -v label="$2" '$1 == "label:" { mine = $2 == label } mine && /Access:/ { sub(/^ *Access: */, ""); print }')
    echo "   the token says of it: $access"
    case $access in
    sensitive,*"never extractable"*) ;;
    *) fail "it should be sensitive and never extractable" ;;
    esac
    demo_key_file "$1" "$2"
    echo "   the token, asked for the secret parts by PKCS#11 and logged in, answers:"
    env -u OPENSSL_CONF "$build/tests/token/ask-secret" "$SOFTHSM_MODULE" "$1" "$pin" "$2" >"$demo/$2.asked" ||
        { cat "$demo/$2.asked"; fail "the token gave up its private key"; }
    sed 's/^/     /' "$demo/$2.asked"
    echo "   no."
}

# demo_run TITLE VERSION SERVER-KEY SERVER-NAME CLIENT-KEY [OPTION...]: one connection. SERVER-NAME is that of the
# certificate's file, the options are the client's. Both ends are bounded: one that fails does not leave the other
# waiting.
demo_run() {
    step "$1"
    : >"$demo/server.out" # what the server before this one said must not be taken for its word
    timeout 120 "$build/mtls-server" --listen 127.0.0.1:0 --accept 1 --tls "$2" --key "$3" \
        --cert "$demo/server-pki/$4-chain.pem" --ca "$demo/client-pki/root.pem" >"$demo/server.out" 2>&1 &
    server=$!
    tries=0
    while ! grep -q '^ready on' "$demo/server.out" && [ $tries -lt 600 ] && kill -0 $server 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
    done
    address=$(sed -n 's/^ready on //p' "$demo/server.out")
    [ -n "$address" ] || { cat "$demo/server.out"; fail "the server did not start"; }
    demo_version=$2
    demo_key=$5
    shift 5
    timeout 60 "$build/mtls-client" --connect "$address" --name localhost --tls "$demo_version" \
        --message "good morning" --key "$demo_key" --cert "$demo/client-pki/client-chain.pem" \
        --ca "$demo/server-pki/root.pem" "$@" >"$demo/client.out" 2>&1
    client_status=$?
    # The server may be waiting for a client that never came; if one came, it has a second to say what was wrong.
    [ $client_status -eq 0 ] || { sleep 1; kill $server 2>/dev/null; }
    wait $server
    server_status=$?
    server=
    sed 's/^/   /' "$demo/server.out" "$demo/client.out"
    [ $client_status -eq 0 ] && [ $server_status -eq 0 ] || fail "the handshake failed"
    grep -q '^ *message *good morning' "$demo/server.out" &&
        grep -q '^ *message *the server has read: good morning' "$demo/client.out" ||
        fail "the messages did not arrive"
    grep -q '^ *token *server$\|our private key decrypts it$' "$demo/server.out" &&
        grep -q '^ *token *client$' "$demo/client.out" || fail "a key was not on its token"
    demo_run_summary >>"$demo/summary"
}

# demo_run_summary: what one connection comes down to
demo_run_summary() {
    steps=$(sed -n 's/^client: (\([0-9]\)).*/\1/p' "$demo/client.out" | awk '!seen[$0]++ { printf " %s", $0 }')
    echo "TLS $demo_version, $(demo_fact suite client)$(demo_fact group client | sed 's/^/, /'): steps$steps"
    for end in server client; do
        if grep -q '^[a-z]*: ([24]) signed with our' "$demo/$end.out"; then
            did="signed $(demo_signed "$end" scheme) in $(demo_signed "$end" took_us) us"
            did="$did, by '$(demo_signed "$end" key)' on token '$(demo_signed "$end" token)'"
        else
            did="decrypted the client's secret on its token"
        fi
        echo "  the $end $did; sent $(demo_fact sent "$end") bytes"
    done
}

# demo_fact NAME END: the last of that name that END told; demo_signed END NAME: one of its own signature
demo_fact() {
    sed -n "s/^ *$1  *//p" "$demo/$2.out" | tail -n 1
}

demo_signed() {
    awk -v name="$2" '/^[a-z]*: / { ours = /signed with our private key/ } ours && $1 == name { print $2; exit }' \
        "$demo/$1.out"
}

# demo_chain FOLDER NAME: shows the way from a certificate to its root
demo_chain() {
    openssl verify -show_chain -CAfile "$demo/$1/root.pem" -untrusted "$demo/$1/intermediate.pem" "$demo/$1/$2.pem" \
        >"$demo/chain" 2>&1 || { cat "$demo/chain"; fail "the certificate '$2' does not verify"; }
    sed 's/^/   /' "$demo/chain"
}

# demo_conf: each token has a PIN of its own in the configuration, since a key file does not choose where a PIN goes
demo_conf() {
    conf_write "$demo/openssl.cnf" "default signet" "pkcs11-module = $SOFTHSM_MODULE" "tokens = server, client" \
        "token.server.uri = pkcs11:token=server" "token.server.pin = file:$demo/pin" \
        "token.client.uri = pkcs11:token=client" "token.client.pin = file:$demo/pin"
}

# demo_begin: what every demonstration stands on
demo_begin() {
    server=
    trap '[ -z "$server" ] || kill $server 2>/dev/null' EXIT
    trap 'exit 1' HUP INT TERM
    install_missing $BUILD_PACKAGES $RUN_PACKAGES "$@" || fail "packages could not be installed"
    step "Building"
    build
    echo "   $build/.libs/signet.so"
    rm -rf "$demo" && mkdir -p "$demo" || exit 1
    pin=$(printf '%010u' "$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')")
    (umask 077 && printf '%s\n' "$pin" >"$demo/pin")
    token_home "$demo"
    demo_conf
    export OPENSSL_CONF="$demo/openssl.cnf" OPENSSL_MODULES="$build/.libs"

    step "Two tokens, with keys generated in them"
    ends_tokens "$pin" || fail "no tokens"
    # One token at a time: a PIN that is meant for one is never tried on several.
    for token in server client; do
        "$build/signet" list "pkcs11:token=$token;type=private" >"$demo/list" 2>&1 ||
            { cat "$demo/list"; fail "no keys are to be seen"; }
        sed 's/^/   /' "$demo/list"
    done

    step "A PKI for the server, another for the client; each token signs the requests for its certificates"
    ends_pki "$demo" || fail "no PKI"
    demo_chain server-pki server-rsa
    demo_chain server-pki server-ec
    demo_chain client-pki client
}

# run_demo [--refusals | --browser]
run_demo() {
    case ${1:-} in
    "") demo_mutual ;;
    --refusals) demo_refusals ;;
    --browser) demo_browser ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
}

demo_mutual() {
    demo_begin
    step "A key file for the client, for programs that know files only"
    "$build/signet" key-file --output "$demo/client.key" "$client_ec" || fail "no key file"
    sed 's/^/   /' "$demo/client.key"

    demo_run "Mutual TLS 1.3: the server's key by its URI, the client's by its key file" 1.3 \
        "$server_rsa" server-rsa "$demo/client.key"
    demo_run "Mutual TLS 1.2: both keys by their URIs" 1.2 "$server_ec" server-ec "$client_ec"
    demo_run "Mutual TLS 1.2 with RSA key transport: the server signs nothing (2), it decrypts" 1.2 \
        "$server_rsa" server-rsa "$client_ec" --suites AES256-GCM-SHA384

    demo_proof server server-rsa
    demo_proof server server-ec
    demo_proof client client-ec
    demo_refusals_shown
    step "In short"
    sed 's/^/   /' "$demo/summary"
    cat <<TEXT
   server-rsa, server-ec and client-ec were generated in their tokens, are sensitive and never extractable; asked for
   them, both tokens refused.
   $refused times one end refused the other and said why; each time the other was told by an alert, and the server
   served the next client. (./quickstart demo --refusals shows just these.)
   A page for a browser with its identity on a token: ./quickstart demo --browser
TEXT
    step "Done: both ends proved possession of a key that never left its token"
}

# --- quickstart demo --refusals ---------------------------------------------------------------------------------------

demo_refusals() {
    demo_begin
    demo_refusals_shown
    step "Done: $refused refusals, and after each of them the server served the next client"
}

# demo_refusals_shown: all of them as a table; how many there were as $refused
demo_refusals_shown() {
    step "Certificates for the same two keys, with all that can be wrong"
    refusals_pki "$demo" || fail "no certificates"
    refusals >"$demo/refusals"
    echo "   $(wc -l <"$demo/refusals") ways to be refused, each in TLS 1.2 and 1.3"
    while IFS='|' read -r title who server_side client_side word alert_12 alert_13; do
        demo_refusal 1.2 "$alert_12"
        demo_refusal 1.3 "$alert_13"
    done <"$demo/refusals" >"$demo/refusals.rows" || exit 1
    demo_merge <"$demo/refusals.rows" >"$demo/refusals.merged"
    demo_markdown <"$demo/refusals.merged" >"$demo/refusals.md"
    step "Who refuses whom, in whose words, and what the other end is told"
    demo_table <"$demo/refusals.merged"
    refused=$(wc -l <"$demo/refusals.rows")
}

# demo_refusal VERSION ALERT: one row of the table, for $title, $who, $server_side, $client_side
demo_refusal() {
    case $who in server) other=client ;; *) other=server ;; esac
    refusal_meet "$demo" "$1" "$server_side" "$client_side" || fail "$title: the server did not start"
    why=$(refusal_words "$demo" "$who")
    alert=$(refusal_alert "$demo" "$other")
    if [ -z "$why" ] || [ "$alert" != "$2" ] || [ $client_status -eq 0 ] || [ $good_status -ne 0 ]; then
        cat "$demo/server.out" "$demo/client.out" "$demo/good.out" >&2
        fail "TLS $1, $title: this should have been a refusal with the alert \"$2\", and the next client served"
    fi
    echo "$title|$1|$who: $why|$other: $alert"
}

# demo_merge: what both versions of TLS have in common is said once
demo_merge() {
    awk -F'|' 'function out() { if (title != "") print title "|" tls "|" why "|" alert }
        $1 == title && $3 == why && $4 == alert { tls = tls ", " $2; next }
        { out(); title = $1; tls = $2; why = $3; alert = $4 }
        END { out() }'
}

# demo_markdown: rows of cells cut by '|' as a table for a document
demo_markdown() {
    echo '| what is wrong | TLS | the end that refuses: why | the other end: the alert |'
    echo '|---|---|---|---|'
    sed 's/|/ | /g; s/^/| /; s/$/ |/'
}

# demo_table: the same for a terminal, with the words of a cell below one another
demo_table() {
    awk -F'|' 'BEGIN { split("23 8 56 24", wide, " "); rule()
            print_row("what is wrong", "TLS", "the end that refuses: why", "the other end: the alert"); rule() }
        { print_row($1, $2, $3, $4) }
        END { rule() }
        function rule(i, line) {
            for (i = 1; i <= 4; i++) {
                line = sprintf("%" (wide[i] + 2) "s", ""); gsub(/ /, "-", line); printf "+%s", line
            }
            print "+"
        }
        function fold(text, column, words, count, i, n) {
            count = split(text, words, " "); n = 1; cell[column, 1] = words[1]
            for (i = 2; i <= count; i++)
                if (length(cell[column, n]) + 1 + length(words[i]) <= wide[column])
                    cell[column, n] = cell[column, n] " " words[i]
                else cell[column, ++n] = words[i]
            return n
        }
        function print_row(a, b, c, d, i, j, n, high) {
            text[1] = a; text[2] = b; text[3] = c; text[4] = d; high = 0
            for (i = 1; i <= 4; i++) { lines[i] = fold(text[i], i); if (lines[i] > high) high = lines[i] }
            for (j = 1; j <= high; j++) {
                for (i = 1; i <= 4; i++) printf "| %-" wide[i] "s ", j <= lines[i] ? cell[i, j] : ""
                print "|"
            }
        }'
}

# --- quickstart demo --browser ----------------------------------------------------------------------------------------

demo_browser() {
    demo_begin $BROWSER_PACKAGES
    step "The server"
    browser_token "$demo/browser" "$pin" || fail "the client's token can't be given to a browser"
    "$build/mtls-server" --listen 127.0.0.1:0 --key "$server_ec" --cert "$demo/server-pki/server-ec-chain.pem" \
        --ca "$demo/client-pki/root.pem" >"$demo/server.out" 2>&1 &
    server=$!
    refusal_address "$demo" || { cat "$demo/server.out"; fail "the server did not start"; }
    url="https://localhost:${address##*:}/"
    echo "   $url"
    demo_picture
    step "A browser's home: the client's token with key and certificate, and the root to trust"
    browser_nss "$demo/browser" "$SOFTHSM_MODULE" || fail "no NSS database"
    browser_run "$demo/browser" certutil -L -d "sql:$demo/browser/.pki/nssdb" -h all -f "$demo/pin" 2>&1 |
        sed -n 's/^[^ ].*,.*/   &/p'
    step "Visit it"
    demo_browser_told
    step "What the server says; Ctrl-C ends it"
    trap 'exit 0' INT
    tail -n +1 -f --pid=$server "$demo/server.out"
    fail "the server has ended"
}

# demo_picture: what a browser shows, where there is one. Nobody can enter the PIN there; a module in front of the
# token's does, in a database that is not kept.
demo_picture() {
    command -v chromium >/dev/null 2>&1 || return 0
    export SIGNET_TEST_MODULE="$SOFTHSM_MODULE" SIGNET_TEST_PIN_FILE="$demo/pin" SIGNET_TEST_TOKEN=client
    browser_nss "$demo/browser" "$build/tests/token/.libs/token-login.so" &&
        browser_visit "$demo/browser" --window-size=1000,900 --screenshot="$demo/page.png" "$url" >/dev/null &&
        [ -s "$demo/page.png" ] || fail "Chromium did not get the page: $demo/browser/errors"
    rm -rf "$demo/browser/.pki" "$demo/browser/profile"
    echo "   a picture of what it answers: $demo/page.png"
}

demo_browser_told() {
    sandbox=
    [ "$(id -u)" -ne 0 ] || sandbox='--no-sandbox ' # Chromium does not start as root with it
    cat <<TEXT
   Chromium, in the home in which all is prepared:

     env HOME=$demo/browser SOFTHSM2_CONF=$demo/browser/softhsm2.conf OPENSSL_CONF=/dev/null \\
         chromium $sandbox--user-data-dir=$demo/browser/profile $url

   It asks for the PIN of the token 'client', which is $pin, and then which certificate to present: Alice's.

   Another browser (in Firefox: Settings, Privacy & Security, Security Devices and Certificates) needs to be told

     the module         $SOFTHSM_MODULE
     its environment    SOFTHSM2_CONF=$demo/browser/softhsm2.conf OPENSSL_CONF=/dev/null
     the root to trust  $demo/server-pki/root.pem (for web sites; take it out again afterwards)
     an intermediate    $demo/client-pki/intermediate.pem
TEXT
}

#!/bin/sh
# A real browser, Chromium without a screen: its identity is on a token, and the server's key on another. The page says
# what was proved about both.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/scripts/ends.sh"
. "$top/scripts/browser.sh"
token_home "$work"
conf
ends_tokens "$PIN" && ends_pki "$work" || exit 99
for home in browser nobody; do mkdir "$work/$home"; done
browser_token "$work/browser" "$PIN" || exit 99
(token_home "$work/nobody") # a browser with no token at all
export SIGNET_TEST_MODULE="$SOFTHSM_MODULE" SIGNET_TEST_PIN_FILE="$work/pin" SIGNET_TEST_TOKEN=client
browser_nss "$work/browser" "$build/tests/token/.libs/token-login.so" && browser_nss "$work/nobody" || exit 99

server=
trap '[ -z "$server" ] || kill $server 2>/dev/null; rm -rf "$work"' EXIT
timeout 900 "$build/mtls-server" --listen 127.0.0.1:0 --key "$server_ec" --cert "$work/server-pki/server-ec-chain.pem" \
    --ca "$work/client-pki/root.pem" >"$work/server.out" 2>&1 &
server=$!
tries=0
while ! grep -q '^ready on' "$work/server.out" && [ $tries -lt 600 ]; do sleep 0.1; tries=$((tries + 1)); done
port=$(sed -n 's/^ready on .*:\([0-9]*\)$/\1/p' "$work/server.out")

# dumps: the page, by a browser that may need another start: on a busy machine its parts lose one another
dumps() {
    for start in 1 2 3; do
        browser_visit "$work/browser" --dump-dom "https://localhost:$port/" >"$work/dump" && grep -q '<html' "$work/dump" &&
            break
        cat "$work/browser/errors"
        rm -rf "$work/browser/profile"
    done
    cat "$work/dump"
    grep -q '<html' "$work/dump"
}
ok "the browser gets the page" dumps
cp "$work/out" "$work/page.html"
says "which names the client, and in its subject the client's token" 'token client'
says "and its name" 'Alice'
says "and who issued its certificate" 'Demo client CA intermediate'
says "the server's subject" 'localhost'
says "the server's token" 'token server'
says "the server's key on it" 'server-ec'
says "the version of TLS" 'TLSv1.3'
says "and it is a page, not text" '<html'

ok "a picture is taken" browser_visit "$work/browser" --window-size=1000,900 --screenshot="$work/page.png" \
    "https://localhost:$port/"
ok "which is a picture" [ "$(head -c 4 "$work/page.png" | tail -c 3)" = PNG ]
ok "of less than 200 kB" [ "$(wc -c <"$work/page.png")" -lt 200000 ]
[ -z "${SIGNET_PAGE:-}" ] || cp "$work/page.png" "$SIGNET_PAGE"

browser_visit "$work/nobody" --dump-dom "https://localhost:$port/" >"$work/out" 2>&1
never_says "a browser without an identity does not get the page" 'token server'
cp "$work/server.out" "$work/out"
says "and the server says why" '^server: refused: .*no certificate'
kill -TERM $server
wait $server
ok "the server ends with status 0 when it is told to" [ $? -eq 0 ]
server=
tap_done

#!/bin/sh
# Each way in which one end refuses the other, in TLS 1.2 and 1.3: who refuses says why, the other is told by an alert,
# nobody takes the connection for a good one, and the server serves the next client.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/scripts/ends.sh"
. "$top/scripts/refusals.sh"
token_home "$work"
conf
ends_tokens "$PIN" && ends_pki "$work" && refusals_pki "$work" || exit 99
server=
trap '[ -z "$server" ] || kill $server 2>/dev/null; rm -rf "$work"' EXIT

# one VERSION TITLE WHO SERVER CLIENT WORD ALERT
one() {
    case $3 in server) other=client ;; *) other=server ;; esac
    ok "TLS $1, $2: both ends come to an end" refusal_meet "$work" "$1" "$4" "$5"
    sed '/\[connection 2\]/d' "$work/server.out" | cat - "$work/client.out" >"$work/out"
    says "TLS $1, $2: the $3 refuses and says why" "^$3: refused: .*$6"
    says "TLS $1, $2: the $other is told \"$7\"" "^$other: the $3 sent the alert \"$7\"\$"
    never_says "TLS $1, $2: nobody calls the connection good" '(9)'
    ok "TLS $1, $2: the exit status tells the client" [ "$client_status" -eq 1 ]
    ok "TLS $1, $2: and who started the server" [ "$server_status" -eq 1 ]
    cp "$work/good.out" "$work/out"
    says "TLS $1, $2: the next client is served" 'the server has read: good morning'
    ok "TLS $1, $2: and its status is good" [ "$good_status" -eq 0 ]
}

refusals >"$work/refusals"
for version in 1.2 1.3; do
    while IFS='|' read -r title who server_side client_side word alert_12 alert_13; do
        case $version in 1.2) alert=$alert_12 ;; *) alert=$alert_13 ;; esac
        one $version "$title" "$who" "$server_side" "$client_side" "$word" "$alert"
    done <"$work/refusals"
done

# A certificate whose key is not the token's.
fingerprint() {
    openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl sha256 -r | cut -d' ' -f1
}
certificates="$(fingerprint "$work/server-pki/server-rsa.pem")"
tokens="$(fingerprint "$work/server-pki/server-ec.pem")"
for program in server client; do
    set -- "$build/mtls-$program" --key "$server_ec" --cert "$work/server-pki/server-rsa-chain.pem" \
        --ca "$work/client-pki/root.pem"
    [ $program = server ] && set -- "$@" --listen 127.0.0.1:0
    [ $program = client ] && set -- "$@" --name localhost --connect 127.0.0.1:1
    not_ok "the $program refuses to start with a certificate of another key" timeout 30 "$@"
    tr -d ':' <"$work/out" | tr A-F a-f >"$work/plain"
    mv "$work/plain" "$work/out"
    says "the $program shows the fingerprint of the certificate's key" "$certificates"
    says "the $program shows the fingerprint of the token's key" "$tokens"
done
tap_done

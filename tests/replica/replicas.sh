#!/bin/sh
# One key on three tokens, of modules of their own: handshakes while tokens go and come (replicas.c), and what the
# configuration has to say for it.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_replicas r1 r2 r3
conf_replicas r1 r2 r3
pki_replicas

uri='pkcs11:object=www;type=private'
ok "the key is one, on three tokens" "$signet" list "$uri"
ok "its key file names no token" grep -q 'object=www' "$work/www.key"
run_tap "" "$build/tests/replica/replicas" "$work" "$uri" "$work/www.key"
tap_done

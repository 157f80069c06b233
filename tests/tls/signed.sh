#!/bin/sh
# What is really signed in a handshake, as docs/mtls.md says it.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
"$build/tests/tls/signed" "$work"

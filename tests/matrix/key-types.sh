#!/bin/bash
# Every type of key on every token that a Debian release has, through the same tasks: what OpenSSL does with a software key
# of the type is done with the token's key, and what it refuses is refused. Part of `make check-matrix`, as some tokens
# need root and a daemon. Each pair of type and token is a line "# cell", of which docs/key-types.md's table is made. What
# no packaged token has is tried on the tests' own, soft-token.
. "$(dirname "$0")/opencryptoki.sh"
ock_enter "$0" "$@"
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/run.sh"
. "$top/scripts/packages.sh"
cd "$work" || exit 99
echo "the message" >message
echo "another" >other
# Modules that use libcrypto look for its providers there, too.
mkdir modules && ln -s "$(OPENSSL_CONF=/dev/null openssl version -m | sed 's/.*"\(.*\)".*/\1/')"/*.so "$build/.libs/signet.so" modules/ || exit 99
export OPENSSL_MODULES="$work/modules"
release=$(openssl version | cut -d' ' -f2)

# --- tokens -----------------------------------------------------------------------------------------------------------

# use_token NAME LABEL MODULE [INIT-ARGS]: the following rows are about it
use_token() {
    token_name=$1
    token_label=$2
    SOFTHSM_MODULE=$3
    SIGNET_TEST_INIT_ARGS=${4:-}
    if [ -n "$SIGNET_TEST_INIT_ARGS" ]; then
        export SIGNET_TEST_INIT_ARGS
        conf "default signet" "pkcs11-init-args = $SIGNET_TEST_INIT_ARGS"
    else
        unset SIGNET_TEST_INIT_ARGS
        conf
    fi
    cp "$OPENSSL_CONF" "$work/$token_name.cnf"
    echo "$token_label" >"$work/$token_name.label"
    id=10
}

softhsm() {
    x=xed
    token_home "$work"
    token_make test "$PIN" || return 1
    use_token SoftHSM test "$SOFTHSM_MODULE"
}

nss() {
    x=x
    mkdir "$work/nss" && cp "$work/pin" "$work/nss.pw" &&
        LD_PRELOAD= env -u OPENSSL_CONF certutil -N -d "sql:$work/nss" -f "$work/nss.pw" || return 1
    use_token NSS "NSS Certificate DB" "$(ls /usr/lib/*/libsoftokn3.so | head -n 1)" \
        "configDir='sql:$work/nss' certPrefix='' keyPrefix='' secmod='secmod.db' flags="
}

opencryptoki() {
    x=x
    [ -n "$OCK_MODULE" ] && env -u OPENSSL_CONF sh -c '. "$1" && work=$2 && ock_start' sh "$top/tests/matrix/opencryptoki.sh" "$work" &&
        use_token openCryptoki ocksoft "$OCK_MODULE"
}

# The tests' own token (tests/token/soft-token.c), whose keys are files.
soft() {
    mkdir "$work/keys" && export SIGNET_TEST_KEYS="$work/keys" &&
        use_token soft-token soft "$build/tests/token/.libs/soft-token.so"
}

# make_key TYPE "GENPKEY OPTIONS" TOKEN-TYPE [MECHANISM...]
make_key() {
    if [ "$token_name" = soft-token ]; then
        OPENSSL_CONF=/dev/null openssl genpkey $2 -out "keys/$1.pem"
    else
        made=$1
        shift 2
        env -u OPENSSL_CONF "$build/tests/token/make-key" "$SOFTHSM_MODULE" "$token_label" "$PIN" "$made" $id "$@"
    fi
}

# --- tasks: each with $key and $cert (a name: $cert.crt), for a software key and for the token's ----------------------

sign() {
    openssl pkeyutl -sign -rawin $digest -inkey "$key" -in message -out sig &&
        openssl pkeyutl -verify -rawin $digest -pubin -inkey $pub -in message -sigfile sig &&
        ! openssl pkeyutl -verify -rawin $digest -pubin -inkey $pub -in other -sigfile sig
}
request() {
    openssl req -new -key "$key" -subj "/CN=$type" -out csr && openssl req -in csr -noout -verify
}
certify() {
    openssl req -new -x509 -key "$key" -subj "/O=$cert/CN=localhost" -addext subjectAltName=DNS:localhost -days 30 -out $cert.crt &&
        openssl verify -check_ss_sig -CAfile $cert.crt $cert.crt && cp $cert.crt $cert-chain.pem
}
# Of a key that can't sign for itself (X25519): by an authority.
certified() {
    [ -s ca.crt ] || openssl req -new -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=CA -days 30 -out ca.crt || return 1
    openssl x509 -new -force_pubkey $pub -subj "/O=$cert/CN=localhost" -CA ca.crt -CAkey ca.key -set_serial $id -days 30 -out $cert.crt
}
cms() {
    openssl cms -sign -binary -nodetach -md sha512 -in message -signer $cert.crt -inkey "$key" -outform DER -out cms.der &&
        openssl cms -verify -binary -inform DER -in cms.der -CAfile $cert.crt -out cms.out && cmp cms.out message
}
# The secret is the one that the other side, a software key, gets.
agree() {
    openssl pkeyutl -derive -inkey "$key" -peerkey peer.pub -out secret &&
        openssl pkeyutl -derive -inkey peer.key -peerkey $pub -out theirs && test -s secret && cmp secret theirs
}
open_cms() {
    agree && openssl cms -encrypt -binary -aes-256-cbc -in message -outform DER -out cms.der $cert.crt &&
        openssl cms -decrypt -binary -inform DER -in cms.der -recip $cert.crt -inkey "$key" -out cms.out && cmp cms.out message
}
tls12() {
    cp $cert.crt root.pem && mutual "" "$key" $cert "$key" $cert 1.2
}
tls13() {
    cp $cert.crt root.pem && mutual "" "$key" $cert "$key" $cert 1.3
}

# task NAME SENTENCE: as with the software key; a word for the cell where it is more than the least
task() {
    key=soft.key
    cert=soft
    pub=soft.pub
    [ -e "done-$type-$1" ] || { $1 >soft.out 2>&1; echo $? >"done-$type-$1"; }
    key=$uri
    cert=$token_name-$type
    pub=$type.pub
    if [ "$(cat "done-$type-$1")" -eq 0 ]; then
        ok "$token_name, $type: $2" $1
        [ "$tap_last" -ne 0 ] || cell="$cell${3:+ $3}"
    else
        not_ok "$token_name, $type: $2: refused, as with a software key" $1
    fi
}

# --- rows -------------------------------------------------------------------------------------------------------------

cell() {
    echo "# cell $release|$token_name|$type|$1"
}

# software TYPE OPTIONS: whether OpenSSL has such keys: soft.key and its certificate, and peer.key
software() {
    key=soft.key
    cert=soft
    for end in soft peer; do
        OPENSSL_CONF=/dev/null openssl genpkey $2 -out $end.key >/dev/null 2>&1 &&
            openssl pkey -in $end.key -pubout -out $end.pub || return 1
    done
    pub=soft.pub
    certify >/dev/null 2>&1 || certified >/dev/null 2>&1
}

# row TYPE "GENPKEY OPTIONS" "DIGEST" TOKEN-TYPE [MECHANISM...]
row() {
    type=$1
    options=$2
    digest=${3:+-digest $3}
    shift 3
    id=$((id + 1))
    cell=
    uri="pkcs11:token=$(echo "$token_label" | sed 's/ /%20/g');object=$type;type=private"
    [ "$token_name" != soft-token ] || ! [ -e "served-$type" ] || return 0
    if ! make_key $type "$options" "$@" 2>make.err; then
        not_ok "$token_name, $type: the token makes no such keys ($(cat make.err))" openssl pkey -in "$uri" -noout
        cell "no"
        return
    fi
    if ! software $type "$options"; then
        not_ok "$token_name, $type: OpenSSL has no such keys" openssl pkey -in "$uri" -noout
        cell "no"
        return
    fi
    ok "$token_name, $type: the public half" openssl pkey -in "$uri" -pubout -out $type.pub
    ok "$token_name, $type: the text shows where the key is" openssl pkey -in "$uri" -noout -text
    says "$token_name, $type: on a token" 'on a PKCS#11 token'
    task sign "a message is signed"
    task request "a request"
    task certify "a certificate"
    [ -s $cert.crt ] || certified >/dev/null 2>&1
    task cms "cms signs" CMS
    task agree "a secret is agreed on" ECDH
    task open_cms "a cms for the certificate is opened by one"
    task tls12 "a mutual handshake of TLS 1.2" 1.2
    task tls13 "a mutual handshake of TLS 1.3" 1.3
    ok "$token_name, $type: the key file is written" openssl pkey -in "$uri" -out $type.key
    uri=$type.key
    task sign "the key file signs"
    task agree "the key file agrees on a secret"
    ok "$token_name, $type: the certificate's key is the token's" same_key
    cell "${cell:- signs}"
    : >"served-$type"
}

# Whether the certificate's key is the token's, as a server asks before it takes both.
same_key() {
    openssl x509 -in $token_name-$type.crt -noout -pubkey >from-crt.pub && openssl pkey -in $type.key -pubout -out from-key.pub &&
        cmp from-crt.pub from-key.pub
}

rows() {
    row RSA "-algorithm RSA -pkeyopt rsa_keygen_bits:2048" sha256 rsa
    row RSA-PSS "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048" sha256 $RSA_PSS
    row P-224 "-algorithm EC -pkeyopt ec_paramgen_curve:P-224" sha256 dh:06052b81040021
    row P-256 "-algorithm EC -pkeyopt ec_paramgen_curve:P-256" sha256 dh:06082a8648ce3d030107
    row P-384 "-algorithm EC -pkeyopt ec_paramgen_curve:P-384" sha384 dh:06052b81040022
    row P-521 "-algorithm EC -pkeyopt ec_paramgen_curve:P-521" sha512 dh:06052b81040023
    row secp256k1 "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1" sha256 dh:06052b8104000a
    row brainpoolP256r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1" sha256 dh:06092b2403030208010107
    row brainpoolP384r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP384r1" sha384 dh:06092b240303020801010b
    row brainpoolP512r1 "-algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP512r1" sha512 dh:06092b240303020801010d
    row Ed25519 "-algorithm ED25519" "" $ED25519
    row Ed448 "-algorithm ED448" "" $ED448
    row X25519 "-algorithm X25519" "" $x:06032b656e
    row X448 "-algorithm X448" "" $x:06032b656f
    row ML-DSA-44 "-algorithm ML-DSA-44" "" mldsa:44
    row ML-DSA-65 "-algorithm ML-DSA-65" "" mldsa:65
    row ML-DSA-87 "-algorithm ML-DSA-87" "" mldsa:87
    row SLH-DSA-SHA2-128s "-algorithm SLH-DSA-SHA2-128s" "" slhdsa:sha2-128s
    row SLH-DSA-SHA2-128f "-algorithm SLH-DSA-SHA2-128f" "" slhdsa:sha2-128f
    row SLH-DSA-SHAKE-256f "-algorithm SLH-DSA-SHAKE-256f" "" slhdsa:shake-256f
}

# between SERVER-TOKEN CLIENT-TOKEN TYPE VERSION: each end has a token of its own, with its own configuration
between() {
    type=$3
    [ -s "$1-$type.crt" ] && [ -s "$2-$type.crt" ] || { tap_line 1 "$1 and $2, $type: both have a certificate"; return; }
    cat >by-program <<END
#!/bin/sh
case \$1 in *mtls-server) OPENSSL_CONF=$work/$1.cnf ;; *) OPENSSL_CONF=$work/$2.cnf ;; esac
export OPENSSL_CONF
exec "\$@"
END
    chmod +x by-program
    cat "$1-$type.crt" "$2-$type.crt" >root.pem
    ok "server's key in $1, client's in $2, $type: a mutual handshake of TLS $4" mutual ./by-program \
        "pkcs11:token=$(sed 's/ /%20/g' "$1.label");object=$type;type=private" "$1-$type" \
        "pkcs11:token=$(sed 's/ /%20/g' "$2.label");object=$type;type=private" "$2-$type" "$4"
    says "and the server's was signed on its token" "token *$(cat "$1.label")"
    says "and the client's on its own" "token *$(cat "$2.label")"
}

for token in softhsm nss; do
    $token >out 2>&1 || { tap_line 1 "$token: a token is made"; continue; }
    rows
done
if [ "$(codename)" != bookworm ]; then
    if opencryptoki >out 2>&1; then rows; else tap_line 1 "openCryptoki: a token is made"; fi
    between NSS openCryptoki P-256 1.2
fi
if soft >out 2>&1; then rows; else tap_line 1 "soft-token: a token is made"; fi
# ML-DSA where both have it: openCryptoki from 3.26 on, NSS from 3.131 on, OpenSSL from 3.5 on
if [ -s NSS-ML-DSA-65.crt ] && [ -s openCryptoki-ML-DSA-65.crt ]; then
    between NSS openCryptoki ML-DSA-65 1.3
    between openCryptoki NSS ML-DSA-65 1.3
    between openCryptoki openCryptoki ML-DSA-65 1.3
    between NSS NSS ML-DSA-65 1.3
fi
tap_done

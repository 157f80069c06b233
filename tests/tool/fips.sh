#!/bin/sh
# Applications that want nothing but validated algorithms (default_properties = fips=yes): ours are theirs with fips = yes
# alone, and what we do beside the token is done by their FIPS provider. Debian has that one from release 13 on.
#
# The token is one with a library context of its own (tests/token/soft-token.c). SoftHSM uses the process's default one,
# or reads the same configuration with a libcrypto of another version, and may find no algorithm there to open its files.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/run.sh"
SOFTHSM_MODULE=$build/tests/token/.libs/soft-token.so
SIGNET_TEST_KEYS=$work/keys
SIGNET_TEST_CALLED=$work/called
export SIGNET_TEST_KEYS SIGNET_TEST_CALLED
mkdir "$work/keys"
cd "$work" || exit 99
echo "the message" >message
fips_module=$(ls "$(OPENSSL_CONF=/dev/null openssl version -m | sed 's/.*"\(.*\)"/\1/')/fips.so" 2>/dev/null)

soft_key() { # TYPE OPTION...
    soft_type=$1
    shift
    OPENSSL_CONF=/dev/null openssl genpkey "$@" -out "keys/$soft_type.pem" 2>/dev/null
}
soft_uri() {
    echo "pkcs11:token=soft;object=$1;type=private"
}
soft_key ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256 || exit 99
soft_key rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048 || exit 99
soft_key x -algorithm X25519 || exit 99

# Algorithms by property, with whatever provider there is.
for fips in no yes; do
    conf "default signet" "fips = $fips"
    asked=not_ok
    [ $fips = no ] || asked=ok
    for type in ec rsa; do
        ok "fips = $fips: without a query, $type is loaded" openssl pkey -in "$(soft_uri $type)" -noout
        $asked "fips = $fips: whether it is with the query fips=yes" openssl pkey -in "$(soft_uri $type)" -noout -propquery fips=yes
    done
    ok "fips = $fips: without a query, X25519 is loaded" openssl pkey -in "$(soft_uri x)" -noout
    not_ok "fips = $fips: but never with it, as FIPS 140 has no such keys" openssl pkey -in "$(soft_uri x)" -noout -propquery fips=yes
done
conf "default signet" "fips = yes" "default_properties = fips=yes"
not_ok "no software of that kind: the key is not loaded" openssl pkey -in "$(soft_uri ec)" -noout
says "for a reason that names it" 'no other provider serves RSA and EC'

# fips_conf [SETTING]: a parent that has the FIPS provider and, with a setting, us; nothing else
fips_conf() {
    conf "fips base${1:+ signet}" "$@" "default_properties = fips=yes"
}

# by_token LETTERS TIMES COMMAND...: whether it is good and the token was called as often, or once more for each time that the
# key was loaded where a signature tells whose it is (soft-token.c has the letters)
by_token() {
    letters=$1
    times=$2
    shift 2
    : >called
    "$@" && calls=$(tr -cd "$letters" <called | wc -c) && echo "# the token was called $calls times" && [ "$calls" -ge "$times" ]
}

# The tasks, each with a key that is a file or on the token.
signs() { # KEY [OPTION...]
    key=$1
    shift
    openssl pkey -in "$key" -pubout -out pub && openssl pkeyutl -sign -rawin "$@" -inkey "$key" -in message -out sig &&
        openssl pkeyutl -verify -rawin "$@" -pubin -inkey pub -in message -sigfile sig
}
decrypts() { # KEY MODE
    openssl pkey -in "$1" -pubout -out pub &&
        openssl pkeyutl -encrypt -pubin -inkey pub -in message -out secret -pkeyopt rsa_padding_mode:$2 &&
        openssl pkeyutl -decrypt -inkey "$1" -in secret -out plain -pkeyopt rsa_padding_mode:$2 && cmp plain message
}
decrypts_foreign() { # KEY MODE: what was encrypted by somebody without the FIPS provider
    OPENSSL_CONF=/dev/null openssl pkeyutl -encrypt -inkey keys/$type.pem -in message -out secret -pkeyopt rsa_padding_mode:$2 &&
        openssl pkeyutl -decrypt -inkey "$1" -in secret -out plain -pkeyopt rsa_padding_mode:$2 && cmp plain message
}
signs_ready() { # KEY DIGEST
    OPENSSL_CONF=/dev/null openssl dgst -$2 -binary message >digest && openssl pkeyutl -sign -inkey "$1" -in digest -pkeyopt digest:$2 -out sig
}
derives() { # KEY, of EC
    openssl pkey -in "$1" -pubout -out pub && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out peer.key &&
        openssl pkey -in peer.key -pubout -out peer.pub && openssl pkeyutl -derive -inkey "$1" -peerkey peer.pub -out one &&
        openssl pkeyutl -derive -inkey peer.key -peerkey pub -out two && cmp one two
}
certifies() { # KEY
    openssl req -new -x509 -key "$1" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 -out one.crt &&
        cp one.crt one-chain.pem && cp one.crt root.pem
}
handshake() { # KEY VERSION
    mutual "" "$1" one "$1" one $2
}

# as_alone SENTENCE LETTERS TIMES TASK ARGUMENT...: what the FIPS provider does with the key in a file, we do with the
# token's, by the token, and what it refuses we refuse. The task's first argument is the key. What it must do in every
# version is demanded in any case: $firm is yes.
as_alone() {
    sentence=$1
    calls="$2 $3"
    task=$4
    shift 4
    fips_conf
    if $task "keys/$type.pem" "$@" >alone.out 2>&1 || [ $firm = yes ]; then
        fips_conf "fips = yes"
        ok "$type: $sentence" by_token $calls $task "$(soft_uri $type)" "$@"
    else
        fips_conf "fips = yes"
        not_ok "$type: $sentence: refused, as by the FIPS provider" $task "$(soft_uri $type)" "$@"
        return 1
    fi
}

# row TYPE OPTION...: one type of key
row() {
    type=$1
    soft_key "$@" || { echo "# OpenSSL has no $type keys"; return; }
    if as_alone "a message is signed" Ss 1 signs; then
        as_alone "a certificate" Ss 1 certifies
        as_alone "a mutual handshake of TLS 1.2" Ss 2 handshake 1.2
        as_alone "a mutual handshake of TLS 1.3" Ss 2 handshake 1.3
        ok "$type: the key file is written" openssl pkey -in "$(soft_uri $type)" -out $type.key
        ok "$type: and signs" by_token Ss 1 signs $type.key
    else
        says "$type: for a reason that names the FIPS provider" "FIPS provider knows fewer"
    fi
}

if [ -n "$fips_module" ]; then
    ok "the FIPS provider tests itself" env OPENSSL_CONF=/dev/null openssl fipsinstall -module "$fips_module" -out fipsmodule.cnf
    FIPS_SETTINGS="module = $fips_module
.include $work/fipsmodule.cnf"
    fips_conf "fips = no"
    not_ok "a FIPS-only parent without our fips = yes: no key is loaded" openssl pkey -in "$(soft_uri ec)" -noout
    firm=yes
    row ec -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    row rsa -algorithm RSA -pkeyopt rsa_keygen_bits:2048
    row rsa-pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
    for curve in P-384 P-521; do
        row $curve -algorithm EC -pkeyopt ec_paramgen_curve:$curve
    done
    type=ec
    as_alone "agrees on a secret" D 1 derives
    type=rsa
    as_alone "signs with SHA-384" Ss 1 signs -digest sha384
    as_alone "signs with PSS" Ss 1 signs -digest sha256 -pkeyopt rsa_padding_mode:pss
    as_alone "decrypts by OAEP" P 1 decrypts oaep
    firm=no
    as_alone "decrypts by PKCS#1, with a call more for what bad padding would give" P 2 decrypts pkcs1
    as_alone "signs with MD5" Ss 1 signs -digest md5
    says "for a reason that names it" 'Algorithm (md5'
    as_alone "signs by SM3" Ss 1 signs -digest sm3
    type=short
    if soft_key short -algorithm RSA -pkeyopt rsa_keygen_bits:1024; then
        as_alone "of 1024 bits: signs" Ss 1 signs
        as_alone "of 1024 bits: signs a ready digest" Ss 1 signs_ready sha256
        as_alone "of 1024 bits: decrypts by OAEP" P 1 decrypts_foreign oaep
        as_alone "of 1024 bits: decrypts by PKCS#1" P 2 decrypts_foreign pkcs1
    fi
    type=p192
    if soft_key p192 -algorithm EC -pkeyopt ec_paramgen_curve:P-192; then
        as_alone "on P-192: signs" Ss 1 signs
    fi
    row X25519 -algorithm X25519
    row X448 -algorithm X448
    for curve in secp256k1 brainpoolP256r1; do
        row $curve -algorithm EC -pkeyopt ec_paramgen_curve:$curve
    done
    for type in ED25519 ED448 ML-DSA-44 ML-DSA-65 ML-DSA-87 SLH-DSA-SHA2-128f; do
        row $type -algorithm $type
    done
    ok "software keys are the FIPS provider's" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key
    ok "and sign" openssl dgst -sha256 -sign soft.key -out sig message
    not_ok "curves that it has not are not to be had through us" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -out soft.key
    fips_conf "fips = yes"
    can=0
    for file in keys/*.pem; do
        ! openssl pkey -in "$(soft_uri "$(basename $file .pem)")" -noout 2>/dev/null || can=$((can + 1))
    done
    openssl storeutl -noout "pkcs11:token=soft;type=private" >list 2>&1
    ok "a listing has the $can keys that the FIPS provider knows, and goes on behind others" grep -x "Total found: $can" list
    ok "which there are" test "$can" -lt "$(ls keys/*.pem | wc -l)"
else
    echo "# this release has no FIPS provider"
fi
tap_done

#!/bin/sh
# Applications that want nothing but validated algorithms (default_properties = fips=yes): ours are theirs with fips = yes
# alone, and what we do beside the token is done by their FIPS provider. Debian has that one from release 13 on.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/tls/run.sh"
setup_token
cd "$work" || exit 99
echo "the message" >message
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"
fips_module=$(ls "$(openssl version -m | sed 's/.*"\(.*\)"/\1/')/fips.so" 2>/dev/null)

# Algorithms by property, with whatever provider there is.
for fips in no yes; do
    conf "default signet" "fips = $fips"
    asked=not_ok
    [ $fips = no ] || asked=ok
    for key in "$ec" "$rsa"; do
        ok "fips = $fips: without a query, ${key##*object=} is loaded" openssl pkey -in "$key" -noout
        $asked "fips = $fips: whether it is with the query fips=yes" openssl pkey -in "$key" -noout -propquery fips=yes
    done
done
conf "default signet" "fips = yes" "default_properties = fips=yes"
not_ok "no software of that kind: the key is not loaded" openssl pkey -in "$ec" -noout
says "for a reason that names it" 'no other provider serves RSA and EC'

# fips_conf SETTING...: a parent that has the FIPS provider, and nothing else but us
fips_conf() {
    conf "fips base signet" "$@" "default_properties = fips=yes"
    sed -i -e '/^\[fips_sect\]/,/^\[base_sect\]/{/^\[/!d}' -e '/^\[base_sect\]/,/^\[signet_sect\]/{/^\[/!d}' openssl.cnf
    sed -i -e 's/^\[base_sect\]/[base_sect]\nactivate = 1/' \
        -e "s|^\[fips_sect\]|[fips_sect]\nmodule = $fips_module\nactivate = 1\n$(sed -n '/=/p' fipsmodule.cnf | grep -v '^activate' | tr '\n' '|' | sed 's/|/\\n/g')|" openssl.cnf
}
signs() { # KEY [OPTION...]
    key=$1
    shift
    openssl pkey -in "$key" -pubout -out pub && openssl dgst -sha256 "$@" -sign "$key" -out sig message &&
        openssl dgst -sha256 "$@" -verify pub -signature sig message
}
decrypts() { # MODE
    openssl pkeyutl -encrypt -pubin -inkey pub -in message -out secret -pkeyopt rsa_padding_mode:$1 &&
        openssl pkeyutl -decrypt -inkey "$rsa" -in secret -out plain -pkeyopt rsa_padding_mode:$1 && cmp plain message
}
handshake() { # KEY
    openssl req -new -x509 -key "$1" -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 30 -out one.crt &&
        cp one.crt one-chain.pem && cp one.crt root.pem && mutual "" "$1" one "$1" one $2
}
if [ -n "$fips_module" ]; then
    ok "the FIPS provider tests itself" env OPENSSL_CONF=/dev/null openssl fipsinstall -module "$fips_module" -out fipsmodule.cnf
    fips_conf "fips = no"
    not_ok "a FIPS-only parent without our fips = yes: no key is loaded" openssl pkey -in "$ec" -noout
    fips_conf "fips = yes"
    ok "with it, EC signs" signs "$ec"
    ok "RSA signs with PSS" signs "$rsa" -sigopt rsa_padding_mode:pss
    ok "RSA signs" signs "$rsa"
    ok "RSA decrypts by OAEP" decrypts oaep
    not_ok "a digest that the FIPS provider has not is none for us either" openssl pkeyutl -sign -rawin -digest md5 -inkey "$rsa" -in message -out sig
    for version in 1.2 1.3; do
        ok "EC: a mutual handshake, TLS $version" handshake "$ec" $version
        ok "RSA: likewise" handshake "$rsa" $version
    done
    ok "software keys are the FIPS provider's" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out soft.key
    ok "and sign" openssl dgst -sha256 -sign soft.key -out sig message
    not_ok "curves that it has not are not to be had through us" openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -out soft.key
else
    echo "# this release has no FIPS provider"
fi
tap_done

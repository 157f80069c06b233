# Throw-away SoftHSM tokens and configurations; sourced by the demonstration and the tests.

SOFTHSM_MODULE=${SOFTHSM_MODULE:-/usr/lib/softhsm/libsofthsm2.so}

# token_home FOLDER: SoftHSM keeps its tokens there from now on
token_home() {
    mkdir -p "$1/tokens"
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$1" >"$1/softhsm2.conf"
    export SOFTHSM2_CONF="$1/softhsm2.conf"
}

# token_make LABEL PIN
token_make() {
    softhsm2-util --init-token --free --label "$1" --pin "$2" --so-pin 12345678 >/dev/null
}

# token_move LABEL FOLDER: the token leaves this home for that of FOLDER, whose configuration is FOLDER/softhsm2.conf
token_move() {
    token_homes=$SOFTHSM2_CONF
    (token_home "$2") || return 1
    for token_object in "${token_homes%/*}"/tokens/*/token.object; do
        # A token's label is padded with blanks to 32 bytes.
        if grep -q -F "$(printf '%-32s' "$1")" "$token_object"; then
            mv "${token_object%/*}" "$2/tokens/"
            return
        fi
    done
    return 1
}

# token_tool LABEL PIN ARGUMENT...: pkcs11-tool, logged in, without any provider of ours beneath it
token_tool() {
    token_label=$1
    token_pin=$2
    shift 2
    env -u OPENSSL_CONF LD_PRELOAD= pkcs11-tool --module "$SOFTHSM_MODULE" --token-label "$token_label" --login \
        --pin "$token_pin" "$@"
}

# token_key LABEL PIN TYPE NAME ID: generates a key pair inside the token, sensitive and not extractable
token_key() {
    token_tool "$1" "$2" --keypairgen --key-type "$3" --label "$4" --id "$5" --sensitive >/dev/null 2>&1
}

# conf_write FILE ORDER [SETTING...]: a configuration. ORDER lists the providers to activate ("default signet"): OpenSSL's
# default, base and fips, which has the lines of $FIPS_SETTINGS; another project's pkcs11, which has those of
# $PEER_SETTINGS; signet; and any other name is another instance of signet. A SETTING, "name = value", goes to every
# instance of ours; that of default_properties to the library context.
conf_write() {
    conf_file=$1
    conf_order=$2
    shift 2
    {
        echo 'openssl_conf = init_sect'
        # `openssl x509` of 4.0 takes the file's first lines for extensions unless a section is named
        echo 'extensions = x509_sect'
        echo '[x509_sect]'
        echo '[init_sect]'
        echo 'providers = provider_sect'
        for setting in "$@"; do
            case $setting in default_properties*) echo 'alg_section = evp_sect' ;; esac
        done
        echo '[provider_sect]'
        for name in $conf_order; do
            echo "$name = ${name}_sect"
        done
        for name in $conf_order; do
            echo "[${name}_sect]"
            echo 'activate = 1'
            case $name in
            default | base) continue ;;
            fips) printf '%s\n' "${FIPS_SETTINGS:-}"; continue ;;
            pkcs11) printf '%s\n' "${PEER_SETTINGS:-}"; continue ;;
            signet) ;;
            *) echo "module = ${SIGNET_PROVIDER:-signet}" ;;
            esac
            for setting in "$@"; do
                case $setting in
                default_properties*) ;;
                *) echo "$setting" ;;
                esac
            done
        done
        for setting in "$@"; do
            case $setting in default_properties*) printf '[evp_sect]\n%s\n' "$setting" ;; esac
        done
    } >"$conf_file"
}

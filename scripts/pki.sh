# A small PKI for demonstrations and tests; sourced. Root and intermediate are software keys, the leaf's request is
# signed by whatever key is named: a file, or a URI of a key on a token. Needs openssl with its configuration set.

# pki_ca FOLDER NAME: FOLDER/root.pem and FOLDER/intermediate.pem with their keys
pki_ca() {
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/root.key" -out "$1/root.pem" \
        -subj "/O=$2/CN=$2 root" -days 3650 -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null &&
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/intermediate.key" \
        -out "$1/intermediate.csr" -subj "/O=$2/CN=$2 intermediate" 2>/dev/null &&
    printf '%s\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign \
        subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >"$1/intermediate.ext" &&
    openssl x509 -req -in "$1/intermediate.csr" -CA "$1/root.pem" -CAkey "$1/root.key" -CAcreateserial -days 1825 \
        -extfile "$1/intermediate.ext" -out "$1/intermediate.pem" 2>/dev/null
}

# pki_leaf FOLDER KEY NAME SUBJECT USAGE [SAN]: FOLDER/NAME.pem, and FOLDER/NAME-chain.pem with the intermediate behind
# it. USAGE is serverAuth or clientAuth.
pki_leaf() {
    openssl req -new -key "$2" -subj "$4" -out "$1/$3.csr" || return 1
    {
        echo basicConstraints=critical,CA:FALSE
        echo keyUsage=critical,digitalSignature,keyEncipherment
        echo "extendedKeyUsage=$5"
        [ -z "${6:-}" ] || echo "subjectAltName=$6"
    } >"$1/$3.ext"
    openssl x509 -req -in "$1/$3.csr" -CA "$1/intermediate.pem" -CAkey "$1/intermediate.key" -CAcreateserial -days 365 \
        -extfile "$1/$3.ext" -out "$1/$3.pem" 2>/dev/null || return 1
    cat "$1/$3.pem" "$1/intermediate.pem" >"$1/$3-chain.pem"
}

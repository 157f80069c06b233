# A small PKI for demonstrations and tests; sourced. Root and intermediate are software keys, the leaf's request is
# signed by whatever key is named: a file, or a URI of a key on a token; one key may have any number of certificates.
# Needs openssl with its configuration set.

# pki_ca FOLDER NAME: FOLDER/root.pem and FOLDER/intermediate.pem with their keys, and a register of what they issue
pki_ca() {
    mkdir -p "$1/issued"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/root.key" -out "$1/root.pem" \
        -subj "/O=$2/CN=$2 root" -days 3650 -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null &&
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/intermediate.key" \
        -out "$1/intermediate.csr" -subj "/O=$2/CN=$2 intermediate" 2>/dev/null &&
    printf '%s\n' basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign \
        subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >"$1/intermediate.ext" &&
    pki_register "$1" &&
    pki_issue "$1" root intermediate 1825
}

# pki_register FOLDER: what `openssl ca` keeps its books with, for the root and for the intermediate
pki_register() {
    for issuer in root intermediate; do
        : >"$1/$issuer.index"
        echo 'unique_subject = no' >"$1/$issuer.index.attr"
        echo 01 >"$1/$issuer.crlnumber"
        cat <<TEXT
[$issuer]
database = $1/$issuer.index
crlnumber = $1/$issuer.crlnumber
certificate = $1/$issuer.pem
private_key = $1/$issuer.key
new_certs_dir = $1/issued
rand_serial = yes
default_md = sha256
default_crl_days = 30
preserve = yes
policy = policy_any

TEXT
    done >"$1/ca.cnf"
    printf '%s = optional\n' countryName organizationName organizationalUnitName commonName |
        { echo '[policy_any]' && cat; } >>"$1/ca.cnf"
}

# pki_issue FOLDER ISSUER NAME DAYS, or FOLDER ISSUER NAME START END: FOLDER/NAME.pem from NAME.csr and NAME.ext
pki_issue() {
    pki_folder=$1
    pki_issuer=$2
    pki_name=$3
    shift 3
    if [ $# -eq 1 ]; then set -- -days "$1"; else set -- -startdate "$1" -enddate "$2"; fi
    rm -f "$pki_folder/$pki_name.pem" # the command's status is good even where it has refused a request
    openssl ca -batch -notext -config "$pki_folder/ca.cnf" -name "$pki_issuer" -in "$pki_folder/$pki_name.csr" \
        -extfile "$pki_folder/$pki_name.ext" -out "$pki_folder/$pki_name.pem" "$@" 2>"$pki_folder/ca.err" &&
        [ -s "$pki_folder/$pki_name.pem" ] || { cat "$pki_folder/ca.err" >&2; return 1; }
}

# pki_leaf FOLDER KEY NAME SUBJECT USAGE [SAN [START END]]: FOLDER/NAME.pem, and FOLDER/NAME-chain.pem with the
# intermediate behind it. USAGE is serverAuth or clientAuth. START and END are pki_date's; without them, it is valid for
# a year from now.
pki_leaf() {
    openssl req -new -key "$2" -subj "$4" -out "$1/$3.csr" || return 1
    {
        echo basicConstraints=critical,CA:FALSE
        echo keyUsage=critical,digitalSignature,keyEncipherment
        echo "extendedKeyUsage=$5"
        [ -z "${6:-}" ] || echo "subjectAltName=$6"
    } >"$1/$3.ext"
    if [ -n "${7:-}" ]; then
        pki_issue "$1" intermediate "$3" "$7" "$8" || return 1
    else
        pki_issue "$1" intermediate "$3" 365 || return 1
    fi
    cat "$1/$3.pem" "$1/intermediate.pem" >"$1/$3-chain.pem"
}

# pki_date WHEN: "yesterday", "+2 days" and the like, as `openssl ca` wants it
pki_date() {
    date -u -d "$1" +%Y%m%d%H%M%SZ
}

# pki_revoke FOLDER NAME: enters it in the register; the next pki_crl has it
pki_revoke() {
    openssl ca -config "$1/ca.cnf" -name intermediate -revoke "$1/$2.pem" 2>/dev/null
}

# pki_crl FOLDER: FOLDER/crl.pem, the lists of both issuers
pki_crl() {
    for issuer in intermediate root; do
        openssl ca -config "$1/ca.cnf" -name $issuer -gencrl 2>/dev/null || return 1
    done >"$1/crl.pem"
}

# What is proved of each token with each type of key, and how it becomes a row of the table; sourced by run.sh.
#
# A token's file says what varies. It sets $title, $types (of type_row, below), $module and $token (its label), and may set
# $releases (without it, all; what is said of the others is $absent), $apart (yes: one process at a time may use it). Its functions:
#
#     token_start             the daemon and an empty token with the PIN $PIN; its files are in $home
#     token_settings          lines for openssl.cnf
#     make_key                of the type $type, with the label $type and the id $id
#     token_lose              the daemon dies, or the card is pulled (without it, there is nothing to lose)
#     token_back              it returns; what the key answers in between is the pattern $lost (an error)
#     token_uri               the key's (without it, by the token's label and the key's)
#     token_fresh             what must be done before each program that uses it (without it, nothing)
#     token_stop              ends what was started
#
# and what it can't do: cannot COLUMN TYPES PATTERN REASON, with the error that shows it and why, for the table. Columns are
# key, sign, tls, fork, lost.

# type_row TYPE: sets $id, $tool (the name that pkcs11-tool has for it), $made (that of make-key) and $versions of TLS
type_row() {
    versions="1.3 1.2"
    case $1 in
    rsa2048) id=01 tool=rsa:2048 made=rsa spelt=RSA-2048 ;;
    p256) id=02 tool=EC:prime256v1 made=06082a8648ce3d030107 spelt=P-256 ;;
    p384) id=03 tool=EC:secp384r1 made=06052b81040022 spelt=P-384 ;;
    ed25519) id=04 tool=EC:edwards25519 made=$ED25519 spelt=Ed25519 ;;
    mldsa44) id=44 tool= made=mldsa:44 versions=1.3 spelt=ML-DSA-44 ;;
    mldsa65) id=65 tool= made=mldsa:65 versions=1.3 spelt=ML-DSA-65 ;;
    mldsa87) id=87 tool= made=mldsa:87 versions=1.3 spelt=ML-DSA-87 ;;
    *) echo "no such type of key: $1" >&2 && exit 99 ;;
    esac
}

token_fresh() { :; }

# setup_partner: a CA, and the other end for a token that only one process may use
setup_partner() {
    pki_ca "$work" "Test CA" && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/partner.key" &&
        pki_leaf "$work" "$work/partner.key" partner /CN=localhost serverAuth,clientAuth DNS:localhost || exit 99
    echo "the message" >"$work/message"
}

# --- for the tokens' files -----------------------------------------------------------------------------------------------

# outside COMMAND...: a program that has nothing to do with our provider
outside() {
    env -u OPENSSL_MODULES OPENSSL_CONF=/dev/null LD_PRELOAD= "$@"
}

# key_by_tool [ARGUMENT...]: pkcs11-tool makes the key
key_by_tool() {
    outside pkcs11-tool --module "$module" --token-label "$token" --login --pin "$PIN" \
        --keypairgen --key-type "$tool" --label "$type" --id "$id" "$@"
}

# key_by_program: a key of a type that pkcs11-tool doesn't know, or in a module that wants arguments ($SIGNET_TEST_INIT_ARGS)
key_by_program() {
    outside "$build/tests/token/make-key" "$module" "$token" "$PIN" "$type" "$id" "$made"
}

# wait_until COMMAND...: half a minute at most
wait_until() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "waited in vain: $*"; return 1; }
        sleep 0.1
    done
}

listening() {
    grep -q ":$(printf '%04X' "$1") 00000000:0000 0A " /proc/net/tcp
}

# free_port: sets $port to one that nobody listens on
free_port() {
    port=$((20000 + $$ % 20000))
    while listening $port; do port=$((port + 1)); done
}

# daemon_start COMMAND...: as the leader of a group of its own, so that what it makes for its clients ends with it; its words are
# in $home/daemon.out
daemon_start() {
    (exec env -u OPENSSL_MODULES LD_PRELOAD= OPENSSL_CONF=/dev/null setsid "$@") >"$home/daemon.out" 2>&1 8>&- 9<&- &
    daemon=$!
}

daemon_kill() {
    [ -n "$daemon" ] || return 0
    kill -s KILL -- "-$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    daemon=
}

# cannot COLUMN TYPES PATTERN REASON...: TYPES is a pattern of sh, PATTERN one of grep
cannot() {
    cannot_column=$1
    cannot_types=$2
    cannot_pattern=$3
    shift 3
    printf '%s\t%s\t%s\t%s\n' "$cannot_column" "$cannot_types" "$cannot_pattern" "$*" >>"$work/cannot"
}

# --- what is proved ------------------------------------------------------------------------------------------------------

openssl() {
    token_fresh && command openssl "$@"
}

loads() {
    openssl pkey -in "$uri" -pubout -out "$name.pub" && openssl pkey -in "$uri" -out "$name.key" &&
        pki_leaf "$work" "$uri" "$name" /CN=localhost serverAuth,clientAuth DNS:localhost
}

# signed_by KEY: with every padding that the type has; software verifies, and refuses another message
signed_by() {
    case $type in
    rsa*)
        openssl dgst -sha256 -sign "$1" -out sig message &&
            openssl dgst -sha256 -verify "$name.pub" -signature sig message &&
            openssl dgst -sha384 -sign "$1" -sigopt rsa_padding_mode:pss -out sig message &&
            openssl dgst -sha384 -verify "$name.pub" -sigopt rsa_padding_mode:pss -signature sig message &&
            ! openssl dgst -sha384 -verify "$name.pub" -sigopt rsa_padding_mode:pss -signature sig plain.cnf
        ;;
    p*)
        openssl dgst -sha256 -sign "$1" -out sig message &&
            openssl dgst -sha256 -verify "$name.pub" -signature sig message &&
            ! openssl dgst -sha256 -verify "$name.pub" -signature sig plain.cnf
        ;;
    *)
        openssl pkeyutl -sign -rawin -inkey "$1" -in message -out sig &&
            openssl pkeyutl -verify -rawin -pubin -inkey "$name.pub" -in message -sigfile sig &&
            ! openssl pkeyutl -verify -rawin -pubin -inkey "$name.pub" -in plain.cnf -sigfile sig
        ;;
    esac
}

signs() {
    loads && signed_by "$uri" && signed_by "$name.key"
}

# Both keys on the token; where one process alone may use it, first the server's and then the client's.
meets() {
    for version in $versions; do
        if [ -n "$apart" ]; then
            token_fresh && mutual "" "$uri" "$name" partner.key partner "$version" && token_fresh &&
                mutual "" partner.key partner "$name.key" "$name" "$version" || return 1
        else
            mutual "" "$uri" "$name" "$name.key" "$name" "$version" || return 1
        fi
    done
}

# told ANSWER COMMAND...: whether the driver's answer is that
told() {
    told_answer=$1
    shift
    tell "$@"
    echo "$*: $answer" >>"$work/story"
    case $answer in $told_answer) ;; *) return 1 ;; esac
}

# A key that the parent has used signs in eight children, and then in the parent.
forks() {
    drive_begins
    told done load key "$uri" && told signed sign key && told signed fork key 8 && told signed sign key
    forks_status=$?
    drive_ends
    return $forks_status
}

# The same with a key file, which opens the module only when it is used: in the children. Once the parent has used it,
# its children are refused, for they would share its connection.
forks_by_file() {
    drive_begins
    told done load key "$name.key" && told signed fork key 8 && told signed sign key &&
        told 'error 0 of 8 children signed*key file*' fork key 8 && told signed sign key
    forks_status=$?
    drive_ends
    return $forks_status
}

# A process that outlives its token: it says so in time, and goes on when the token is back.
returns() {
    OPENSSL_CONF=$work/$row-lost.cnf # not waited for as long
    drive_begins
    OPENSSL_CONF=$work/$row.cnf
    told done load key "$uri" && told signed sign key && token_lose && told "$lost" sign key && token_back &&
        wait_until told signed sign key && told signed sign key 3
    returns_status=$?
    [ $returns_status -eq 0 ] || { token_lose; token_back; } # for the next type
    drive_ends
    return $returns_status
}

drive_begins() {
    token_fresh
    driver_start
    : >"$work/story"
}

# drive_ends: the driver ends with its own status; what it said is the output, once
drive_ends() {
    (trap '' PIPE; echo quit >&8) 2>/dev/null
    exec 8>&- 9<&-
    wait "$driver" || forks_status=1 returns_status=1
    sed 's/ in [0-9]* ms$//' "$work/story" | uniq | cut -c 1-600
    grep -v '^signet\[' "$work/driver.err" | sort -u | head -n 20
}

# --- the table -----------------------------------------------------------------------------------------------------------

# reason_for COLUMN: why this token can't, and $pattern, which its error must have; false if it should
reason_for() {
    tab=$(printf '\t')
    while IFS=$tab read -r at types_at pattern reason; do
        [ "$at" = "$1" ] || continue
        case $type in $types_at) return 0 ;; esac
    done <"$work/cannot"
    return 1
}

# cell COLUMN "sentence" COMMAND: the next cell of the row. What is known not to work must fail, and for that reason.
cell() {
    cell_column=$1
    cell_says=$2
    shift 2
    cell_failed=$tap_failed
    if reason_for "$cell_column"; then
        "$@" >"$work/out" 2>&1 && { echo "but it can"; pattern="^no$"; } >>"$work/out"
        grep -q -- "$pattern" "$work/out"
        tap_line $? "$title, $spelt: cannot, and says why: $cell_says"
        cell_text="no: $reason"
    else
        ok "$title, $spelt: $cell_says" "$@"
        cell_text=yes
        case $* in
        forks_by_file) cell_text="yes, by key file" ;;
        returns) [ "$lost" != signed ] || cell_text="yes, not noticed" ;;
        esac
    fi
    [ $tap_failed -eq $cell_failed ] || cell_text="**failed**"
    cells="$cells | $cell_text"
}

# nothing: a cell for what the token has not got
nothing() {
    cells="$cells | –"
}

prove_type() {
    type_row "$type"
    name=$row-$type
    uri=$(token_uri)
    cells=
    if reason_for key; then
        cell key "a key is made" make_key
        cells="$cells | – | – | –"
    elif ! make_key >"$work/out" 2>&1; then
        tap_line 1 "$title, $spelt: a key is made"
        cells=" | **no key** | – | – | –"
    else
        cell sign "signs, by URI and by key file" signs
        if reason_for sign; then
            echo "| $title | $spelt$cells | – | – | – |" >>"$table"
            return
        fi
        cell tls "mutual TLS${apart:+, each end in its turn}" meets
        cell fork "signs in eight children, and after them" $forks
        if command -v token_lose >/dev/null; then
            cell lost "the token goes and comes back" returns
        else
            nothing
        fi
    fi
    echo "| $title | $spelt$cells |" >>"$table"
}

# prove_token FILE
prove_token() {
    row=$1
    home=$work/$row
    mkdir "$home"
    : >"$work/cannot"
    title= types= module= token=test releases=$release absent="not in this release of Debian" apart= daemon= forks=forks lost='error *'
    pin_file=$work/pin
    unset -f token_lose token_back
    token_fresh() { :; }
    token_uri() { echo "pkcs11:token=$(echo "$token" | sed 's/ /%20/g');object=$type;type=private"; }
    . "$top/tests/tokens/$row.sh"
    case " $releases " in
    *" $release "*) ;;
    *)
        echo "# $title: $absent"
        echo "| $title | – ($absent) | – | – | – | – |" >>"$table"
        return
        ;;
    esac
    token_began=$(date +%s)
    if token_start >"$work/out" 2>&1; then
        conf_write "$work/$row.cnf" "default signet" "$(token_settings)" "pin = file:$pin_file" "deadline = 30"
        conf_write "$work/$row-lost.cnf" "default signet" "$(token_settings)" "pin = file:$pin_file" "deadline = 2"
        for type in $types; do
            OPENSSL_CONF="$work/$row.cnf"
            prove_type
        done
        OPENSSL_CONF="$work/plain.cnf"
    else
        tap_line 1 "$title starts"
        echo "| $title | **did not start** | – | – | – | – |" >>"$table"
    fi
    token_stop
    echo "# $title: $(($(date +%s) - token_began)) s"
}

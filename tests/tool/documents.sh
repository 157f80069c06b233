#!/bin/sh
# README, docs/, examples/ and the man pages are about what there is: settings, options, files.
. "$(dirname "$0")/../lib/setup.sh"
cd "$top" || exit 99
documents="README.md CHANGELOG.md CONTRIBUTING.md $(echo docs/*.md)"
pages="man/signet.1 man/signet.7.in"

# none "sentence" FILE: nothing is in the file
none() {
    ok "$1" sh -c 'cat "$1" && test ! -s "$1"' sh "$2"
}

# The settings, as the table in the code prints them for the man page; what stands behind token.NAME has its dot.
"$signet" settings-man | sed -n 's/^\.B //p; s/^\.BI token\. NAME \(\..*\)/\1/p' | sort >"$work/settings"
ok "there are settings to compare with" test "$(wc -l <"$work/settings")" -gt 20
ok "signet(7) has them, each with a default" sh -c '! grep -q "(null)\|^@SETTINGS@" "$1" && grep -q "^\.B workers" "$1"' sh "$build/man/signet.7"
is_setting() {
    case $1 in
    token.*.*) grep -qxF -e ".${1##*.}" "$work/settings" ;;
    *) grep -qxF -e "$1" "$work/settings" || grep -qxF -e ".$1" "$work/settings" ;;
    esac
}

# A setting in the text is `name = value`, or a line of an indented example; these other names are OpenSSL's or the example's own.
grep -ohE '`[a-zA-Z0-9.-]+ = [^`]*`' $documents | sed 's/^`\([^ ]*\) = .*/\1/' >"$work/named"
sed -n 's/^    \([a-z][a-z0-9._-]*\) = .*/\1/p' $documents >>"$work/named"
sed -n 's/^#\{0,1\}\([a-z][a-z0-9._-]*\) = .*/\1/p' examples/*.cnf $pages >>"$work/named"
sed -n 's/.*[ (]\([a-z][a-z-]*\) = .*/\1/p' $pages >>"$work/named"
sort -u "$work/named" >"$work/names"
: >"$work/strange"
while read -r name; do
    case $name in
    openssl_conf | extensions | providers | default | signet | activate | module | identity | default_properties | context | extendedKeyUsage) continue ;;
    token.hsm1 | token.hsm2 | token.prod | token.backup | prod | backup) continue ;; # sections of tokens, by the examples' names
    esac
    is_setting "$name" || echo "$name" >>"$work/strange"
done <"$work/names"
ok "the documents name settings" test "$(wc -l <"$work/names")" -gt 15
none "and each one exists" "$work/strange"

# --- examples of configurations, with all that is commented out: nothing in them is unknown or wrong
for file in examples/*.cnf; do
    sed 's/^#\([a-z.-]* = \)/\1/' "$file" >"$work/example.cnf"
    ok "$file" sh -c '"$1" list --config "$2" --module "$3" "pkcs11:type=cert"; test $? -le 1' sh "$signet" "$work/example.cnf" "$SOFTHSM_MODULE"
    never_says "$file has no unknown setting" 'unknown setting'
    never_says "$file has no value that makes no sense" 'it may be'
done

# --- options of the command: the page, and what --help says
for command in list key-file; do "$signet" $command --help; done | sed -n 's/^  \(--[a-z-]*\) .*/\1/p' | sort -u >"$work/said"
sed -n 's/.*\\-\\-\([a-z-]*\).*/--\1/p; s/^\.BI \\-\\-\([a-z-]*\) .*/--\1/p' man/signet.1 | sort -u >"$work/written"
diff "$work/said" "$work/written" >"$work/apart"
none "signet(1) has the options that --help says" "$work/apart"

# --- files
: >"$work/missing"
for document in $documents; do
    for file in $(grep -ohE '\]\([^)#: ]+\)' "$document" | tr -d '])('); do
        [ -e "$(dirname "$document")/$file" ] || echo "$document: $file" >>"$work/missing"
    done
done
none "every link leads to a file" "$work/missing"
: >"$work/missing"
for page in docs/*.md; do
    grep -qF "]($page)" README.md || echo "$page" >>"$work/missing"
done
none "README leads to every page of docs/" "$work/missing"
: >"$work/missing"
for file in $(grep -ohE '`(base|pkcs11|provider|src|tests|scripts|examples|docs|man)/[a-zA-Z0-9_./-]+`' $documents | tr -d '`' | sort -u); do
    [ -e "$file" ] || [ -e "$file.c" ] || [ -e "$file.h" ] || [ -e "$build/${file%/*}/.libs/${file##*/}" ] || echo "$file" >>"$work/missing"
done
for file in $(grep -oE '`(unit|tool|tls|life|fork|token|cards)/[a-z0-9-]+(\.sh)?`' docs/lessons.md | tr -d '`' | sort -u); do
    [ -e "tests/$file" ] || [ -e "tests/$file.c" ] || echo "docs/lessons.md: $file" >>"$work/missing"
done
none "every file that is named exists" "$work/missing"

# --- targets of make
: >"$work/missing"
for target in $(grep -ohE '`make [a-z-]+' $documents | sed 's/.*make //' | sort -u); do
    grep -qE "^$target:" "$build/Makefile" || echo "$target" >>"$work/missing"
done
none "every target of make exists" "$work/missing"

# --- the configuration of ./quickstart demo
. scripts/demo.sh
demo=$work
token_home "$work"
ends_tokens "$PIN" || exit 99
demo_conf
export OPENSSL_CONF="$demo/openssl.cnf"
date >"$work/data"
for uri in "$server_ec" "$client_ec"; do
    token=${uri#pkcs11:token=}
    "$signet" key-file --output "$work/${token%%;*}.key" "$uri" || exit 99
    ok "the demonstration's ${token%%;*} signs with a key file" openssl pkeyutl -sign -rawin -digest sha256 -inkey "$work/${token%%;*}.key" -in "$work/data" -out "$work/signature"
done
tap_done

#!/bin/sh
# The walls of the house: which words stand on which floor, what includes what, what links what.
top=${abs_top_srcdir:-.}
build=${abs_top_builddir:-.}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
. "$top/tests/lib/tap.sh"
cd "$top" || exit 99

# code FILE...: FILE:LINE:TEXT, without comments and what stands in quotes, but for the names of included files
code() {
    awk '
        FNR == 1 { comment = 0 }
        {
            text = ""
            for (i = 1; i <= length($0); i++) {
                two = substr($0, i, 2)
                one = substr($0, i, 1)
                if (comment) {
                    if (two == "*/") { comment = 0; i++ }
                } else if (quote != "") {
                    if (one == "\\") { i++ } else if (one == quote) { quote = "" }
                } else if (two == "/*") {
                    comment = 1
                    i++
                } else if (two == "//") {
                    break
                } else if ((one == "\"" || one == "\047") && $0 !~ /^ *# *include/) {
                    quote = one
                } else {
                    text = text one
                }
            }
            quote = ""
            print FILENAME ":" FNR ":" text
        }' "$@"
}

# lacks PATTERN: there is code to look at, and none of it has the pattern
lacks() {
    [ -s "$work/code" ] && ! grep -E -- "$1" "$work/code"
}

# without SENTENCE PATTERN FILE...
without() {
    what=$1
    pattern=$2
    shift 2
    code "$@" >"$work/code"
    ok "$what" lacks "$pattern"
}

# includes SENTENCE ROOMS FILE...: files of our own are included from these rooms alone
includes() {
    what=$1
    rooms=$2
    shift 2
    code "$@" | grep -E '# *include "' | grep -vE "# *include \"($rooms)/([a-z0-9-]*/)*[a-z0-9-]*\.h\"" >"$work/strangers"
    code "$@" >"$work/code"
    ok "$what" sh -c 'cat "$1" && [ -s "$2" ] && [ ! -s "$1" ]' sh "$work/strangers" "$work/code"
}

without "base/ and pkcs11/ know no OpenSSL" \
    '\b(EVP|OSSL|OPENSSL|CRYPTO|BN|X509|ERR|BIO|ASN1|PEM|RSA|EC|SSL)_[A-Za-z]|\bBIGNUM\b|<openssl/' base/*.[ch] pkcs11/*/*.[ch]
without "base/ knows no Cryptoki" '\bCK[AMRKOFU]?_[A-Z]|\bC_[A-Z]|p11-kit' base/*.[ch]
without "in provider/ the families' files alone name mechanisms and attributes" '\bCK[AMK]_' $(ls provider/*.[ch] provider/*/*.[ch] | grep -v '/alg-')
without "provider/ calls no C_ function" '\bC_[A-Z]|\bTOK_(CALL|DO)\b' provider/*.[ch] provider/*/*.[ch]
without "src/ calls no C_ function" '\bC_[A-Z]|\bTOK_(CALL|DO)\b' src/*.[ch]
without "examples/ know nothing of PKCS#11" 'p11-kit|pkcs11/|\bCK[AMR]_' examples/*.c examples/*.h
without "pkcs11/ calls C_ functions through its door alone" '(->|\.) *C_[A-Z][A-Za-z]* *\(' pkcs11/*/*.c
without "only provider/core/err.c raises errors" 'new_error\(|vset_error\(|ERR_raise' $(ls provider/*.c provider/*/*.c | grep -v '/err.c')
includes "base/ includes base/ alone" 'base' base/*.[ch]
includes "pkcs11/ includes base/ and pkcs11/ alone" 'base|pkcs11' pkcs11/*/*.[ch]

# Rooms of a floor, from the ground up: a file includes from its own room and those before it.
pkcs11_rooms="result config module token object recover key work"
provider_rooms="settings core keys operations files"

# upwards FLOOR ROOM...: includes of a room that comes later
upwards() {
    floor=$1
    shift
    below=
    for room in "$@"; do
        below="$below${below:+|}$room"
        code "$floor/$room"/*.[ch] | grep -E "# *include \"$floor/" | grep -vE "# *include \"$floor/($below)/"
    done
}
none() {
    "$@" >"$work/none"
    cat "$work/none"
    [ ! -s "$work/none" ]
}
ok "the rooms of pkcs11/ include downwards alone" none upwards pkcs11 $pkcs11_rooms
ok "the rooms of provider/ include downwards alone" none upwards provider $provider_rooms

# Which file needs which, by the linker's names, so that a call through another's header counts as well.
# circles FOLDER: files that need each other, directly or through others
circles() {
    (cd "$build" && nm -A -g $(find "$1" -path '*/.libs/*.o') </dev/null) |
        sed 's#^\([^:]*\)/.libs/\(lib[a-z]*_la-\)*\([^:]*\)\.o:[0-9a-f ]*#\1/\3 #' >"$work/names"
    [ -s "$work/names" ] || { echo "no objects in $build/$1"; return; }
    awk 'FNR == NR { if ($2 != "U") { defined[$3] = $1 } next }
        $2 == "U" && ($3 in defined) && defined[$3] != $1 { print $1, defined[$3] }' "$work/names" "$work/names" |
        sort -u | tsort 2>&1 >/dev/null
}
ok "no files of base/ need each other in a circle" none circles base
ok "no files of pkcs11/ need each other in a circle" none circles pkcs11
ok "no files of provider/ need each other in a circle" none circles provider

for header in base/*.h pkcs11/*/*.h provider/*.h provider/*/*.h include/*.h; do
    printf '#include "%s"\n' "${header#include/}" >"$work/one.c"
    ok "$header compiles alone" ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -Iinclude \
        $(pkg-config --cflags p11-kit-1 libcrypto) -fsyntax-only "$work/one.c"
done

# needs_no_libcrypto PROGRAM: neither itself nor through what it links
needs_no_libcrypto() {
    [ -f "$1" ] && ldd "$1" >"$work/needs" && cat "$work/needs" && ! grep -E 'lib(crypto|ssl)' "$work/needs"
}

# libtool leaves a script in place of a program that needs our shared libraries, and the program in .libs
for source in tests/unit/test-*.c; do
    grep -q '#include "provider/' "$source" && continue # provider/ may
    name=$(basename "$source" .c)
    program="$build/tests/unit/.libs/$name"
    [ -f "$program" ] || program="$build/tests/unit/$name"
    ok "$name links without libcrypto" needs_no_libcrypto "$program"
done

nm -D --defined-only "$build/.libs/signet.so" | awk '{ print $3 }' | grep -v '^_' >"$work/exports"
ok "the provider exports OSSL_provider_init alone" test "$(cat "$work/exports")" = OSSL_provider_init
ok "and is never unloaded" sh -c 'readelf -d "$1" | grep -q NODELETE' sh "$build/.libs/signet.so"
tap_done

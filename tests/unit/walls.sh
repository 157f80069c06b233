#!/bin/sh
# The walls of the house: which words stand on which floor, what includes what, what links what.
top=${abs_top_srcdir:-.}
build=${abs_top_builddir:-.}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
. "$top/tests/lib/tap.sh"
cd "$top" || exit 99

# without SENTENCE PATTERN FILE...: no line of code has the pattern; comments may
without() {
    what=$1
    pattern=$2
    shift 2
    not_ok "$what" sh -c 'pattern=$1; shift; grep -nE "$pattern" "$@" | grep -vE "^[^:]*:[0-9]+: *(/?\*|//)"' sh "$pattern" "$@"
}

without "base/ and pkcs11/ know no OpenSSL" '\b(EVP|OSSL|BN|X509|ERR|BIO|ASN1)_[A-Za-z]|<openssl/' base/*.[ch] pkcs11/*.[ch]
without "base/ knows no Cryptoki" '\bCK[AMRKOFU]?_[A-Z]|\bC_[A-Z]|p11-kit' base/*.[ch]
without "mechanisms and attributes are named in provider/'s tables alone" '\bCK[AMK]_' $(ls provider/*.[ch] | grep -v '/alg_\|/variant.h')
without "provider/ calls no C_ function" '(->|\.) *C_[A-Z][A-Za-z]*|TOK_CALL|TOK_DO' provider/*.[ch]
without "src/ calls no C_ function" '(->|\.) *C_[A-Z][A-Za-z]*|TOK_CALL|TOK_DO' src/*.[ch]
without "examples/ know nothing of PKCS#11" 'p11-kit|pkcs11/|CK[AMR]_' examples/*.c examples/*.h
without "pkcs11/ calls C_ functions through its door alone" '(->|\.) *C_[A-Z][A-Za-z]* *\(' pkcs11/*.c
without "base/ includes base/ alone" '#include "(pkcs11|provider|src)/' base/*.[ch]
without "pkcs11/ includes nothing from above" '#include "(provider|src)/' pkcs11/*.[ch]
without "only provider/err.c raises errors" 'new_error\(|vset_error\(|ERR_raise' $(ls provider/*.c | grep -v '/err.c')

for header in base/*.h pkcs11/*.h provider/*.h include/*.h; do
    printf '#include "%s"\n' "${header#include/}" >"$work/one.c"
    ok "$header compiles alone" ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -Iinclude \
        $(pkg-config --cflags p11-kit-1 libcrypto) -fsyntax-only "$work/one.c"
done

for program in "$build"/tests/unit/.libs/test-* "$build"/tests/unit/test-*; do
    case $program in *.o | *.log | *.trs | *test-keyfile | *test-config | *test-unpad) continue ;; esac
    [ -f "$program" ] && [ -x "$program" ] && head -c 4 "$program" | grep -q ELF || continue
    not_ok "${program##*/} links without libcrypto" sh -c 'readelf -d "$1" | grep NEEDED | grep -E "crypto|ssl"' sh "$program"
done

nm -D --defined-only "$build/.libs/signet.so" | awk '{ print $3 }' | grep -v '^_' >"$work/exports"
ok "the provider exports OSSL_provider_init alone" test "$(cat "$work/exports")" = OSSL_provider_init
ok "and is never unloaded" sh -c 'readelf -d "$1" | grep -q NODELETE' sh "$build/.libs/signet.so"
tap_done

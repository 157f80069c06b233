#include "list-print.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "provider/keys/key.h"

void print_bytes(const unsigned char *bytes, size_t len)
{
    char clean[1024];
    struct text text = TEXT_OVER(clean);

    text_put_clean(&text, bytes, len);
    fputs(clean, stdout);
}

void print_field(const unsigned char *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    print_bytes(field, size);
}

static const struct {
    CK_FLAGS flag;
    bool told_when; /* it is set, or is not */
    const char *text;
} token_flags[] = {
    { CKF_LOGIN_REQUIRED, true, "login required" },
    { CKF_PROTECTED_AUTHENTICATION_PATH, true, "PIN pad" },
    { CKF_USER_PIN_INITIALIZED, false, "NO USER PIN YET" },
    { CKF_USER_PIN_COUNT_LOW, true, "a wrong PIN was given" },
    { CKF_USER_PIN_FINAL_TRY, true, "LAST PIN TRY" },
    { CKF_USER_PIN_LOCKED, true, "PIN LOCKED" },
    { CKF_USER_PIN_TO_BE_CHANGED, true, "PIN must be changed" },
};

void print_token(const CK_TOKEN_INFO *info)
{
    const char *separator = "; ";

    PRINT_FIELD("  token '", info->label);
    PRINT_FIELD("' (", info->manufacturerID);
    PRINT_FIELD(" ", info->model);
    PRINT_FIELD(", serial ", info->serialNumber);
    for (size_t i = 0; i < COUNT_OF(token_flags); i++) {
        if (((info->flags & token_flags[i].flag) != 0) == token_flags[i].told_when) {
            printf("%s%s", separator, token_flags[i].text);
            separator = ", ";
        }
    }
    puts(")");
}

static size_t modulus_bits(const struct bytes *modulus)
{
    size_t bits = modulus->len * 8;

    for (size_t i = 0; i < modulus->len; i++) {
        for (unsigned bit = 0x80; bit != 0; bit >>= 1, bits--) {
            if ((modulus->data[i] & bit) != 0) {
                return bits;
            }
        }
    }
    return 0;
}

static void print_curve(const struct tok_public *half)
{
    const unsigned char *at = half->params.data;
    ASN1_OBJECT *curve = half->params.len == 0 ? NULL : d2i_ASN1_OBJECT(NULL, &at, (long)half->params.len);

    printf("EC %s",
           curve != NULL && OBJ_obj2nid(curve) != NID_undef ? OBJ_nid2sn(OBJ_obj2nid(curve)) : "(unknown curve)");
    ASN1_OBJECT_free(curve);
}

/* The names of curves that have no parameters of their own, PKCS#11 v3.0, 6.3.10 and following. */
static const struct {
    const char *name;
    const char *type;
} curve_names[] = {
    { "edwards25519", "ED25519" },
    { "edwards448", "ED448" },
    { "curve25519", "X25519" },
    { "curve448", "X448" },
};

/* Of a key that shows no public half its curve may tell the row: by its OID, which is among the type's names, or by its
 * name in a PrintableString. */
static const struct prov_variant *variant_of_curve(const struct tok_public *half)
{
    const unsigned char *at = half->params.data;
    ASN1_TYPE *curve = half->params.len == 0 ? NULL : d2i_ASN1_TYPE(NULL, &at, (long)half->params.len);
    const struct prov_variant *variant = NULL;
    char name[80];

    if (curve != NULL && curve->type == V_ASN1_OBJECT) {
        variant = OBJ_obj2txt(name, sizeof(name), curve->value.object, 1) > 0 ? prov_variant_named(name) : NULL;
    } else if (curve != NULL && curve->type == V_ASN1_PRINTABLESTRING) {
        const ASN1_STRING *text = curve->value.printablestring;

        for (size_t i = 0; i < COUNT_OF(curve_names); i++) {
            if ((size_t)ASN1_STRING_length(text) == strlen(curve_names[i].name) &&
                memcmp(ASN1_STRING_get0_data(text), curve_names[i].name, strlen(curve_names[i].name)) == 0) {
                variant = prov_variant_named(curve_names[i].type);
            }
        }
    }
    ASN1_TYPE_free(curve);
    return variant != NULL && variant->key_type == half->type ? variant : NULL;
}

/* By the rows of the types (provider/keys/variant.h), as far as the token shows which it is. */
static void print_half(const struct tok_public *half)
{
    const struct prov_variant *by_half = prov_variant_of_half(half);
    const struct prov_variant *variant = by_half != NULL ? by_half : variant_of_curve(half);

    if (variant == NULL) {
        printf(half->type == CK_UNAVAILABLE_INFORMATION ? "of an unknown type" : "of type 0x%lx", half->type);
        if (half->set != 0) {
            printf(", set %lu", half->set);
        }
    } else if (half->modulus.len > 0) {
        printf("RSA%s %zu", half->pss_only ? "-PSS" : "", modulus_bits(&half->modulus));
    } else if (half->type == CKK_EC) {
        print_curve(half);
    } else {
        fputs(variant->type, stdout);
    }
}

static void print_subject(const struct bytes *der)
{
    const unsigned char *at = der->data;
    X509 *certificate = d2i_X509(NULL, &at, (long)der->len);

    if (certificate == NULL) {
        fputs("(unreadable)", stdout);
    } else {
        BIO *out = BIO_new(BIO_s_mem());
        char *line = NULL;
        long len = 0;

        if (out != NULL && X509_NAME_print_ex(out, X509_get_subject_name(certificate), 0,
                                              XN_FLAG_ONELINE & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) >= 0) {
            len = BIO_get_mem_data(out, &line);
        }
        print_bytes((unsigned char *)line, len > 0 ? (size_t)len : 0);
        BIO_free(out);
    }
    X509_free(certificate);
}

static void print_what(const struct tok_item *item)
{
    switch (item->kind) {
    case TOK_WANT_PRIVATE:
        fputs("    private key  ", stdout);
        print_half(item->key != NULL ? tok_key_half(item->key) : &item->half);
        break;
    case TOK_WANT_PUBLIC:
        fputs("    public key   ", stdout);
        print_half(&item->half);
        break;
    case TOK_WANT_CERTIFICATE:
        fputs("    certificate  ", stdout);
        print_subject(&item->certificate);
        break;
    }
}

static void print_reason(const char *reason)
{
    fputs("      can't be used: ", stdout);
    print_bytes((const unsigned char *)reason, strlen(reason));
    putchar('\n');
}

/* What stands in the way of a key, of which the first thing is its type: what else may be said follows from that. One
 * whose public half makes sense to nobody here would fail at its load. */
static void print_trouble(struct prov_ctx *instance, const struct tok_item *item)
{
    const struct tok_public *half = item->key != NULL ? tok_key_half(item->key) : &item->half;
    struct prov_key *key = NULL;
    const char *reason = NULL;
    char text[64];
    int flags = 0;

    if (item->kind != TOK_WANT_CERTIFICATE && prov_variant_of_type(half->type) == NULL) {
        (void)snprintf(text, sizeof(text), "keys of type 0x%lx are not served", half->type);
        print_reason(text);
    } else if (!tok_ok(&item->why)) {
        print_reason(item->why.message);
    } else if (item->kind != TOK_WANT_CERTIFICATE && instance != NULL) {
        key = prov_key_public(instance, half);
        if (key == NULL) {
            (void)ERR_peek_last_error_all(NULL, NULL, NULL, &reason, &flags);
            print_reason(reason != NULL && (flags & ERR_TXT_STRING) != 0 ? reason : "its public half makes no sense");
        }
        prov_key_unref(key);
        ERR_clear_error();
    }
}

/* Label and id in clear, and then the URI, in which they are encoded. */
void print_item(struct prov_ctx *instance, const struct tok_item *item)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, item->uri, TOK_URI_FROM_APPLICATION);

    print_what(item);
    if (tok_ok(&result) && tok_uri_label(uri) != NULL) {
        fputs(", '", stdout);
        print_bytes(tok_uri_label(uri)->data, tok_uri_label(uri)->len);
        putchar('\'');
    }
    if (tok_ok(&result) && tok_uri_id(uri) != NULL) {
        fputs(", id ", stdout);
        for (size_t i = 0; i < tok_uri_id(uri)->len; i++) {
            printf("%02x", tok_uri_id(uri)->data[i]);
        }
    }
    printf("\n      %s\n", item->uri);
    print_trouble(instance, item);
}

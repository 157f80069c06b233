/* signet list: what there is, from modules down to certificates, each with the URI that names it. */
#include <getopt.h>
#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "pkcs11/find.h"
#include "pkcs11/registry.h"
#include "command.h"

static void usage(FILE *out)
{
    fputs("usage: signet list [OPTION]... [URI]\n\n"
          "Shows the modules, tokens, keys and certificates that URI (pkcs11:) matches.\n\n" COMMON_USAGE,
          out);
}

/* Fields of Cryptoki are padded with spaces, not terminated. */
static int field_len(const unsigned char *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    return (int)size;
}

#define FIELD(field) field_len((field), sizeof(field)), (const char *)(field)

static const struct {
    CK_FLAGS flag;
    const char *text;
} token_flags[] = {
    { CKF_LOGIN_REQUIRED, "login required" },
    { CKF_PROTECTED_AUTHENTICATION_PATH, "PIN pad" },
    { CKF_USER_PIN_COUNT_LOW, "a wrong PIN was given" },
    { CKF_USER_PIN_FINAL_TRY, "LAST PIN TRY" },
    { CKF_USER_PIN_LOCKED, "PIN LOCKED" },
    { CKF_USER_PIN_TO_BE_CHANGED, "PIN must be changed" },
};

static void print_token(const CK_TOKEN_INFO *info)
{
    const char *separator = "; ";

    printf("  token '%.*s' (%.*s %.*s, serial %.*s", FIELD(info->label), FIELD(info->manufacturerID),
           FIELD(info->model), FIELD(info->serialNumber));
    for (size_t i = 0; i < COUNT_OF(token_flags); i++) {
        if ((info->flags & token_flags[i].flag) != 0) {
            printf("%s%s", separator, token_flags[i].text);
            separator = ", ";
        }
    }
    puts(")");
}

static void print_curve(const struct tok_public *half)
{
    const unsigned char *at = half->params.data;
    ASN1_OBJECT *curve = half->params.len == 0 ? NULL : d2i_ASN1_OBJECT(NULL, &at, (long)half->params.len);

    printf("EC %s",
           curve != NULL && OBJ_obj2nid(curve) != NID_undef ? OBJ_nid2sn(OBJ_obj2nid(curve)) : "(unknown curve)");
    ASN1_OBJECT_free(curve);
}

static void print_half(const struct tok_public *half)
{
    if (half->modulus.len > 0) {
        printf("RSA %zu", half->modulus.len * 8);
    } else {
        print_curve(half);
    }
}

static void print_item(const struct tok_item *item)
{
    switch (item->kind) {
    case TOK_WANT_PRIVATE:
        printf("    private key  ");
        print_half(tok_key_half(item->key));
        break;
    case TOK_WANT_PUBLIC:
        printf("    public key   ");
        print_half(&item->half);
        break;
    case TOK_WANT_CERTIFICATE: {
        const unsigned char *at = item->certificate.data;
        X509 *certificate = d2i_X509(NULL, &at, (long)item->certificate.len);
        char subject[256] = "(unreadable)";

        if (certificate != NULL) {
            X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));
        }
        printf("    certificate  %s", subject);
        X509_free(certificate);
        break;
    }
    }
    printf("\n      %s\n", item->uri);
}

/* Objects of one kind; finding none is nothing to report. */
static int list_kind(const struct tok_settings *settings, const struct tok_uri *uri, enum tok_wanted kind)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    struct tok_result result = tok_find(&items, settings, uri, kind, NULL);

    for (size_t i = 0; i < items.count; i++) {
        print_item(&items.items[i]);
    }
    if (tok_ok(&result) || result.code == TOK_CODE_NO_OBJECT) {
        return 0;
    }
    fflush(stdout);
    return report(&result);
}

/* What is asked of this token: its own URI, with the object's attributes of the one that was given. */
static struct tok_result token_uri(struct tok_uri **out_uri, const CK_TOKEN_INFO *info, const struct tok_uri *asked)
{
    static const struct bytes nothing;
    SCOPED(scoped_free) char *text = NULL;
    const struct bytes *id = tok_uri_id(asked);
    const struct bytes *label = tok_uri_label(asked);
    CK_OBJECT_CLASS class;

    if (tok_uri_class(asked, &class)) {
        TOK_TRY(tok_uri_of_object(&text, info, class, id != NULL ? id : &nothing, label != NULL ? label : &nothing));
    } else if (id != NULL || label != NULL) {
        return tok_uri_dup(out_uri, asked);
    } else {
        TOK_TRY(tok_uri_of_token(&text, info));
    }
    return tok_uri_parse_like(out_uri, text, asked);
}

static int list_token(const struct tok_settings *settings, struct tok_token *token, const struct tok_uri *asked)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_result result;
    CK_TOKEN_INFO info;
    int failed = 0;

    tok_token_info(token, &info);
    print_token(&info);
    result = token_uri(&uri, &info, asked);
    if (!tok_ok(&result)) {
        return report(&result);
    }
    failed |= list_kind(settings, uri, TOK_WANT_PRIVATE);
    failed |= list_kind(settings, uri, TOK_WANT_CERTIFICATE);
    failed |= list_kind(settings, uri, TOK_WANT_PUBLIC);
    return failed;
}

static int list(const struct tok_settings *settings, const struct tok_uri *uri)
{
    SCOPED(tok_token_list_end) struct tok_token_list tokens = { .items = NULL };
    struct tok_result result = tok_find_tokens(&tokens, settings, uri, clock_us() + settings->deadline_us);
    const struct tok_module *module = NULL;
    int failed = 0;

    if (!tok_ok(&result)) {
        return report(&result);
    }
    for (size_t i = 0; i < tokens.count; i++) {
        CK_INFO info;

        if (tokens.items[i]->module != module) {
            module = tokens.items[i]->module;
            printf("module %s", module->path);
            result = tok_module_info(tokens.items[i]->module, &info);
            if (tok_ok(&result)) {
                printf(" (%.*s %u.%u)", FIELD(info.libraryDescription), info.libraryVersion.major,
                       info.libraryVersion.minor);
            }
            putchar('\n');
        }
        failed |= list_token(settings, tokens.items[i], uri);
    }
    return failed;
}

int list_main(int argc, char **argv)
{
    static const struct option known[] = { COMMON_OPTIONS, { NULL, 0, NULL, 0 } };
    SCOPED(config_end) struct config config = { .rsa_decrypt = 0 };
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct common_options options = { NULL, NULL };
    struct tok_result result;
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!common_option(&options, option, optarg)) {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (argc - optind > 1) {
        usage(stderr);
        return EXIT_USAGE;
    }
    result = tok_uri_parse(&uri, optind < argc ? argv[optind] : "pkcs11:", TOK_URI_FROM_APPLICATION);
    if (tok_ok(&result)) {
        result = common_config(&config, &options);
    }
    return tok_ok(&result) ? list(&config.settings, uri) : report(&result);
}

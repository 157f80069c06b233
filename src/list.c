/* signet list: what there is, from modules down to certificates, each with the URI that names it. */
#include <getopt.h>
#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "pkcs11/key/find.h"
#include "pkcs11/module/registry.h"
#include "provider/keys/prover.h"
#include "command.h"

static void usage(FILE *out)
{
    fputs("usage: signet list [OPTION]... [URI]\n\n"
          "Shows the modules, tokens, keys and certificates that URI (pkcs11:) matches.\n"
          "Private keys are shown where the PIN is known and meant for just that token.\n\n" COMMON_USAGE,
          out);
}

/* What is listed, and how it went. */
struct listing {
    const struct tok_settings *settings;
    const struct tok_uri *asked;
    struct tok_token_list tokens;
    bool every_type;    /* the URI names no type of object */
    bool private_asked; /* it names private keys, so that not seeing them is a failure */
    bool failed;
    struct prov_ctx *instance; /* for what has to be proved; NULL: nothing can be */
};

static void failed(struct listing *listing, const struct tok_result *result)
{
    (void)report(result);
    listing->failed = true;
}

/* --- printing ----------------------------------------------------------------------------------------------------- */

/* What a token says of itself must not reach the terminal as control characters. */
static void print_bytes(const unsigned char *bytes, size_t len)
{
    char clean[1024];
    struct text text = TEXT_OVER(clean);

    text_put_clean(&text, bytes, len);
    fputs(clean, stdout);
}

/* Fields of Cryptoki are padded with spaces, not terminated. */
static void print_field(const unsigned char *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    print_bytes(field, size);
}

#define PRINT_FIELD(before, field) (fputs((before), stdout), print_field((field), sizeof(field)))

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

static void print_token(const CK_TOKEN_INFO *info)
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

/* By the rows of the types (provider/keys/variant.h), as far as the token shows which it is. */
static void print_half(const struct tok_public *half)
{
    const struct prov_variant *variant = prov_variant_of_half(half);

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

/* Label and id in clear, and then the URI, in which they are encoded. */
static void print_item(const struct tok_item *item)
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
    if (!tok_ok(&item->why)) {
        fputs("      can't be used: ", stdout);
        print_bytes((const unsigned char *)item->why.message, strlen(item->why.message));
        putchar('\n');
    }
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

/* Not seeing private keys is what this listing says of the token, or its failure. */
static void private_hidden(struct listing *listing, const struct tok_result *why, const char *note)
{
    if (listing->private_asked) {
        failed(listing, why);
    } else if (listing->every_type) {
        printf("    (no private keys: %s)\n", note);
    }
}

/* Objects of one kind; finding none is nothing to report. */
static void list_kind(struct listing *listing, const struct tok_settings *settings, const struct tok_uri *uri,
                      enum tok_wanted kind)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    SCOPED(prov_prover_end) struct prov_prover prover = { .digest = NULL };
    struct tok_find_options options = { .with_unusable = true, .evidence = { .in_doubt_only = true } };
    struct tok_result result;

    if (listing->instance != NULL) {
        prov_prover_begin(&prover, listing->instance);
        options.evidence.prover = &prover.prover;
    }
    result = tok_find_by(&items, settings, uri, kind, &options);

    for (size_t i = 0; i < items.count; i++) {
        print_item(&items.items[i]);
    }
    if (result.code == TOK_CODE_PIN_TIED) {
        private_hidden(listing, &result, result.message);
    } else if (result.code == TOK_CODE_PIN_NEEDED) {
        private_hidden(listing, &result, "they need a PIN: the setting pin, --pin, or pin-source in the URI");
    } else if (!tok_ok(&result) && result.code != TOK_CODE_NO_OBJECT) {
        failed(listing, &result);
    }
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

/* A PIN that was meant for one token must not be tried on others: where several match, only a PIN of the token's own
 * in the configuration serves. */
static bool may_log_in(const struct listing *listing, struct tok_token *token)
{
    const struct tok_named_token *named = tok_token_settings(token, listing->settings);

    return listing->tokens.count == 1 || (named != NULL && named->pin != NULL);
}

static void list_token(struct listing *listing, struct tok_token *token)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_settings settings = *listing->settings; /* borrows all but the policy */
    struct tok_result result;
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    print_token(&info);
    result = token_uri(&uri, &info, listing->asked);
    if (!tok_ok(&result)) {
        failed(listing, &result);
        return;
    }
    if (!may_log_in(listing, token)) {
        settings.login = TOK_LOGIN_NEVER;
    }
    list_kind(listing, &settings, uri, TOK_WANT_PRIVATE);
    list_kind(listing, &settings, uri, TOK_WANT_CERTIFICATE);
    list_kind(listing, &settings, uri, TOK_WANT_PUBLIC);
    if (settings.login != listing->settings->login && (info.flags & CKF_LOGIN_REQUIRED) != 0) {
        result = tok_fail(TOK_CODE_PIN_OWN, "several tokens match, so that no PIN is tried on '%s'", token->label);
        private_hidden(listing, &result,
                       "several tokens match, so that no PIN is tried; name the token in a URI, or set token.NAME.pin");
    }
}

/* `later` is what will be told at the end, and need not be told here. */
static void list_module(struct listing *listing, struct tok_module *module, const struct tok_result *later)
{
    struct tok_result result = tok_module_start(module, clock_us() + listing->settings->deadline_us);
    CK_INFO info;

    fputs("module ", stdout);
    print_bytes((const unsigned char *)module->path, strlen(module->path));
    if (tok_ok(&result)) {
        result = tok_module_info(module, &info, clock_us() + listing->settings->deadline_us);
    }
    if (tok_ok(&result)) {
        PRINT_FIELD(" (", info.libraryDescription);
        printf(" %u.%u)", info.libraryVersion.major, info.libraryVersion.minor);
    }
    putchar('\n');
    if (!tok_ok(&result) && strcmp(result.message, later->message) != 0) {
        failed(listing, &result);
    }
    for (size_t i = 0; i < listing->tokens.count; i++) {
        if (listing->tokens.items[i]->module == module) {
            list_token(listing, listing->tokens.items[i]);
        }
    }
}

static struct tok_result list(struct listing *listing)
{
    SCOPED(tok_module_list_end) struct tok_module_list modules = { .items = NULL };
    const struct tok_settings *settings = listing->settings;
    const char *path = tok_uri_module_path(listing->asked);
    const char *asked = path != NULL ? path : tok_uri_module_name(listing->asked);
    struct tok_result found;

    TOK_TRY(tok_registry_modules(&modules, asked != NULL ? asked : settings->modules, settings->init_args,
                                 clock_us() + settings->deadline_us));
    found = tok_find_tokens(&listing->tokens, settings, listing->asked, clock_us() + settings->deadline_us);
    for (size_t i = 0; i < modules.count; i++) {
        list_module(listing, modules.items[i], &found);
    }
    if (tok_ok(&found) && !tok_ok(&modules.trouble)) {
        failed(listing, &modules.trouble);
    }
    return found;
}

/* A token that the configuration knows may have a module of its own. */
static void list_named(struct listing *listing, const struct tok_named_token *named)
{
    struct tok_settings settings = *listing->settings; /* borrows all but the modules */
    struct listing own = {
        .settings = &settings,
        .asked = named->uri,
        .every_type = true,
        .instance = listing->instance,
    };
    struct tok_result result;

    settings.modules = named->modules;
    result = list(&own);
    if (!tok_ok(&result)) {
        failed(&own, &result);
    }
    tok_token_list_end(&own.tokens);
    listing->failed |= own.failed;
}

int list_main(int argc, char **argv)
{
    static const struct option known[] = { COMMON_OPTIONS, { NULL, 0, NULL, 0 } };
    SCOPED(prov_config_end) struct prov_config config = { .rsa_decrypt = 0 };
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct common_options options = { NULL, NULL };
    struct listing listing = { .settings = &config.settings };
    OSSL_LIB_CTX *library = NULL;
    struct tok_result result;
    CK_OBJECT_CLASS class;
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
    if (tok_ok(&result)) {
        config.settings.eager = false; /* nothing is forked here, and copies of these settings end before others */
        listing.asked = uri;
        listing.every_type = !tok_uri_class(uri, &class);
        listing.private_asked = !listing.every_type && class == CKO_PRIVATE_KEY;
        library = common_library(&options, &listing.instance);
        ERR_clear_error();
        result = list(&listing);
    }
    if (!tok_ok(&result)) {
        failed(&listing, &result);
    }
    for (size_t i = 0; optind == argc && i < config.settings.num_tokens; i++) {
        if (config.settings.tokens[i].modules != NULL) {
            list_named(&listing, &config.settings.tokens[i]);
        }
    }
    tok_token_list_end(&listing.tokens);
    OSSL_LIB_CTX_free(library);
    return listing.failed;
}

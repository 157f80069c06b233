/* signet list: what there is, from modules down to certificates, each with the URI that names it. */
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "pkcs11/key/find.h"
#include "pkcs11/module/registry.h"
#include "provider/keys/prover.h"
#include "command.h"
#include "list-print.h"

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
    bool everything;    /* there is no URI */
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
        print_item(listing->instance, &items.items[i]);
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
    size_t blank;
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
    blank = tok_ok(&result) && listing->everything ? tok_module_blank(module) : 0;
    if (blank > 0) {
        printf("  (%zu token%s not initialised, and %s no keys yet: the module's own tools initialise)\n", blank,
               blank > 1 ? "s are" : " is", blank > 1 ? "have" : "has");
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
        listing.everything = optind == argc;
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

#include "pkcs11/module/quirks.h"

#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

#include "base/shared.h"
#include "pkcs11/token/token.h"

static const struct tok_quirk rows[] = {
    /* Its random numbers are libcrypto's, which notices forks; all of its state is in the process, in files that it
     * opens for each use. Each C_Login writes token.object in place, and C_Initialize leaves out a token whose file it
     * can't read at that moment. */
    { "libsofthsm2.so*", "SoftHSM", TOK_FORK_SHARE, .start_may_miss = true,
      .reason = "SoftHSM keeps its state in the process" },
    /* Its random generator does not notice a fork: parent and child sign different data with the same ECDSA nonce,
     * which gives the private key away. C_Finalize and C_Initialize seed it anew (tests/fork/nss.sh). */
    { "libsoftokn3.so*", "Mozilla Foundation", TOK_FORK_FINALIZE,
      .reason = "NSS would repeat its parent's random numbers" },
    /* Parent and child would talk to the TPM over one connection, and C_Finalize in the child unloads the parent's
     * keys. When the TPM, its simulator or its resource manager was restarted, every call is a GENERAL_ERROR, for it
     * never connects again by itself (tests/tokens/tpm.sh). */
    { "libtpm2_pkcs11.so*", "tpm2-software.github.io", TOK_FORK_REFUSE, .error_stays = true,
      .reason =
          "tpm2-pkcs11 shares its connection to the TPM with its parent, and C_Finalize would unload the parent's "
          "keys" },
    /* It asks pcscd, which looks for a card every 400 ms. A card that is pulled in the middle of a signature is
     * CKR_GENERAL_ERROR, and until pcscd knows better a C_Login that follows waits for good for a lock that was the
     * card's (0.23; tests/cards/piv.sh). It notices forks. */
    { "*opensc-pkcs11.so*", "OpenSC Project", TOK_FORK_REFUSE, .notices_ms = 600,
      .reason = "OpenSC shares its connection to the card" },
    /* C_Initialize in a child is good, and the child goes on with its parent's connection: each of them takes the
     * other's answers, and both die (0.4.1; tests/tokens/pkcs11-proxy.sh). C_Finalize would end it for both. */
    { "libpkcs11-proxy.so*", NULL, TOK_FORK_REFUSE, .forgets_fork = true,
      .reason = "pkcs11-proxy would talk to its daemon over its parent's connection" },
    /* Of a module that we don't know we don't know either whether it repeats random numbers or shares a connection. */
    { NULL, NULL, TOK_FORK_REFUSE,
      .reason = "a module that does not notice a fork may repeat its parent's random numbers, which can give private "
                "keys away, or share its connection" },
};

static bool says(const CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    return size == len && memcmp(field, text, len) == 0;
}

static bool row_means(const struct tok_quirk *row, const char *path, const CK_INFO *info)
{
    const char *slash = strrchr(path, '/');

    if (row->file == NULL || fnmatch(row->file, slash != NULL ? slash + 1 : path, 0) == 0) {
        return true;
    }
    return info != NULL && row->manufacturer != NULL &&
           says(info->manufacturerID, sizeof(info->manufacturerID), row->manufacturer);
}

const struct tok_quirk *tok_quirk_of(const char *path, const CK_INFO *info)
{
    const struct tok_quirk *row = rows;

    while (!row_means(row, path, info)) {
        row++;
    }
    return row;
}

void tok_quirks_note(struct tok_token *token, const struct tok_settings *settings)
{
    const struct tok_named_token *named = tok_token_settings(token, settings);

    if (named != NULL && named->fork != TOK_FORK_UNSAID) {
        LOCKED(&token->lock);
        token->fork = named->fork;
    }
}

/* Of several tokens of one module the most careful word counts. */
static enum tok_fork fork_configured(struct tok_module *module)
{
    enum tok_fork word = TOK_FORK_UNSAID;

    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        word = token->fork > word ? token->fork : word;
    }
    return word;
}

/* C_GetInfo is the one call that needs no state: asked without the right to make calls, by whoever starts the module.
 */
static const struct tok_quirk *row_of_started(struct tok_module *module)
{
    const struct tok_quirk *row = tok_quirk_of(module->path, NULL);
    CK_INFO info;

    if (row->file == NULL && TOK_CALL(module->functions, C_GetInfo, &info) == CKR_OK) {
        row = tok_quirk_of(module->path, &info);
    }
    return row;
}

enum tok_fork tok_quirks_fork(struct tok_module *module, const char **out_reason)
{
    enum tok_fork configured = fork_configured(module);
    const struct tok_quirk *row;

    *out_reason = "token.NAME.quirks says so";
    if (configured != TOK_FORK_UNSAID) {
        return configured;
    }
    row = row_of_started(module);
    *out_reason = row->reason;
    return row->fork;
}

bool tok_quirks_forgets_fork(struct tok_module *module, const char **out_reason)
{
    const struct tok_quirk *row = tok_quirk_of(module->path, NULL);

    *out_reason = row->reason;
    return row->forgets_fork && fork_configured(module) != TOK_FORK_SHARE;
}

/* Nobody is logged in, and no session is lent: all that is lost is what can be had again without a PIN. */
static bool nobody_uses(struct tok_module *module)
{
    bool used = false;

    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        used = used || token->login == TOK_LOGGED_IN || token->pool.num_lent > 0;
    }
    return !used;
}

struct tok_result tok_quirks_again(struct tok_module *module, uint64_t deadline_us)
{
    {
        LOCKED(&module->lock);
        module->again_us = 0;
    }
    return tok_module_again(module, module->starts, true, deadline_us);
}

void tok_quirks_pause(uint64_t us)
{
    uint64_t seed[] = { clock_us(), (uint64_t)getpid() };

    clock_sleep_us(us / 2 + shared_hash(0, seed, sizeof(seed)) % (us + 1)); /* us on average */
}

bool tok_quirks_may_pass(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us)
{
    bool passing = tok_is(failure, CKR_SLOT_ID_INVALID) || tok_is(failure, CKR_TOKEN_NOT_PRESENT) ||
                   tok_is(failure, CKR_GENERAL_ERROR) || tok_is(failure, CKR_USER_PIN_NOT_INITIALIZED);
    bool opening = failure->function != NULL &&
                   (strcmp(failure->function, "C_OpenSession") == 0 || strcmp(failure->function, "C_Login") == 0 ||
                    strcmp(failure->function, "C_GetTokenInfo") == 0 ||
                    strcmp(failure->function, "C_GetSlotList") == 0);

    return passing && opening && tok_quirks_may_miss(module, deadline_us);
}

bool tok_quirks_start_missed(struct tok_module *module)
{
    return row_of_started(module)->start_may_miss && nobody_uses(module);
}

static const struct tok_quirk *row_of(struct tok_module *module, uint64_t deadline_us)
{
    const struct tok_quirk *row = tok_quirk_of(module->path, NULL);
    CK_INFO info;

    if (row->file == NULL) {
        struct tok_result result = tok_module_info(module, &info, deadline_us);

        row = tok_ok(&result) ? tok_quirk_of(module->path, &info) : row;
    }
    return row;
}

bool tok_quirks_may_miss(struct tok_module *module, uint64_t deadline_us)
{
    return row_of(module, deadline_us)->start_may_miss && nobody_uses(module);
}

uint64_t tok_quirks_notices_us(struct tok_module *module, uint64_t deadline_us)
{
    return (uint64_t)row_of(module, deadline_us)->notices_ms * 1000;
}

bool tok_quirks_disconnected(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us)
{
    return tok_is(failure, CKR_GENERAL_ERROR) && row_of(module, deadline_us)->error_stays;
}

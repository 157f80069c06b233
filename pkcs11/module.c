#include "pkcs11/module.h"

#include <dlfcn.h>
#include <string.h>

#include "base/fork.h"
#include "base/trace.h"
#include "pkcs11/token.h"

static void module_free(struct tok_module **module)
{
    if (*module != NULL) {
        free((*module)->path);
        free((*module)->name);
        free((*module)->init_args);
        lock_end(&(*module)->lock);
        free(*module);
    }
}

static bool text_dup(char **out, const char *text)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

/* Never RTLD_DEEPBIND: in a program that brings its own malloc, the module would allocate with one and free with the
 * other. RTLD_NODELETE, because vendors' libraries leave threads and exit handlers behind. */
static struct tok_result functions_of(CK_FUNCTION_LIST **out_functions, const char *path)
{
    CK_C_GetFunctionList get_list;
    void *library;
    void *symbol;
    CK_RV rv;

    library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL) {
        return tok_fail(TOK_CODE_MODULE_LOAD, "module '%s' can't be loaded: %s", path, dlerror());
    }
    symbol = dlsym(library, "C_GetFunctionList");
    if (symbol == NULL) {
        return tok_fail(TOK_CODE_MODULE_LOAD, "'%s' is no PKCS#11 module: it has no C_GetFunctionList", path);
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    rv = get_list(out_functions);
    if (rv != CKR_OK || *out_functions == NULL) {
        return tok_context(tok_fail_ckr("C_GetFunctionList", rv != CKR_OK ? rv : CKR_GENERAL_ERROR), "module '%s'",
                           path);
    }
    return tok_good();
}

struct tok_result tok_module_open(struct tok_module **out_module, const char *path, const char *name,
                                  const char *init_args)
{
    SCOPED(module_free) struct tok_module *module = calloc(1, sizeof(*module));

    if (module == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "module '%s'", path);
    }
    lock_init(&module->lock);
    if (!text_dup(&module->path, path) || !text_dup(&module->name, name) || !text_dup(&module->init_args, init_args)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "module '%s'", path);
    }
    TOK_TRY(functions_of(&module->functions, path));
    trace(TRACE_MODULE, "module: loaded '%s' (Cryptoki %u.%u)", path, module->functions->version.major,
          module->functions->version.minor);
    *out_module = STEAL(module);
    return tok_good();
}

/* The threads of a server share the module, so it must lock; it may use the system's locks. */
static CK_RV initialize(struct tok_module *module)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK, .pReserved = module->init_args };

    return TOK_CALL(module->functions, C_Initialize, &args);
}

/* start_claim takes the right to initialise. True if the caller has it; false with *out_result otherwise. */
static bool start_claim(struct tok_module *module, uint64_t deadline_us, struct tok_result *out_result)
{
    LOCKED(&module->lock);
    while (module->state == TOK_MODULE_STARTING) {
        if (!lock_wait(&module->lock, deadline_us) && module->state == TOK_MODULE_STARTING) {
            *out_result = tok_fail(TOK_CODE_DEADLINE,
                                   "module '%s': C_Initialize, called by another thread, has not returned",
                                   module->path);
            return false;
        }
    }
    if (module->state == TOK_MODULE_READY) {
        *out_result = tok_good();
        return false;
    }
    module->state = TOK_MODULE_STARTING;
    return true;
}

struct tok_result tok_module_start(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_result result;
    CK_RV rv;

    if (tok_inside_module()) {
        return tok_fail(TOK_CODE_RECURSION, "a module asked for a token key while it was being called itself");
    }
    if (process_exiting()) {
        return tok_fail(TOK_CODE_EXITING, "module '%s' is not used any more", module->path);
    }
    if (!start_claim(module, deadline_us, &result)) {
        return result;
    }
    rv = initialize(module);
    process_watch_exit(); /* after the module's own exit handlers are registered, so that ours runs first */
    {
        LOCKED(&module->lock);
        module->state = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? TOK_MODULE_READY : TOK_MODULE_IDLE;
        module->initialized_by_us = rv == CKR_OK;
        lock_wake(&module->lock);
    }
    if (rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        return tok_good();
    }
    return tok_context(tok_fail_ckr("C_Initialize", rv), "module '%s'", module->path);
}

void tok_module_lost(struct tok_module *module)
{
    LOCKED(&module->lock);
    if (module->state == TOK_MODULE_READY) {
        module->state = TOK_MODULE_IDLE;
    }
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        tok_token_lost(token, 0);
    }
}

struct tok_result tok_module_info(struct tok_module *module, CK_INFO *out_info)
{
    {
        LOCKED(&module->lock);
        if (module->has_info) {
            *out_info = module->info;
            return tok_good();
        }
    }
    TOK_TRY(tok_context(TOK_DO(module->functions, C_GetInfo, out_info), "module '%s'", module->path));
    LOCKED(&module->lock);
    module->info = *out_info;
    module->has_info = true;
    return tok_good();
}

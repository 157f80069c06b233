/* The first half of pkcs11/module/module.h: from a file to its functions. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/trace.h"
#include "pkcs11/module/module.h"

void tok_module_close(struct tok_module **module)
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

/* --- the lists of functions ----------------------------------------------------------------------------------------
 */

/* Without these a module is of no use; of any other, a call says CKR_FUNCTION_NOT_SUPPORTED. */
#define NEEDED(function)                                                                                               \
    {                                                                                                                  \
        offsetof(CK_FUNCTION_LIST, function), #function                                                                \
    }
static const struct {
    size_t offset;
    const char *name;
} needed[] = {
    NEEDED(C_Initialize),  NEEDED(C_GetSlotList),      NEEDED(C_GetTokenInfo),
    NEEDED(C_OpenSession), NEEDED(C_CloseSession),     NEEDED(C_FindObjectsInit),
    NEEDED(C_FindObjects), NEEDED(C_FindObjectsFinal), NEEDED(C_GetAttributeValue),
};

/* Lists differ by major versions, and by what comes at their end: that of 2.0 ends before C_WaitForSlotEvent, which we
 * have no use for. */
static struct tok_result functions_take(struct tok_module *module, const CK_FUNCTION_LIST *list)
{
    if (list->version.major != 2 && list->version.major != 3) {
        return tok_fail(TOK_CODE_MODULE_LOAD,
                        "module '%s' has functions of Cryptoki %u.%u, which is neither 2.x nor 3.x", module->path,
                        list->version.major, list->version.minor);
    }
    memcpy(&module->functions_2, list, offsetof(CK_FUNCTION_LIST, C_WaitForSlotEvent));
    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        void (*function)(void);

        memcpy(&function, (const char *)&module->functions_2 + needed[i].offset, sizeof(function));
        if (function == NULL) {
            return tok_fail(TOK_CODE_MODULE_LOAD, "module '%s' has no %s", module->path, needed[i].name);
        }
    }
    module->functions = &module->functions_2;
    return tok_good();
}

/* What PKCS#11 3.0 added, as far as it is used; nothing where the module has it not, or not whole. Asked for by
 * version, for modules that have several, and whatever they have first, for those whose only one is 3.2. */
static void messages_take(struct tok_module *module)
{
    CK_VERSION version = { 3, 0 };
    CK_VERSION *const asked[] = { &version, NULL };
    tok_get_interface *get = module->get_interface;

    for (size_t i = 0; get != NULL && module->messages == NULL && i < COUNT_OF(asked); i++) {
        struct tok_interface *found = NULL;
        const struct tok_functions_3 *functions;

        if (get((CK_BYTE *)"PKCS 11", asked[i], &found, 0) != CKR_OK || found == NULL || found->functions == NULL) {
            continue;
        }
        functions = found->functions;
        if (functions->base.version.major == 3 && functions->C_MessageSignInit != NULL &&
            functions->C_SignMessage != NULL && functions->C_MessageSignFinal != NULL) {
            module->functions_3 = *functions;
            module->messages = &module->functions_3;
        }
    }
}

/* --- the file ------------------------------------------------------------------------------------------------------
 */

/* Of a library for another machine, dlopen says that there is no such file. */
static struct tok_result not_loaded(const char *path, const char *why)
{
    bool foreign = access(path, F_OK) == 0 && strncmp(why, path, strlen(path)) == 0 &&
                   strstr(why + strlen(path), strerror(ENOENT)) != NULL;

    return tok_fail(TOK_CODE_MODULE_LOAD, "module '%s' can't be loaded: %s%s", path, why,
                    foreign ? " (the file is there, so it is for another architecture)" : "");
}

/* Loading runs the constructors of a module, which may take as long, fork, or come back to us, like any call into it:
 * so it is one.
 *
 * Never RTLD_DEEPBIND: in a program that brings its own malloc, the module would allocate with one and free with the
 * other. RTLD_NODELETE, because vendors' libraries leave threads and exit handlers behind. */
static struct tok_result load(struct tok_module *module, const char *path)
{
    struct tok_call call;
    void *library;
    void *symbol;

    if (!tok_call_begin(&call, "dlopen")) {
        return tok_fail(TOK_CODE_EXITING, "module '%s' is not used any more", path);
    }
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    tok_call_end(&call, library != NULL ? CKR_OK : CKR_GENERAL_ERROR);
    if (library == NULL) {
        return not_loaded(path, dlerror());
    }
    symbol = dlsym(library, "C_GetFunctionList");
    if (symbol == NULL) {
        return tok_fail(TOK_CODE_MODULE_LOAD, "'%s' is no PKCS#11 module: it has no C_GetFunctionList", path);
    }
    memcpy(&module->get_functions, &symbol, sizeof(symbol));
    symbol = dlsym(library, "C_GetInterface");
    memcpy(&module->get_interface, &symbol, sizeof(symbol));
    return tok_good();
}

struct tok_result tok_module_open(struct tok_module **out_module, const char *path, const char *name,
                                  const char *init_args)
{
    SCOPED(tok_module_close) struct tok_module *module = calloc(1, sizeof(*module));

    if (module == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "module '%s'", path);
    }
    lock_init(&module->lock);
    if (!text_dup(&module->path, path) || !text_dup(&module->name, name) || !text_dup(&module->init_args, init_args)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "module '%s'", path);
    }
    TOK_TRY(load(module, path));
    *out_module = STEAL(module);
    return tok_good();
}

struct tok_result tok_module_ask_functions(struct tok_module *module)
{
    CK_FUNCTION_LIST *list = NULL;
    struct tok_call call;
    CK_RV rv;

    if (!tok_call_begin(&call, "C_GetFunctionList")) {
        return tok_fail(TOK_CODE_EXITING, "module '%s' is not used any more", module->path);
    }
    rv = module->get_functions(&list);
    if (rv == CKR_OK) {
        messages_take(module);
    }
    tok_call_end(&call, rv);
    if (rv != CKR_OK || list == NULL) {
        return tok_context(tok_fail_ckr("C_GetFunctionList", rv != CKR_OK ? rv : CKR_GENERAL_ERROR), "module '%s'",
                           module->path);
    }
    TOK_TRY(functions_take(module, list));
    trace(TRACE_MODULE, "module: loaded '%s' (Cryptoki %u.%u)", module->path, module->functions->version.major,
          module->functions->version.minor);
    return tok_good();
}

#include "pkcs11/registry.h"

#include <limits.h>
#include <p11-kit/p11-kit.h>
#include <string.h>

#include "base/fork.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/token.h"

static struct lock registry_lock = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER };
static struct tok_module *modules; /* guarded by registry_lock, but for the child of a fork */

/* Around a fork every lock of this floor is held, so that the child gets whole lists; there it makes the locks anew and
 * forgets what belongs to its parent: initialisation, sessions, logins. */
static void registry_prepare(void)
{
    lock_take(&registry_lock);
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        lock_take(&module->lock);
        for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
            lock_take(&token->lock);
        }
    }
}

static void registry_parent(void)
{
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
            lock_give(&token->lock);
        }
        lock_give(&module->lock);
    }
    lock_give(&registry_lock);
}

static void registry_child(void)
{
    lock_init(&registry_lock);
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        tok_module_anew(module);
        for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
            tok_token_anew(token);
        }
    }
}

static void registry_arm_fork(void)
{
    (void)secret_locked(); /* arms the arena first: its lock is taken under a token's, so a fork must take it later */
    tok_gate_init(registry_prepare, registry_parent, registry_child);
}

static void registry_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, registry_arm_fork);
}

static bool list_add(struct tok_module_list *list, struct tok_module *module)
{
    struct tok_module **grown;

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i] == module) {
            return true;
        }
    }
    grown = reallocarray(list->items, list->count + 1, sizeof(struct tok_module *));
    if (grown == NULL) {
        return false;
    }
    list->items = grown;
    list->items[list->count++] = module;
    return true;
}

void tok_module_list_end(struct tok_module_list *list)
{
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

/* registry_get is the module behind a file, loaded once whatever name it goes by. */
static struct tok_result registry_get(struct tok_module **out_module, const char *path, const char *name,
                                      const char *init_args)
{
    char resolved[PATH_MAX];
    const char *canonical = strchr(path, '/') != NULL && realpath(path, resolved) != NULL ? resolved : path;
    struct tok_module *module;

    LOCKED(&registry_lock);
    for (module = modules; module != NULL && strcmp(module->path, canonical) != 0; module = module->next) {
    }
    if (module == NULL) {
        TOK_TRY(tok_module_open(&module, canonical, name, init_args));
        module->next = modules;
        modules = module;
    }
    *out_module = module;
    return tok_good();
}

/* collect puts a module into the list, or its failure into the list's trouble. */
static struct tok_result collect(struct tok_module_list *list, const char *path, const char *name,
                                 const char *init_args)
{
    struct tok_module *module = NULL;
    struct tok_result result = registry_get(&module, path, name, init_args);

    if (!tok_ok(&result)) {
        trace(TRACE_MODULE, "module: %s", result.message);
        if (tok_ok(&list->trouble)) {
            list->trouble = result;
        }
        return tok_good();
    }
    return list_add(list, module) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "listing modules");
}

/* p11-kit loads each module once to learn about it; ours stays loaded when p11-kit lets go. Trust modules hold no keys.
 */
static struct tok_result collect_registered(struct tok_module_list *list, const char *wanted, const char *init_args)
{
    CK_FUNCTION_LIST **known = p11_kit_modules_load(NULL, P11_KIT_MODULE_UNMANAGED);
    struct tok_result result = tok_good();
    bool found = false;

    for (size_t i = 0; known != NULL && known[i] != NULL && tok_ok(&result); i++) {
        SCOPED(scoped_free) char *name = p11_kit_module_get_name(known[i]);
        SCOPED(scoped_free) char *path = p11_kit_module_get_filename(known[i]);
        SCOPED(scoped_free) char *reserved = p11_kit_config_option(known[i], "x-init-reserved");
        bool named = wanted != NULL && name != NULL && strcmp(name, wanted) == 0;

        if (path != NULL &&
            (named || (wanted == NULL && !(p11_kit_module_get_flags(known[i]) & P11_KIT_MODULE_TRUSTED)))) {
            found = true;
            result = collect(list, path, name != NULL ? name : path, init_args != NULL ? init_args : reserved);
        }
    }
    if (known != NULL) {
        p11_kit_modules_release(known);
    }
    if (tok_ok(&result) && wanted != NULL && !found) {
        result = tok_fail(TOK_CODE_NO_MODULE,
                          "no module '%s' is registered with p11-kit (p11-kit list-modules shows the names; "
                          "a path needs a slash)",
                          wanted);
    }
    return result;
}

struct tok_result tok_registry_modules(struct tok_module_list *out_list, const char *names, const char *init_args)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .trouble = tok_good() };
    SCOPED(scoped_free) char *copy = names != NULL ? strdup(names) : NULL;
    char *rest = copy;
    char *item;

    registry_init();
    if (names != NULL && copy == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "listing modules");
    }
    if (names == NULL) {
        TOK_TRY(collect_registered(&list, NULL, init_args));
    }
    while (names != NULL && (item = text_next_item(&rest)) != NULL) {
        TOK_TRY(strchr(item, '/') != NULL ? collect(&list, item, item, init_args)
                                          : collect_registered(&list, item, init_args));
    }
    if (list.count == 0) {
        if (!tok_ok(&list.trouble)) {
            return list.trouble;
        }
        return tok_fail(TOK_CODE_NO_MODULE, "no PKCS#11 module is configured, and p11-kit has none registered");
    }
    *out_list = list;
    list.items = NULL;
    return tok_good();
}

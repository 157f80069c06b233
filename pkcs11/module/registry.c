#include "pkcs11/module/registry.h"

#include <limits.h>
#include <p11-kit/p11-kit.h>
#include <string.h>

#include "base/fork.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/trace.h"

static struct lock registry_lock;
static struct tok_module *modules; /* guarded by registry_lock, but for the child of a fork */

/* What a thread loads, outside the lock: a module's C_GetFunctionList may hang, and p11-kit calls those of all. */
struct loading {
    const char *what;
    uint64_t since_us;
    bool late; /* somebody's deadline has passed: nobody else waits */
    struct loading *next;
};

static struct loading *loadings; /* guarded by registry_lock; each is on its thread's stack */

/* Around a fork every lock of this floor is held, so that the child gets whole lists; there it makes the locks anew and
 * forgets what belongs to its parent: initialisation, sessions, logins. */
static void registry_prepare(void)
{
    lock_take(&registry_lock);
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        lock_take(&module->lock);
        if (module->tokens_fork != NULL) {
            module->tokens_fork->prepare(module);
        }
    }
}

static void registry_parent(void)
{
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        if (module->tokens_fork != NULL) {
            module->tokens_fork->parent(module);
        }
        lock_give(&module->lock);
    }
    lock_give(&registry_lock);
}

static void registry_child(void)
{
    lock_init(&registry_lock);
    loadings = NULL; /* those threads stayed behind */
    for (struct tok_module *module = modules; module != NULL; module = module->next) {
        tok_module_anew(module);
        if (module->tokens_fork != NULL) {
            module->tokens_fork->child(module);
        }
    }
}

static void registry_arm_fork(void)
{
    lock_init(&registry_lock);
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

/* --- loading ------------------------------------------------------------------------------------------------------ */

/* A load that a waiter's time ended with is to blame for it if it took as long as this. */
#define TOO_LONG_US (UINT64_C(100) * 1000)

/* Requires the lock. */
static struct loading *loading_of(const char *what)
{
    struct loading *busy = loadings;

    while (busy != NULL && strcmp(busy->what, what) != 0) {
        busy = busy->next;
    }
    return busy;
}

/* Requires the lock. Waits until nobody loads that. A thread that loads and comes back to us does not wait for itself.
 */
static struct tok_result loading_wait(const char *what, uint64_t deadline_us)
{
    struct loading *busy;

    while ((busy = loading_of(what)) != NULL) {
        uint64_t now;

        if (tok_inside_module()) {
            return tok_fail(TOK_CODE_RECURSION, "a module asked for a token key while it was being called itself");
        }
        if (!busy->late && lock_wait(&registry_lock, deadline_us)) {
            continue;
        }
        busy = loading_of(what);
        now = clock_us();
        if (busy != NULL) {
            busy->late = now - busy->since_us >= TOO_LONG_US;
            return tok_fail(TOK_CODE_DEADLINE,
                            "%s: C_GetFunctionList, called by another thread %.1f s ago, has not returned", what,
                            (double)(now - busy->since_us) / 1e6);
        }
    }
    return tok_good();
}

/* Requires the lock. */
static void loading_begin(struct loading *mine, const char *what)
{
    *mine = (struct loading){ what, clock_us(), false, loadings };
    loadings = mine;
}

/* Requires the lock. It is not among them any more in the child of a fork that the module itself made. */
static void loading_end(struct loading *mine)
{
    for (struct loading **link = &loadings; *link != NULL; link = &(*link)->next) {
        if (*link == mine) {
            *link = mine->next;
            break;
        }
    }
    lock_wake(&registry_lock);
}

/* Requires the lock. */
static struct tok_module *module_of(const char *path)
{
    struct tok_module *module = modules;

    while (module != NULL && strcmp(module->path, path) != 0) {
        module = module->next;
    }
    return module;
}

/* registry_get is the module behind a file, loaded once whatever name it goes by. */
static struct tok_result registry_get(struct tok_module **out_module, const char *path, const char *name,
                                      const char *init_args, uint64_t deadline_us)
{
    SCOPED(tok_module_close) struct tok_module *module = NULL;
    char resolved[PATH_MAX];
    const char *canonical = strchr(path, '/') != NULL && realpath(path, resolved) != NULL ? resolved : path;
    struct tok_result result;
    struct loading mine;

    LOCKED(&registry_lock);
    TOK_TRY(loading_wait(canonical, deadline_us));
    *out_module = module_of(canonical);
    if (*out_module != NULL) {
        return tok_good();
    }
    TOK_TRY(tok_module_open(&module, canonical, name, init_args));
    loading_begin(&mine, canonical);
    lock_give(&registry_lock);
    result = tok_module_ask_functions(module);
    lock_take(&registry_lock);
    loading_end(&mine);
    TOK_TRY(result);
    module->next = modules;
    modules = STEAL(module);
    *out_module = modules;
    return tok_good();
}

/* p11-kit's modules, once no other thread asks it for them: it holds a lock of its own while it calls each. */
static struct tok_result registered_load(CK_FUNCTION_LIST ***out_known, uint64_t deadline_us)
{
    struct loading mine;

    LOCKED(&registry_lock);
    TOK_TRY(loading_wait("p11-kit's modules", deadline_us));
    loading_begin(&mine, "p11-kit's modules");
    lock_give(&registry_lock);
    *out_known = p11_kit_modules_load(NULL, P11_KIT_MODULE_UNMANAGED);
    lock_take(&registry_lock);
    loading_end(&mine);
    return tok_good();
}

/* collect puts a module into the list, or its failure into the list's trouble. */
static struct tok_result collect(struct tok_module_list *list, const char *path, const char *name,
                                 const char *init_args, uint64_t deadline_us)
{
    struct tok_module *module = NULL;
    struct tok_result result = registry_get(&module, path, name, init_args, deadline_us);

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
static struct tok_result collect_registered(struct tok_module_list *list, const char *wanted, const char *init_args,
                                            uint64_t deadline_us)
{
    CK_FUNCTION_LIST **known = NULL;
    struct tok_result result = tok_good();
    bool found = false;

    TOK_TRY(registered_load(&known, deadline_us));
    for (size_t i = 0; known != NULL && known[i] != NULL && tok_ok(&result); i++) {
        SCOPED(scoped_free) char *name = p11_kit_module_get_name(known[i]);
        SCOPED(scoped_free) char *path = p11_kit_module_get_filename(known[i]);
        SCOPED(scoped_free) char *reserved = p11_kit_config_option(known[i], "x-init-reserved");
        bool named = wanted != NULL && name != NULL && strcmp(name, wanted) == 0;

        if (path != NULL &&
            (named || (wanted == NULL && !(p11_kit_module_get_flags(known[i]) & P11_KIT_MODULE_TRUSTED)))) {
            found = true;
            result =
                collect(list, path, name != NULL ? name : path, init_args != NULL ? init_args : reserved, deadline_us);
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

struct tok_result tok_registry_modules(struct tok_module_list *out_list, const char *names, const char *init_args,
                                       uint64_t deadline_us)
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
        TOK_TRY(collect_registered(&list, NULL, init_args, deadline_us));
    }
    while (names != NULL && (item = text_next_item(&rest)) != NULL) {
        TOK_TRY(strchr(item, '/') != NULL ? collect(&list, item, item, init_args, deadline_us)
                                          : collect_registered(&list, item, init_args, deadline_us));
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

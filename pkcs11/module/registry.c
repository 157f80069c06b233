#include "pkcs11/module/registry.h"

#include <limits.h>
#include <p11-kit/p11-kit.h>
#include <string.h>

#include "base/fork.h"
#include "base/text.h"
#include "base/trace.h"

static struct lock registry_lock;
static struct tok_module *modules; /* guarded by registry_lock, but for the child of a fork */

/* A file that some thread loads, or waits for. Its flight is on outside the lock. Guarded by registry_lock. */
struct loading {
    char *path;
    unsigned users; /* who loads, and who waits; the last one frees it */
    struct flight flight;
    struct loading *next;
};

static struct loading *loadings;

/* libc loads one file at a time, behind a lock of its own on which no deadline helps: whoever of us wants to load waits
 * here instead. What the application, or p11-kit, loads at that time can't be helped. Guarded by registry_lock. */
static struct flight opening;
static const char *opened; /* what it is on for; good while it is on */

/* p11-kit has a lock of its own, too, and calls modules while it holds that. Guarded by registry_lock. */
static struct flight asking;

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
    loadings = NULL; /* those threads stayed behind; one that forked while it was loading ends its own all the same */
    opening = asking = (struct flight){ .on = false };
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
    tok_gate_init();
    fork_handlers(FORK_REGISTRY, registry_prepare, registry_parent, registry_child);
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

/* Requires the lock. */
static struct tok_result wait_for(struct flight *flight, const char *what, uint64_t deadline_us)
{
    while (flight->on) {
        if (!flight_wait(flight, &registry_lock, deadline_us) && flight->on) {
            char why[160];
            struct text text = TEXT_OVER(why);

            flight_late(flight, &text);
            return tok_fail(TOK_CODE_DEADLINE, "%s: %s", flight == &opening ? opened : what, why);
        }
    }
    return tok_good();
}

/* Requires the lock. NULL: no memory. */
static struct loading *loading_get(const char *path)
{
    struct loading *loading = loadings;

    while (loading != NULL && strcmp(loading->path, path) != 0) {
        loading = loading->next;
    }
    if (loading == NULL) {
        loading = calloc(1, sizeof(*loading));
        if (loading == NULL || (loading->path = strdup(path)) == NULL) {
            free(loading);
            return NULL;
        }
        loading->next = loadings;
        loadings = loading;
    }
    loading->users++;
    return loading;
}

/* Requires the lock. It is not in the list any more in the child of a fork that the module itself made. */
static void loading_put(struct loading **loading)
{
    if (*loading == NULL || --(*loading)->users > 0) {
        return;
    }
    for (struct loading **link = &loadings; *link != NULL; link = &(*link)->next) {
        if (*link == *loading) {
            *link = (*loading)->next;
            break;
        }
    }
    free((*loading)->path);
    free(*loading);
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

/* Without the lock. */
static struct tok_result load(struct tok_module **out_module, const char *path, const char *name, const char *init_args,
                              uint64_t deadline_us)
{
    SCOPED(tok_module_close) struct tok_module *module = NULL;
    struct tok_result result;

    {
        LOCKED(&registry_lock);
        TOK_TRY(tok_context(wait_for(&opening, path, deadline_us), "module '%s' waits for another", path));
        flight_begin(&opening, tok_inside_here());
        opened = path;
    }
    result = tok_module_open(&module, path, name, init_args);
    {
        LOCKED(&registry_lock);
        flight_end(&opening, &registry_lock);
    }
    TOK_TRY(result);
    TOK_TRY(tok_module_ask_functions(module));
    *out_module = STEAL(module);
    return tok_good();
}

/* registry_get is the module behind a file, loaded once whatever name it goes by. */
static struct tok_result registry_get(struct tok_module **out_module, const char *path, const char *name,
                                      const char *init_args, uint64_t deadline_us)
{
    char resolved[PATH_MAX];
    const char *canonical = strchr(path, '/') != NULL && realpath(path, resolved) != NULL ? resolved : path;
    struct tok_module *module = NULL;
    struct tok_result result;

    LOCKED(&registry_lock);
    SCOPED(loading_put) struct loading *loading = loading_get(canonical);
    if (loading == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "module '%s'", path);
    }
    TOK_TRY(wait_for(&loading->flight, canonical, deadline_us));
    *out_module = module_of(canonical);
    if (*out_module != NULL) {
        return tok_good();
    }
    flight_begin(&loading->flight, tok_inside_here());
    lock_give(&registry_lock);
    result = load(&module, canonical, name, init_args, deadline_us);
    lock_take(&registry_lock);
    flight_end(&loading->flight, &registry_lock);
    TOK_TRY(result);
    module->next = modules;
    *out_module = modules = module;
    return tok_good();
}

/* --- p11-kit's modules -------------------------------------------------------------------------------------------- */

static struct tok_result asking_begin(uint64_t deadline_us)
{
    LOCKED(&registry_lock);
    TOK_TRY(wait_for(&asking, "p11-kit's modules", deadline_us));
    TOK_TRY(tok_context(wait_for(&opening, NULL, deadline_us), "p11-kit's modules wait for another"));
    flight_begin(&asking, tok_inside_here());
    return tok_good();
}

static void asking_end(void)
{
    LOCKED(&registry_lock);
    flight_end(&asking, &registry_lock);
}

/* What p11-kit knows of a module. */
struct registered {
    char *name;
    char *path;
    char *reserved;
    bool trust;
};

struct registered_list {
    CK_FUNCTION_LIST **known; /* p11-kit keeps their files loaded until it is given back */
    struct registered *items;
    size_t count;
};

/* Each question takes p11-kit's lock: all are asked at once. */
static bool registered_read(struct registered_list *list)
{
    size_t count = 0;

    list->known = p11_kit_modules_load(NULL, P11_KIT_MODULE_UNMANAGED);
    while (list->known != NULL && list->known[count] != NULL) {
        count++;
    }
    list->items = calloc(count + 1, sizeof(*list->items));
    for (size_t i = 0; list->items != NULL && i < count; i++) {
        list->items[i] =
            (struct registered){ p11_kit_module_get_name(list->known[i]), p11_kit_module_get_filename(list->known[i]),
                                 p11_kit_config_option(list->known[i], "x-init-reserved"),
                                 (p11_kit_module_get_flags(list->known[i]) & P11_KIT_MODULE_TRUSTED) != 0 };
        list->count++;
    }
    return list->items != NULL;
}

/* p11-kit loads each file and asks it for its functions, which is the modules' own code. */
static struct tok_result registered_load(struct registered_list *list, uint64_t deadline_us)
{
    struct tok_call call;
    bool is_read;

    TOK_TRY(asking_begin(deadline_us));
    if (!tok_call_begin(&call, "p11_kit_modules_load")) {
        asking_end();
        return tok_fail(TOK_CODE_EXITING, "p11-kit's modules are not used any more");
    }
    is_read = registered_read(list);
    tok_call_end(&call, CKR_OK);
    asking_end();
    return is_read ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "p11-kit's modules");
}

/* What can't be given back in time stays loaded. */
static void registered_give_back(struct registered_list *list, uint64_t deadline_us)
{
    struct tok_result result = asking_begin(deadline_us);

    if (tok_ok(&result)) {
        p11_kit_modules_release(list->known);
        asking_end();
    }
}

static void registered_end(struct registered_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].path);
        free(list->items[i].reserved);
    }
    free(list->items);
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

/* Ours stays loaded when p11-kit lets go. Trust modules hold no keys. */
static struct tok_result collect_known(struct tok_module_list *list, const struct registered_list *known,
                                       const char *wanted, const char *init_args, uint64_t deadline_us)
{
    bool found = false;

    for (size_t i = 0; i < known->count; i++) {
        const struct registered *item = &known->items[i];
        bool meant = wanted != NULL ? item->name != NULL && strcmp(item->name, wanted) == 0 : !item->trust;

        if (meant && item->path != NULL) {
            found = true;
            TOK_TRY(collect(list, item->path, item->name != NULL ? item->name : item->path,
                            init_args != NULL ? init_args : item->reserved, deadline_us));
        }
    }
    return wanted == NULL || found ? tok_good()
                                   : tok_fail(TOK_CODE_NO_MODULE,
                                              "no module '%s' is registered with p11-kit (p11-kit list-modules shows "
                                              "the names; a path needs a slash)",
                                              wanted);
}

static struct tok_result collect_registered(struct tok_module_list *list, const char *wanted, const char *init_args,
                                            uint64_t deadline_us)
{
    SCOPED(registered_end) struct registered_list known = { .known = NULL };
    struct tok_result result = registered_load(&known, deadline_us);

    if (tok_ok(&result)) {
        result = collect_known(list, &known, wanted, init_args, deadline_us);
    }
    if (known.known != NULL) {
        registered_give_back(&known, deadline_us);
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
    if (tok_inside_module()) { /* a module that uses libcrypto: while it is loaded, or called */
        return tok_fail(TOK_CODE_RECURSION, "a module asked for a token key while it was being called itself");
    }
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

/* The modules of this process: which ones a configuration means, each loaded once.
 *
 * A configuration names modules by path or by p11-kit's name, or means all that p11-kit has registered but for trust
 * modules. p11-kit only says which there are; loading and initialising is ours (pkcs11/module/module.h), because its
 * own initialisation passes no locking flags and its managed lists don't survive a fork. Owns all modules, for good. */
#ifndef SIGNET_PKCS11_MODULE_REGISTRY_H
#define SIGNET_PKCS11_MODULE_REGISTRY_H

#include <stddef.h>

#include "pkcs11/module/module.h"
#include "pkcs11/result/result.h"

struct tok_module_list {
    struct tok_module **items; /* borrowed from the registry */
    size_t count;
    struct tok_result trouble; /* the first module that could not be loaded, or good */
};

/* tok_registry_modules collects the modules that `names` means: comma-separated paths and p11-kit names, or NULL for
 * every registered one. `init_args` is pReserved for those named by path (NULL: none); p11-kit's own x-init-reserved
 * serves those it knows, unless init_args is given. A module that does not load is left out, and `trouble` says why; if
 * none is left, that is TOK_CODE_NO_MODULE or the trouble. A module that another thread is loading is waited for until
 * the deadline, and no longer than anybody has waited before. *out_list is ended by tok_module_list_end. */
TOK_RESULT tok_registry_modules(struct tok_module_list *out_list, const char *names, const char *init_args,
                                uint64_t deadline_us);
void tok_module_list_end(struct tok_module_list *list);

#endif

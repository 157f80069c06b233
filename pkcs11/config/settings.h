/* What an administrator decided, in this floor's terms. Filled by whoever reads a configuration
 * (provider/settings/config.c, src/), constant afterwards, and alive as long as anything that was loaded with it. */
#ifndef SIGNET_PKCS11_CONFIG_SETTINGS_H
#define SIGNET_PKCS11_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/config/pin.h"
#include "pkcs11/config/uri.h"

enum tok_login_policy { TOK_LOGIN_AUTO, TOK_LOGIN_ALWAYS, TOK_LOGIN_NEVER };
enum tok_require { TOK_REQUIRE_SENSITIVE = 1, TOK_REQUIRE_NON_EXTRACTABLE = 2, TOK_REQUIRE_LOCAL = 4 };

/* What to do where C_Initialize in a forked child says that the module is initialised already: it does not know of the
 * fork, and goes on with a copy of its parent's state. From the least careful to the most. */
enum tok_fork {
    TOK_FORK_UNSAID,
    TOK_FORK_SHARE,    /* use the copy: everything is in the process's own memory, random numbers are not repeated */
    TOK_FORK_FINALIZE, /* C_Finalize and C_Initialize in the child: that does not reach the parent */
    TOK_FORK_REFUSE,   /* neither: the child gets an error that says how to avoid it */
};

/* A token of which the configuration knows more than where to find it: `tokens = prod` and `token.prod.…`. */
struct tok_named_token {
    char *name;
    struct tok_uri *uri;        /* which token this is */
    char *modules;              /* NULL: as the general setting */
    struct tok_pin_source *pin; /* NULL: the general one */
    unsigned max_sessions;      /* 0: as the general setting */
    enum tok_fork fork;
};

/* What the floor above runs around work that it did not ask for (logins in a forked child); NULL: nothing. */
struct tok_quiet {
    void (*begin)(void *arg);
    void (*end)(void *arg);
    void *arg;
};

/* What that floor lends, for one search, to tell whose a public half is (pkcs11/object/half.h); lend is NULL: nothing. It
 * gives NULL without memory. */
struct tok_prover;
struct tok_lender {
    const struct tok_prover *(*lend)(void *arg);
    void (*take_back)(const struct tok_prover *prover);
    void *arg;
};

struct tok_settings {
    char *modules;   /* paths or p11-kit names, comma-separated; NULL: every module that p11-kit has registered */
    char *init_args; /* for C_Initialize's pReserved; NULL: p11-kit's x-init-reserved is left to p11-kit */
    struct tok_pin_source *pin;
    bool pin_last_try;
    struct tok_named_token *tokens;
    size_t num_tokens;
    enum tok_login_policy login;
    bool load_early;
    bool eager; /* a child of a fork reaches its tokens at once (pkcs11/key/child.h) */
    struct tok_quiet quiet;
    struct tok_lender prover;
    unsigned max_sessions;  /* 0: learnt from the token */
    unsigned idle_sessions; /* so many stay open though nobody needs them; 0: the default */
    unsigned workers;       /* at most so many threads for ASYNC jobs; 0: the default (pkcs11/work/worker.h) */
    bool never_reinit;      /* a module is never finalised */
    uint64_t deadline_us;
    unsigned require; /* bits of enum tok_require */
    bool trust_files;
};

/* tok_settings_init sets every default. */
void tok_settings_init(struct tok_settings *settings);
void tok_settings_end(struct tok_settings *settings);

#endif

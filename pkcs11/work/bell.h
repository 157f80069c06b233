/* A descriptor (an eventfd) that is readable once somebody has rung.
 *
 * Its owner makes it, waits for it in an event loop, and frees it when nobody rings any more. In the child of a fork
 * all are closed, since ringing there would wake the parent; who rings there does nothing. For pkcs11/work/crew.c and
 * provider/operations/async.c. */
#ifndef SIGNET_PKCS11_WORK_BELL_H
#define SIGNET_PKCS11_WORK_BELL_H

struct tok_bell;

/* tok_bell_new: NULL if the process has no descriptor, or no memory, to spare. */
struct tok_bell *tok_bell_new(void);
void tok_bell_free(struct tok_bell *bell);

/* tok_bell_fd is -1 in the child of the fork that closed it. */
int tok_bell_fd(const struct tok_bell *bell);
void tok_bell_ring(struct tok_bell *bell);
/* tok_bell_quiet makes it unreadable again. */
void tok_bell_quiet(struct tok_bell *bell);

#endif

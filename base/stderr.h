/* Whether descriptor 2 still is standard error.
 *
 * A program that becomes a daemon may close it, and open a database or a connection under its number: nothing may be
 * written there. What it is, is remembered once, early; it is not duplicated, since that would keep a terminal or a
 * pipe open which the program let go of. It counts as standard error as long as it is the same file, and where a
 * program has put its log there since: a file that is open for appending, or the pipe that is its standard output as
 * well. Where it was lost before we came: a file that is open for reading as well, a descriptor that closes with exec, and
 * a connection (but for the journal's) are never it. For base/trace.c, base/complain.c and whoever starts the process's use of us. */
#ifndef SIGNET_BASE_STDERR_H
#define SIGNET_BASE_STDERR_H

#include <stdbool.h>

/* stderr_remember: the first call of a process counts. */
void stderr_remember(void);
/* stderr_is_ours remembers if nobody has. Takes no lock. */
bool stderr_is_ours(void);

#endif

/* Where a path leads, if nobody but root and this process's user can make it lead elsewhere.
 *
 * A path that is checked and then followed again may lead somewhere else the second time: to a stranger's library that
 * root loads. So each folder, link and file on the way is looked at once, from the root down, and the result has no
 * links. Where every folder on it can be changed by root and ourselves alone, nobody else can put anything in the place
 * of what was checked, and the result may be opened by its name at any later time: which keeps a module's own name
 * ($ORIGIN, dladdr, what its vendor looks for), and needs no /proc. An access control list counts as its mask, which
 * the mode shows as the group's rights. For everybody; owns nothing. */
#ifndef SIGNET_BASE_PATH_H
#define SIGNET_BASE_PATH_H

#include <limits.h>
#include <stdbool.h>

#include "base/text.h"

/* path_resolve follows an absolute path. False, with the reason ("'/srv/x' belongs to user 1000", or errno's), where
 * somebody else may change a folder, a link or the file: its owner is neither root nor the process's user, or others
 * may write to it. A folder with the sticky bit (/tmp) may be everybody's, but what is in it must be ours. A group may
 * write if it is the process's own, and the process is not root's. What does not exist yet is no failure where only
 * root or ourselves can make it. */
bool path_resolve(char out[PATH_MAX], const char *path, struct text *why);

/* path_append opens a file for lines to be added at its end, and makes it if need be; devices and pipes may be
 * anybody's, and /dev/stderr what it is. -1 with the reason, likewise. */
int path_append(const char *path, struct text *why);

#endif

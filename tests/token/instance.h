/* A module that is loaded several times in a process, as copies of its file under other names, needs settings for each:
 * they stand in a file beside it, COPY.so.settings, as lines NAME=VALUE, and come before the environment's. For
 * token-counter.c and misbehave.c. */
#ifndef SIGNET_TESTS_INSTANCE_H
#define SIGNET_TESTS_INSTANCE_H

/* instance_setting is the setting's value, or NULL. It lives as long as the process. */
const char *instance_setting(const char *name);

#endif

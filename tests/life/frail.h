/* How a test makes an allocation of the provider fail: see frail.c. The functions are exported by frail.so. */
#ifndef SIGNET_TESTS_FRAIL_H
#define SIGNET_TESTS_FRAIL_H

/* frail_arm lets allocation `n` from now fail, counted from 1, and with `on` all that follow. */
typedef void frail_arm_fn(long n, int on);

/* frail_disarm ends that. Returns how many have failed, and in *out_what which function was the first of them. */
typedef long frail_disarm_fn(const char **out_what);

#endif

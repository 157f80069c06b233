/* What bytes of a fuzzer must not be able to do, whatever they name: write a trace into a file, run a program, load a
 * library, spend a day. Targets that link safe.c are linked with --wrap for these (tests/fuzz/local.mk), so that the
 * code under test stays as it is. */
#ifndef SIGNET_TESTS_FUZZ_SAFE_H
#define SIGNET_TESTS_FUZZ_SAFE_H

/* safe_begin, before each input: takes away what an earlier run of the process, or its environment, could add. */
void safe_begin(void);

#endif

/* The life of an application with keys on the hostile token: it lists and loads them, signs, decrypts, agrees on
 * secrets and shakes hands. What comes of each step is proved in software, with the keys behind the token. */
#ifndef SIGNET_TESTS_LIFE_H
#define SIGNET_TESTS_LIFE_H

#include <stddef.h>

enum outcome {
    LIFE_RIGHT,
    LIFE_FAILED, /* with an error on OpenSSL's queue */
    LIFE_MUTE,   /* without one */
    LIFE_WRONG   /* it went well, and the result is wrong */
};

/* life_files reads what the steps are proved with, from a folder that tests/hostile/setup.sh makes; before forks. */
int life_files(const char *folder);

extern const size_t life_num_steps;
const char *life_step_name(size_t step);
/* life_step does one. *text has what the error queue said, which is empty afterwards. */
enum outcome life_step(size_t step, char *text, size_t room);
/* What a step gives, of which only some lies of a token can be seen: a public key, a signature, a secret, or what is
 * proved by itself. */
enum gives { GIVES_KEY, GIVES_SIGNATURE, GIVES_SECRET, GIVES_PROOF };
enum gives life_step_gives(size_t step);
void life_end(void);

#endif

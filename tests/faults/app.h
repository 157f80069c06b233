/* An application with an EC key by URI, and an RSA key and an EC key for key agreement by file, as the fault tests use
 * it: libcrypto's public API and nothing else. Every step proves its result in software. */
#ifndef SIGNET_TESTS_APP_H
#define SIGNET_TESTS_APP_H

#include <openssl/evp.h>

/* The URI asks for module and slot, too, so that every question about tokens is asked. */
#define EC_URI                                                                                                         \
    "pkcs11:library-manufacturer=SoftHSM;slot-manufacturer=SoftHSM%20project;token=test;object=ec;type=private"

enum step { STEP_LOAD_EC, STEP_SIGN_EC, STEP_LOAD_RSA, STEP_DECRYPT_RSA, STEP_SIGN_RSA, STEP_AGREE, NUM_STEPS };

struct app {
    EVP_PKEY *ec; /* NULL until they could be loaded */
    EVP_PKEY *rsa;
    EVP_PKEY *agree;
};

/* What went wrong in a step: OpenSSL's queue as text, one line an error, the first error first. */
#define TROUBLE_SIZE 2048
struct trouble {
    char text[TROUBLE_SIZE];
    char first[TROUBLE_SIZE]; /* the first error's own text */
    int errors;
};

/* app_files names the folder with rsa.key, agree.key, ec.pub, rsa.pub, cipher, peer.pub and secret; once, before
 * threads. False if they can't be read. */
int app_files(const char *folder);

/* app_step does one step, loading the key first that it needs. True if it went well; else `trouble` tells. Either way
 * the queue is empty afterwards. */
int app_step(struct app *app, enum step step, struct trouble *trouble);
EVP_PKEY *app_load(const char *uri); /* by OSSL_STORE; NULL on failure */
const char *app_step_name(enum step step);
void app_end(struct app *app);

double seconds_now(void);

#endif

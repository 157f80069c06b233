#include "provider/files/prompt.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#define LONGEST_PIN 4096

static bool ask(void *varg, const char *what, struct secret *out_pin)
{
    const struct prov_prompt *prompt = varg;
    size_t len = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PASSPHRASE_PARAM_INFO, (char *)what, 0),
        OSSL_PARAM_construct_end(),
    };

    if (!secret_new(out_pin, LONGEST_PIN)) {
        return false;
    }
    /* Nothing is no PIN: to send it would cost a try. */
    if (!prompt->ask((char *)out_pin->data, out_pin->len, &len, params, prompt->arg) || len == 0 ||
        len > out_pin->len) {
        secret_end(out_pin);
        return false;
    }
    secret_shorten(out_pin, len);
    return true;
}

struct tok_pin_prompt prov_prompt_pin(struct prov_prompt *prompt)
{
    return (struct tok_pin_prompt){ .ask = prompt->ask == NULL ? NULL : ask, .arg = prompt };
}

/* hostile.c in front of soft-token.c, as a module (hostile.h has its settings). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostile.h"
#include "pkcs11/result/cryptoki.h"

#define EXPORT __attribute__((visibility("default")))
#define MOST_RECORDS 256

/* The token behind, whose entries have other names here (SOFT_ENTRY). */
extern CK_RV soft_get_function_list(CK_FUNCTION_LIST **list) __asm__("soft_C_GetFunctionList");
extern CK_RV soft_get_interface(CK_BYTE *name, CK_VERSION *version, struct tok_interface **out,
                                CK_FLAGS flags) __asm__("soft_C_GetInterface");

/* The names of these are given to the linker alone: headers of 3.0 declare them with types of their own. */
EXPORT CK_RV get_function_list(CK_FUNCTION_LIST **list) __asm__("C_GetFunctionList");
EXPORT CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct tok_interface **out,
                           CK_FLAGS flags) __asm__("C_GetInterface");

static CK_FUNCTION_LIST *front;
static struct tok_interface interface = { "PKCS 11", NULL, 0 };

__attribute__((constructor)) static void front_make(void)
{
    struct tok_interface *found = NULL;
    CK_FUNCTION_LIST *list;
    CK_VERSION version = { 3, 0 };

    (void)soft_get_function_list(&list);
    (void)soft_get_interface((CK_BYTE *)"PKCS 11", &version, &found, 0);
    front = hostile_list(list, found != NULL ? found->functions : NULL);
    interface.functions = hostile_list_3();
}

__attribute__((constructor)) static void program_read(void)
{
    const char *hex = getenv("SIGNET_TEST_HOSTILE");
    unsigned char bytes[MOST_RECORDS * HOSTILE_RECORD];
    size_t len = 0;
    unsigned byte;

    while (hex != NULL && len < sizeof(bytes) && sscanf(hex, "%2x", &byte) == 1) {
        bytes[len++] = (unsigned char)byte;
        hex += strlen(hex) < 2 ? 1 : 2;
    }
    hostile_drive(bytes, len);
}

CK_RV get_function_list(CK_FUNCTION_LIST **list)
{
    *list = front;
    return CKR_OK;
}

CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct tok_interface **out, CK_FLAGS flags)
{
    if (interface.functions == NULL || (name != NULL && strcmp((const char *)name, interface.name) != 0) ||
        (version != NULL && version->major != 3) || flags != 0) {
        return CKR_ARGUMENTS_BAD;
    }
    *out = &interface;
    return CKR_OK;
}

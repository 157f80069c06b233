#include "pkcs11/module/quirks.h"

#include <fnmatch.h>
#include <string.h>

static const struct tok_quirk rows[] = {
    /* Its random numbers are libcrypto's, which notices forks; all of its state is in the process, in files that it
     * opens for each use. Each C_Login writes token.object in place, and C_Initialize leaves out a token whose file it
     * can't read at that moment. C_Login reads it first, and compares the PIN with what it has read: without flags, or
     * a PIN, it has nothing to compare (2.6.1, Token::loginUser). */
    { "libsofthsm2.so*", "SoftHSM", TOK_FORK_SHARE, .start_may_miss = true,
      .pin_unseen = { CKR_GENERAL_ERROR, CKR_USER_PIN_NOT_INITIALIZED },
      .reason = "SoftHSM keeps its state in the process" },
    /* Its random generator does not notice a fork: parent and child sign different data with the same ECDSA nonce,
     * which gives the private key away. C_Finalize and C_Initialize seed it anew (tests/fork/nss.sh). */
    { "libsoftokn3.so*", "Mozilla Foundation", TOK_FORK_FINALIZE,
      .reason = "NSS would repeat its parent's random numbers" },
    /* Parent and child would talk to the TPM over one connection, and C_Finalize in the child unloads the parent's
     * keys. When the TPM, its simulator or its resource manager was restarted, every call is a GENERAL_ERROR, for it
     * never connects again by itself (tests/tokens/tpm.sh). */
    { "libtpm2_pkcs11.so*", "tpm2-software.github.io", TOK_FORK_REFUSE, .error_stays = true,
      .reason =
          "tpm2-pkcs11 shares its connection to the TPM with its parent, and C_Finalize would unload the parent's "
          "keys" },
    /* It asks pcscd, which looks for a card every 400 ms. A card that is pulled in the middle of a signature is
     * CKR_GENERAL_ERROR, and until pcscd knows better a C_Login that follows waits for good for a lock that was the
     * card's (0.23; tests/cards/piv.sh). It notices forks. */
    { "*opensc-pkcs11.so*", "OpenSC Project", TOK_FORK_REFUSE, .notices_ms = 600,
      .reason = "OpenSC shares its connection to the card" },
    /* C_Initialize in a child is good, and the child goes on with its parent's connection: each of them takes the
     * other's answers, and both die (0.4.1; tests/tokens/pkcs11-proxy.sh). C_Finalize would end it for both. */
    { "libpkcs11-proxy.so*", NULL, TOK_FORK_REFUSE, .forgets_fork = true,
      .reason = "pkcs11-proxy would talk to its daemon over its parent's connection" },
    /* Of a module that we don't know we don't know either whether it repeats random numbers or shares a connection. */
    { NULL, NULL, TOK_FORK_REFUSE,
      .reason = "a module that does not notice a fork may repeat its parent's random numbers, which can give private "
                "keys away, or share its connection" },
};

static bool says(const CK_UTF8CHAR *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    return size == len && memcmp(field, text, len) == 0;
}

static bool row_means(const struct tok_quirk *row, const char *path, const CK_INFO *info)
{
    const char *slash = strrchr(path, '/');

    if (row->file == NULL || fnmatch(row->file, slash != NULL ? slash + 1 : path, 0) == 0) {
        return true;
    }
    return info != NULL && row->manufacturer != NULL &&
           says(info->manufacturerID, sizeof(info->manufacturerID), row->manufacturer);
}

const struct tok_quirk *tok_quirk_of(const char *path, const CK_INFO *info)
{
    const struct tok_quirk *row = rows;

    while (!row_means(row, path, info)) {
        row++;
    }
    return row;
}

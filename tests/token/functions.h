/* The functions of Cryptoki, each as a row: name without its C_, parameters, and the arguments that hand them on.
 * What stands in front of a module is made from this table: the enumeration and the names of the counters (counts.h),
 * and the functions themselves (token-counter.c). CRYPTOKI_2_40 has all of the 2.40 list but C_GetFunctionList;
 * CRYPTOKI_3_0 has what 3.0 added but the two functions that give interfaces, in the order of its list. Needs no
 * Cryptoki header where only the names are used. */
#ifndef SIGNET_TESTS_FUNCTIONS_H
#define SIGNET_TESTS_FUNCTIONS_H

/* clang-format off */
#define CRYPTOKI_2_40(ROW) \
    ROW(Initialize, (void *args), (args)) \
    ROW(Finalize, (void *reserved), (reserved)) \
    ROW(GetInfo, (CK_INFO *info), (info)) \
    ROW(GetSlotList, (CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *num), (present, list, num)) \
    ROW(GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (SLOT(slot), info)) \
    ROW(GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (SLOT(slot), info)) \
    ROW(WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved), (flags, slot, reserved)) \
    ROW(GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *num), (SLOT(slot), list, num)) \
    ROW(GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info), (SLOT(slot), type, info)) \
    ROW(InitToken, (CK_SLOT_ID slot, CK_BYTE *pin, CK_ULONG pin_len, CK_BYTE *label), (SLOT(slot), pin, pin_len, label)) \
    ROW(InitPIN, (CK_SESSION_HANDLE s, CK_BYTE *pin, CK_ULONG pin_len), (s, pin, pin_len)) \
    ROW(SetPIN, (CK_SESSION_HANDLE s, CK_BYTE *old, CK_ULONG old_len, CK_BYTE *pin, CK_ULONG pin_len), \
        (s, old, old_len, pin, pin_len)) \
    ROW(OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *s), \
        (SLOT(slot), flags, app, notify, s)) \
    ROW(CloseSession, (CK_SESSION_HANDLE s), (s)) \
    ROW(CloseAllSessions, (CK_SLOT_ID slot), (SLOT(slot))) \
    ROW(GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO *info), (s, info)) \
    ROW(GetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *state, CK_ULONG *state_len), (s, state, state_len)) \
    ROW(SetOperationState, (CK_SESSION_HANDLE s, CK_BYTE *state, CK_ULONG state_len, \
         CK_OBJECT_HANDLE cipher_key, CK_OBJECT_HANDLE mac_key), \
        (s, state, state_len, cipher_key, mac_key)) \
    ROW(Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len), (s, user, pin, pin_len)) \
    ROW(Logout, (CK_SESSION_HANDLE s), (s)) \
    ROW(CreateObject, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *attrs, CK_ULONG num, CK_OBJECT_HANDLE *object), \
        (s, attrs, num, object)) \
    ROW(CopyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE from, CK_ATTRIBUTE *attrs, CK_ULONG num, \
         CK_OBJECT_HANDLE *object), \
        (s, from, attrs, num, object)) \
    ROW(DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object), (s, object)) \
    ROW(GetObjectSize, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ULONG *size), (s, object, size)) \
    ROW(GetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs, CK_ULONG num), \
        (s, object, attrs, num)) \
    ROW(SetAttributeValue, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs, CK_ULONG num), \
        (s, object, attrs, num)) \
    ROW(FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE *attrs, CK_ULONG num), (s, attrs, num)) \
    ROW(FindObjects, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *list, CK_ULONG most, CK_ULONG *num), \
        (s, list, most, num)) \
    ROW(FindObjectsFinal, (CK_SESSION_HANDLE s), (s)) \
    ROW(EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(Encrypt, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(EncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(EncryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *out_len), (s, out, out_len)) \
    ROW(DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(Decrypt, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(DecryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(DecryptFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *out_len), (s, out, out_len)) \
    ROW(DigestInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech), (s, mech)) \
    ROW(Digest, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(DigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len), (s, in, in_len)) \
    ROW(DigestKey, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key), (s, key)) \
    ROW(DigestFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *out_len), (s, out, out_len)) \
    ROW(SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(Sign, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(SignUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len), (s, in, in_len)) \
    ROW(SignFinal, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG *out_len), (s, out, out_len)) \
    ROW(SignRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(SignRecover, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(VerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(Verify, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *sig, CK_ULONG sig_len), \
        (s, in, in_len, sig, sig_len)) \
    ROW(VerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len), (s, in, in_len)) \
    ROW(VerifyFinal, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG sig_len), (s, sig, sig_len)) \
    ROW(VerifyRecoverInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(VerifyRecover, (CK_SESSION_HANDLE s, CK_BYTE *sig, CK_ULONG sig_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, sig, sig_len, out, out_len)) \
    ROW(DigestEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(DecryptDigestUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(SignEncryptUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(DecryptVerifyUpdate, (CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, in, in_len, out, out_len)) \
    ROW(GenerateKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_ATTRIBUTE *attrs, CK_ULONG num, \
         CK_OBJECT_HANDLE *key), \
        (s, mech, attrs, num, key)) \
    ROW(GenerateKeyPair, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_ATTRIBUTE *pub_attrs, CK_ULONG num_pub, \
         CK_ATTRIBUTE *priv_attrs, CK_ULONG num_priv, CK_OBJECT_HANDLE *pub, CK_OBJECT_HANDLE *priv), \
        (s, mech, pub_attrs, num_pub, priv_attrs, num_priv, pub, priv)) \
    ROW(WrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key, \
         CK_BYTE *out, CK_ULONG *out_len), \
        (s, mech, with, key, out, out_len)) \
    ROW(UnwrapKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE with, CK_BYTE *in, \
         CK_ULONG in_len, CK_ATTRIBUTE *attrs, CK_ULONG num, CK_OBJECT_HANDLE *key), \
        (s, mech, with, in, in_len, attrs, num, key)) \
    ROW(DeriveKey, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *attrs, \
         CK_ULONG num, CK_OBJECT_HANDLE *key), \
        (s, mech, base, attrs, num, key)) \
    ROW(SeedRandom, (CK_SESSION_HANDLE s, CK_BYTE *seed, CK_ULONG seed_len), (s, seed, seed_len)) \
    ROW(GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE *out, CK_ULONG out_len), (s, out, out_len)) \
    ROW(GetFunctionStatus, (CK_SESSION_HANDLE s), (s)) \
    ROW(CancelFunction, (CK_SESSION_HANDLE s), (s))

#define CRYPTOKI_3_0(ROW) \
    ROW(LoginUser, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len, CK_BYTE *name, \
         CK_ULONG name_len), \
        (s, user, pin, pin_len, name, name_len)) \
    ROW(SessionCancel, (CK_SESSION_HANDLE s, CK_FLAGS flags), (s, flags)) \
    ROW(MessageEncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(EncryptMessage, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *aad, CK_ULONG aad_len, \
         CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, param, param_len, aad, aad_len, in, in_len, out, out_len)) \
    ROW(EncryptMessageBegin, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *aad, CK_ULONG aad_len), \
        (s, param, param_len, aad, aad_len)) \
    ROW(EncryptMessageNext, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, \
         CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags), \
        (s, param, param_len, in, in_len, out, out_len, flags)) \
    ROW(MessageEncryptFinal, (CK_SESSION_HANDLE s), (s)) \
    ROW(MessageDecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(DecryptMessage, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *aad, CK_ULONG aad_len, \
         CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len), \
        (s, param, param_len, aad, aad_len, in, in_len, out, out_len)) \
    ROW(DecryptMessageBegin, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *aad, CK_ULONG aad_len), \
        (s, param, param_len, aad, aad_len)) \
    ROW(DecryptMessageNext, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, \
         CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len, CK_FLAGS flags), \
        (s, param, param_len, in, in_len, out, out_len, flags)) \
    ROW(MessageDecryptFinal, (CK_SESSION_HANDLE s), (s)) \
    ROW(MessageSignInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(SignMessage, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len, \
         CK_BYTE *sig, CK_ULONG *sig_len), \
        (s, param, param_len, in, in_len, sig, sig_len)) \
    ROW(SignMessageBegin, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len), (s, param, param_len)) \
    ROW(SignMessageNext, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len, \
         CK_BYTE *sig, CK_ULONG *sig_len), \
        (s, param, param_len, in, in_len, sig, sig_len)) \
    ROW(MessageSignFinal, (CK_SESSION_HANDLE s), (s)) \
    ROW(MessageVerifyInit, (CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key), (s, mech, key)) \
    ROW(VerifyMessage, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len, \
         CK_BYTE *sig, CK_ULONG sig_len), \
        (s, param, param_len, in, in_len, sig, sig_len)) \
    ROW(VerifyMessageBegin, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len), (s, param, param_len)) \
    ROW(VerifyMessageNext, (CK_SESSION_HANDLE s, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len, \
         CK_BYTE *sig, CK_ULONG sig_len), \
        (s, param, param_len, in, in_len, sig, sig_len)) \
    ROW(MessageVerifyFinal, (CK_SESSION_HANDLE s), (s))
/* clang-format on */

#endif

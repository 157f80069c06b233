# The token's side. Links p11-kit for URIs and the registry of modules, and nothing of OpenSSL.
noinst_LTLIBRARIES += libtok.la
libtok_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
libtok_la_LIBADD = libbase.la $(P11KIT_LIBS) -ldl
libtok_la_SOURCES = \
    pkcs11/result/cryptoki.h \
    pkcs11/result/result.h pkcs11/result/result.c \
    pkcs11/result/ckr.h pkcs11/result/ckr.c \
    pkcs11/config/uri.h pkcs11/config/uri-parts.h pkcs11/config/uri-attribute.c pkcs11/config/uri-query.c \
    pkcs11/config/uri-parse.c pkcs11/config/uri.c \
    pkcs11/config/pin.h pkcs11/config/pin-parts.h pkcs11/config/pin-read.c pkcs11/config/pin-exec.c pkcs11/config/pin-check.c pkcs11/config/pin.c \
    pkcs11/config/settings.h pkcs11/config/settings.c \
    pkcs11/module/module.h pkcs11/module/load.c pkcs11/module/module.c \
    pkcs11/module/registry.h pkcs11/module/registry.c \
    pkcs11/module/quirks.h pkcs11/module/quirks.c \
    pkcs11/module/health.h pkcs11/module/health.c \
    pkcs11/token/token.h pkcs11/token/token.c \
    pkcs11/token/again.h pkcs11/token/again.c \
    pkcs11/token/tries.h pkcs11/token/tries.c \
    pkcs11/token/tie.h pkcs11/token/tie.c \
    pkcs11/token/login.h pkcs11/token/login.c \
    pkcs11/token/session.h pkcs11/token/session.c \
    pkcs11/token/pool.h pkcs11/token/pool.c \
    pkcs11/token/message.h pkcs11/token/message.c \
    pkcs11/object/derive.h pkcs11/object/derive.c \
    pkcs11/module/call.h pkcs11/module/call.c pkcs11/module/answer.h pkcs11/module/answer.c \
    pkcs11/object/mech.h pkcs11/object/mech.c \
    pkcs11/object/attr.h pkcs11/object/attr.c \
    pkcs11/object/object.h pkcs11/object/object.c \
    pkcs11/object/half.h pkcs11/object/half.c pkcs11/object/proof.h pkcs11/object/proof.c \
    pkcs11/recover/attempts.h pkcs11/recover/attempts.c \
    pkcs11/recover/recover.h pkcs11/recover/recover.c \
    pkcs11/key/child.h pkcs11/key/child.c \
    pkcs11/key/aim.h pkcs11/key/aim.c \
    pkcs11/key/find.h pkcs11/key/find-tokens.c pkcs11/key/find.c \
    pkcs11/key/replica.h pkcs11/key/replica.c \
    pkcs11/key/key.h pkcs11/key/key-parts.h pkcs11/key/key.c pkcs11/key/key-operate.c pkcs11/key/key-run.c pkcs11/key/key-by-half.c pkcs11/key/key-renamed.c \
    pkcs11/work/bell.h pkcs11/work/bell.c \
    pkcs11/work/request.h pkcs11/work/request.c \
    pkcs11/work/lane.h pkcs11/work/lane.c \
    pkcs11/work/crew.h pkcs11/work/crew.c \
    pkcs11/work/worker.h pkcs11/work/worker.c pkcs11/work/submit.c

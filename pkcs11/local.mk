# The token's side. Links p11-kit for URIs and the registry of modules, and nothing of OpenSSL.
noinst_LTLIBRARIES += libtok.la
libtok_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
libtok_la_LIBADD = libbase.la $(P11KIT_LIBS) -ldl
libtok_la_SOURCES = \
    pkcs11/cryptoki.h \
    pkcs11/result.h pkcs11/result.c \
    pkcs11/ckr.h pkcs11/ckr.c \
    pkcs11/uri.h pkcs11/uri_parts.h pkcs11/uri-parse.c pkcs11/uri-query.c pkcs11/uri.c \
    pkcs11/pin.h pkcs11/pin_parts.h pkcs11/pin-read.c pkcs11/pin-exec.c pkcs11/pin.c \
    pkcs11/settings.h pkcs11/settings.c \
    pkcs11/module.h pkcs11/module.c \
    pkcs11/registry.h pkcs11/registry.c \
    pkcs11/quirks.h pkcs11/quirks.c \
    pkcs11/breaker.h pkcs11/breaker.c \
    pkcs11/token.h pkcs11/token.c \
    pkcs11/tries.h pkcs11/tries.c \
    pkcs11/login.h pkcs11/login.c \
    pkcs11/session.h pkcs11/session.c \
    pkcs11/pool.h pkcs11/pool.c \
    pkcs11/message.h pkcs11/message.c \
    pkcs11/derive.h pkcs11/derive.c \
    pkcs11/call.h pkcs11/call.c \
    pkcs11/mech.h pkcs11/mech.c \
    pkcs11/attr.h pkcs11/attr.c \
    pkcs11/object.h pkcs11/object.c \
    pkcs11/attempts.h pkcs11/attempts.c \
    pkcs11/recover.h pkcs11/recover.c \
    pkcs11/child.h pkcs11/child.c \
    pkcs11/find.h pkcs11/find-tokens.c pkcs11/find.c \
    pkcs11/replica.h pkcs11/replica.c \
    pkcs11/key.h pkcs11/key_parts.h pkcs11/key.c pkcs11/key-operate.c \
    pkcs11/bell.h pkcs11/bell.c \
    pkcs11/request.h pkcs11/request.c \
    pkcs11/lane.h pkcs11/lane.c \
    pkcs11/house.h pkcs11/house.c \
    pkcs11/worker.h pkcs11/worker.c pkcs11/submit.c

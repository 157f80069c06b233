noinst_LTLIBRARIES += libbase.la
libbase_la_SOURCES = \
    base/scoped.h \
    base/bytes.h base/bytes.c \
    base/text.h base/text.c \
    base/value.h base/value.c \
    base/secret.h base/secret.c \
    base/lock.h base/lock.c \
    base/flight.h base/flight.c \
    base/pause.h \
    base/path.h base/path.c \
    base/stderr.h base/stderr.c \
    base/complain.h base/complain.c \
    base/fork.h base/fork.c \
    base/thread.h base/thread.c \
    base/siphash.h base/siphash.c \
    base/shared.h base/shared.c \
    base/trace.h base/trace.c

/* Traces: one line an event, for people who look for a fault. Off at the cost of one load and one branch.
 *
 *     signet[1234.5678] 12.345678 session: opened session 3 on token 'prod'
 *
 * Areas are bits, so that `trace = stderr:session,login` prints two of them. A trace never holds a secret, a PIN, a
 * digest or a plain text. Traces go to stderr or to a file opened once with O_APPEND|O_CLOEXEC. For everybody; owns the
 * descriptor. */
#ifndef SIGNET_BASE_TRACE_H
#define SIGNET_BASE_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>

enum trace_area {
    TRACE_CONFIG = 1 << 0,
    TRACE_MODULE = 1 << 1,
    TRACE_TOKEN = 1 << 2,
    TRACE_LOGIN = 1 << 3,
    TRACE_SESSION = 1 << 4,
    TRACE_FIND = 1 << 5,
    TRACE_KEY = 1 << 6,
    TRACE_STORE = 1 << 7,
    TRACE_CALLS = 1 << 8,
    TRACE_ERROR = 1 << 9,
};

extern _Atomic unsigned trace_areas; /* the bits that are on */

/* trace_set turns traces on as a setting says: "stderr", "file:PATH", either followed by ":AREA,AREA" (for a file the
 * last colon counts when only area names follow it), or "off". False when the text makes no sense or the file can't be
 * opened; then `*out_why` is a text that lasts until this thread's next call. The last call in a process wins.
 */
bool trace_set(const char *setting, const char **out_why);
const char *trace_area_names(void); /* "config, module, ..." for messages and the man page */

__attribute__((format(printf, 2, 3))) void trace_print(enum trace_area area, const char *format, ...);

/* trace_is_on, for what is only worked out to be traced. */
static inline bool trace_is_on(enum trace_area area)
{
    return (atomic_load_explicit(&trace_areas, memory_order_relaxed) & (unsigned)area) != 0;
}

#define trace(area, ...)                                                                                               \
    do {                                                                                                               \
        if (trace_is_on(area)) {                                                                                       \
            trace_print((area), __VA_ARGS__);                                                                          \
        }                                                                                                              \
    } while (0)

#endif

/* Cleanup by scope. A local that owns something names its end where it is declared, so that every `return` is a clean
 * one:
 *
 *     SCOPED(bytes_end) struct bytes id = { 0 };
 *
 * The end function gets a pointer to the local and must accept its zero state. Moving ownership out has a name, too:
 * STEAL(x) yields x and leaves the zero state behind. For everybody; owns nothing. */
#ifndef SIGNET_BASE_SCOPED_H
#define SIGNET_BASE_SCOPED_H

#include <stdlib.h>

#define SCOPED(end) __attribute__((cleanup(end)))

#define STEAL(variable)                                                                                                \
    ({                                                                                                                 \
        __typeof__(variable) stolen_ = (variable);                                                                     \
        (variable) = (__typeof__(variable)){ 0 };                                                                      \
        stolen_;                                                                                                       \
    })

#define MUST_CHECK __attribute__((warn_unused_result))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* For locals of type `char *` and other malloc'd memory. */
static inline void scoped_free(void *pointer_to_pointer)
{
    if (*(void **)pointer_to_pointer != NULL) { /* often there is nothing, on the path of every signature */
        free(*(void **)pointer_to_pointer);
    }
}

#endif

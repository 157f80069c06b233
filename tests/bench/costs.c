/* What Signet asks of the C library, counted: preloaded into a program, it counts the calls that come from signet.so
 * alone, and adds a line with them to the file that SIGNET_TEST_COSTS names when the program ends. */
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COSTS(COST) COST(locks) COST(clocks) COST(allocations) COST(frees) COST(empty_frees) COST(signal_calls)
#define AS_COUNTER(name) static _Atomic unsigned long name;
COSTS(AS_COUNTER)

static uintptr_t from, to; /* where signet.so is; 0: not loaded yet */

static int note_signet(struct dl_phdr_info *info, size_t size, void *unused)
{
    const char *name = strrchr(info->dlpi_name, '/');

    (void)size;
    (void)unused;
    for (int i = 0; name != NULL && strcmp(name, "/signet.so") == 0 && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0) {
            from = info->dlpi_addr + header->p_vaddr;
            to = from + header->p_memsz;
        }
    }
    return from != 0;
}

#define IS_OURS() (from != 0 && (uintptr_t)__builtin_return_address(0) - from < to - from)
#define NEXT(name)                                                                                                     \
    static __typeof__(&name) next;                                                                                     \
    if (next == NULL) {                                                                                                \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                             \
    }

#pragma GCC visibility push(default) /* for the loader, which puts these in place of the C library's */

/* The loader tells where signet.so is when the provider calls dlopen, which it does for the token's module. */
void *dlopen(const char *file, int flags)
{
    void *library;

    NEXT(dlopen)
    library = next(file, flags);
    dl_iterate_phdr(note_signet, NULL);
    return library;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    NEXT(pthread_mutex_lock)
    locks += IS_OURS();
    return next(mutex);
}

int clock_gettime(clockid_t which, struct timespec *out)
{
    NEXT(clock_gettime)
    clocks += IS_OURS();
    return next(which, out);
}

int sigaction(int number, const struct sigaction *act, struct sigaction *old)
{
    NEXT(sigaction)
    signal_calls += IS_OURS();
    return next(number, act, old);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    NEXT(pthread_sigmask)
    signal_calls += IS_OURS();
    return next(how, set, old);
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    NEXT(sigtimedwait)
    signal_calls += IS_OURS();
    return next(set, info, timeout);
}

/* glibc's own names, for dlsym allocates before it has found the others. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t number, size_t size);
extern void __libc_free(void *memory);

void *malloc(size_t size)
{
    allocations += IS_OURS();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    allocations += IS_OURS();
    return __libc_calloc(number, size);
}

void free(void *memory)
{
    frees += IS_OURS();
    empty_frees += IS_OURS() && memory == NULL;
    __libc_free(memory);
}

#pragma GCC visibility pop

__attribute__((destructor)) static void report(void)
{
    const char *name = getenv("SIGNET_TEST_COSTS");
    FILE *file = name != NULL ? fopen(name, "ae") : NULL;

    if (file != NULL) {
#define AS_TEXT(cost) fprintf(file, #cost "=%lu ", cost);
        COSTS(AS_TEXT)
        fprintf(file, "\n");
        fclose(file);
    }
}

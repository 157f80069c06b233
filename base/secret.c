#include "base/secret.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"

/* The arena: maps of pages, each a row of granules. A secret takes consecutive granules; a row of flags says which are
 * taken. What does not fit an ordinary map gets one of its own, which goes with it. */
#define GRANULE 64
#define GRANULES 256 /* of an ordinary map: four pages */

struct map {
    struct map *next;
    uint8_t *base;
    size_t granules;
    bool locked;
    uint8_t taken[]; /* one a granule: 0 free, 1 taken */
};

static struct lock arena_lock;
static struct map *maps; /* guarded by arena_lock */

static bool map_lock(struct map *map)
{
    map->locked = mlock(map->base, map->granules * GRANULE) == 0;
    return map->locked;
}

/* Locks on memory are not inherited. */
static void arena_child(void)
{
    for (struct map *map = maps; map != NULL; map = map->next) {
        (void)map_lock(map);
    }
}

static void arena_begin(void)
{
    fork_lock(FORK_ARENA, &arena_lock, arena_child);
}

static void arena_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, arena_begin);
}

static size_t granules_for(size_t len)
{
    return (len + 1 + GRANULE - 1) / GRANULE; /* one more byte for the terminator */
}

static struct map *map_new(size_t granules)
{
    struct map *map = calloc(1, sizeof(*map) + granules);
    void *base;

    if (map == NULL) {
        return NULL;
    }
    base = mmap(NULL, granules * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        free(map);
        return NULL;
    }
    map->base = base;
    map->granules = granules;
    (void)madvise(base, granules * GRANULE, MADV_DONTDUMP);
    (void)map_lock(map);
    return map;
}

/* Requires arena_lock. First fit; NULL if the map has no room. */
static uint8_t *map_take(struct map *map, size_t wanted)
{
    size_t run = 0;

    for (size_t i = 0; i < map->granules; i++) {
        run = map->taken[i] ? 0 : run + 1;
        if (run == wanted) {
            memset(map->taken + i + 1 - wanted, 1, wanted);
            return map->base + (i + 1 - wanted) * GRANULE;
        }
    }
    return NULL;
}

static uint8_t *arena_take(size_t len)
{
    size_t wanted = granules_for(len);
    struct map *map;

    LOCKED(&arena_lock);
    for (map = maps; map != NULL; map = map->next) {
        uint8_t *data = map_take(map, wanted);

        if (data != NULL) {
            return data;
        }
    }
    map = map_new(wanted > GRANULES ? wanted : GRANULES);
    if (map == NULL) {
        return NULL;
    }
    map->next = maps;
    maps = map;
    return map_take(map, wanted);
}

static bool map_holds_secrets(const struct map *map)
{
    return memchr(map->taken, 1, map->granules) != NULL;
}

/* Requires arena_lock. */
static void map_drop(struct map **link)
{
    struct map *map = *link;

    *link = map->next;
    (void)munmap(map->base, map->granules * GRANULE);
    free(map);
}

static void arena_give(uint8_t *data, size_t len)
{
    struct map **link = &maps;

    LOCKED(&arena_lock);
    while (data < (*link)->base || data >= (*link)->base + (*link)->granules * GRANULE) {
        link = &(*link)->next;
    }
    memset((*link)->taken + (size_t)(data - (*link)->base) / GRANULE, 0, granules_for(len));
    if ((*link)->granules > GRANULES && !map_holds_secrets(*link)) {
        map_drop(link);
    }
}

bool secret_new(struct secret *secret, size_t len)
{
    uint8_t *data;

    arena_init();
    if (len > SIZE_MAX - 2 * GRANULE) {
        return false;
    }
    data = arena_take(len);
    if (data == NULL) {
        return false;
    }
    memset(data, 0, len + 1);
    secret_end(secret);
    secret->data = data;
    secret->len = len;
    return true;
}

bool secret_set(struct secret *secret, const void *data, size_t len)
{
    struct secret copy = { 0 };

    if (!secret_new(&copy, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(copy.data, data, len);
    }
    secret_end(secret);
    *secret = copy;
    return true;
}

void secret_shorten(struct secret *secret, size_t len)
{
    size_t before = granules_for(secret->len);
    size_t after = granules_for(len);

    secret_wipe(secret->data + len, secret->len - len);
    secret->len = len;
    if (after < before) {
        arena_give(secret->data + after * GRANULE, (before - after) * GRANULE - 1);
    }
}

void secret_end(struct secret *secret)
{
    if (secret->data != NULL) {
        secret_wipe(secret->data, secret->len);
        arena_give(secret->data, secret->len);
    }
    secret->data = NULL;
    secret->len = 0;
}

bool secret_exists(const struct secret *secret)
{
    return secret->data != NULL;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    uint8_t differ = 0;

    if (!secret_exists(a) || !secret_exists(b) || a->len != b->len) {
        return false;
    }
    for (size_t i = 0; i < a->len; i++) {
        differ |= (uint8_t)(a->data[i] ^ b->data[i]);
    }
    return differ == 0;
}

bool secret_locked(void)
{
    bool locked = true;

    arena_init();
    LOCKED(&arena_lock);
    for (struct map *map = maps; map != NULL; map = map->next) {
        locked = locked && (map->locked || !map_holds_secrets(map));
    }
    return locked;
}

void secret_wipe(void *data, size_t len)
{
    if (len > 0) {
        explicit_bzero(data, len);
    }
}

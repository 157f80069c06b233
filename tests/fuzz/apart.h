/* An input in a process of its own, for what remembers: a registry of modules, tokens that refused. What the child
 * reached counts as reached, since it hands its counters back. A child that ends badly ends its parent. */
#ifndef SIGNET_TESTS_FUZZ_APART_H
#define SIGNET_TESTS_FUZZ_APART_H

#include <stddef.h>
#include <stdint.h>

void apart(void (*run)(const uint8_t *data, size_t size), const uint8_t *data, size_t size);

#endif

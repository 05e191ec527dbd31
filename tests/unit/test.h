// What all tests of the data plane include.

#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// A small generator (splitmix64), so that a failure can be repeated by its seed.
struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)(random_next(random) % limit);
}

static inline void random_fill(struct random *random, void *data, size_t size)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)random_next(random);
}

// From SLUICE_TEST_SEED, or the clock. The test prints it when it fails.
static inline uint64_t random_seed(void)
{
	const char *text = getenv("SLUICE_TEST_SEED");
	struct timespec time;

	if (text)
		return strtoull(text, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

// Fails with a line that says where in a table of cases.
#define check_case(condition, ...)                                             \
	do {                                                                   \
		if (!(condition)) {                                            \
			print_error(__VA_ARGS__);                              \
			fail_msg("%s:%d: %s", __FILE__, __LINE__, #condition); \
		}                                                              \
	} while (0)

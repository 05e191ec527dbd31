// The longest prefix that holds an address, against looking at all of them.

#include "test.h"

#include <stdlib.h>

#include "base/prefix_map.h"

enum {
	PREFIXES = 400,
	ROUNDS = 200,
	QUESTIONS = 300
};

// Few bits vary, so that prefixes nest, touch and are there twice; all ends of the numbers occur.
static struct ip_address random_address(struct random *random)
{
	static const uint8_t bytes[] = {0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff};
	struct ip_address address;

	for (unsigned int i = 0; i < 16; i++)
		address.bytes[i] = bytes[random_below(random, sizeof(bytes))];
	if (random_below(random, 2))
		return ip_from_v4(address.words[3]);
	// In few networks.
	if (random_below(random, 2))
		memset(address.bytes, 0xff, 6);
	return address;
}

static struct ip_prefix random_prefix(struct random *random)
{
	struct ip_prefix prefix = {.address = random_address(random)};
	uint32_t least = ip_is_v4(&prefix.address) ? 96 : 0;

	prefix.length = (uint8_t)(least + random_below(random, 129 - least));
	for (unsigned int bit = prefix.length; bit < 128; bit++)
		prefix.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	// What was wide enough to be it looks like the other family.
	if (least == 0 && ip_is_v4(&prefix.address))
		prefix.address.bytes[0] = 0x20;
	return prefix;
}

static int compare(const void *a, const void *b)
{
	return prefix_compare(a, b);
}

static uint32_t make_prefixes(struct random *random, struct ip_prefix *prefixes, uint32_t most)
{
	uint32_t count = random_below(random, most + 1), kept = 0;

	for (uint32_t i = 0; i < count; i++)
		prefixes[i] = random_prefix(random);
	qsort(prefixes, count, sizeof(*prefixes), compare);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || prefix_compare(&prefixes[kept - 1], &prefixes[i]) != 0)
			prefixes[kept++] = prefixes[i];
	return kept;
}

// The longest one of those shorter than `below`.
static uint32_t find(const struct ip_prefix *prefixes, uint32_t count,
		     const struct ip_address *address, int below)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
		if (prefixes[i].length < below && ip_in_prefix(address, &prefixes[i]) &&
		    (!found || prefixes[i].length > prefixes[found - 1].length))
			found = i + 1;
	return found;
}

static void test_longest(void **state)
{
	static struct ip_prefix prefixes[PREFIXES];
	static uint32_t outer[PREFIXES];
	uint64_t seed = random_seed();
	struct random random = {seed};

	print_message("seed %#lx\n", seed);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t count =
			make_prefixes(&random, prefixes, random_below(&random, 2) ? PREFIXES : 5);
		struct prefix_map map = {0};

		assert_true(prefix_map_build(&map, prefixes, count, outer));
		for (uint32_t i = 0; i < count; i++)
			assert_int_equal(outer[i], find(prefixes, count, &prefixes[i].address,
							prefixes[i].length));
		for (uint32_t i = 0; i < QUESTIONS; i++) {
			struct ip_address address = random_address(&random);

			// The ends of a prefix, or anywhere.
			if (count && random_below(&random, 2)) {
				const struct ip_prefix *at =
					&prefixes[random_below(&random, count)];

				address = at->address;
				for (unsigned int bit = at->length; i % 2 && bit < 128; bit++)
					address.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
			}
			assert_int_equal(prefix_map_find(&map, &address),
					 find(prefixes, count, &address, 129));
		}
		prefix_map_free(&map);
	}
}

// More than two levels of lines, of both families.
static void test_many(void **state)
{
	enum {
		COUNT = 20000
	};
	struct ip_prefix *prefixes = calloc(COUNT, sizeof(*prefixes));
	uint32_t *outer = calloc(COUNT, sizeof(*outer));
	struct prefix_map map = {0};

	for (uint32_t i = 0; i < COUNT; i++) {
		prefixes[i] =
			(struct ip_prefix){.address = ip_from_v4(htonl(i << 8)), .length = 124};
		if (i >= COUNT / 2)
			prefixes[i] = (struct ip_prefix){
				.address = {.words = {htonl(0x20010db8), htonl(i), 0, 0}},
				.length = 64};
	}
	assert_true(prefix_map_build(&map, prefixes, COUNT, outer));
	for (uint32_t i = 0; i < COUNT; i++) {
		struct ip_address address = prefixes[i].address;

		assert_int_equal(prefix_map_find(&map, &address), i + 1);
		address.bytes[15] |= 15;
		assert_int_equal(prefix_map_find(&map, &address), i + 1);
		if (i < COUNT / 2) {
			address.bytes[15] = 16;
			assert_int_equal(prefix_map_find(&map, &address), 0);
		}
		assert_int_equal(outer[i], 0);
	}
	prefix_map_free(&map);
	free(prefixes);
	free(outer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

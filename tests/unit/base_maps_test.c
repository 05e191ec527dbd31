// The lookup map against a plain array, and the order in which numbers are given out.

#include "test.h"

#include "base/lookup.h"
#include "base/numbers.h"

#define KEYS 5000

static struct lookup_key some_key(uint32_t i)
{
	// As they are in use: small numbers and structured addresses.
	struct ip_address address = ip_from_v4(htonl(0x0a000000 + i / 3));

	return lookup_key_address(i % 3, &address);
}

static void test_lookup(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	static uint32_t model[KEYS];
	struct lookup lookup = {.count = 0}, copy = {.count = 0};
	uint32_t different = 0;

	assert_int_equal(lookup_find(&lookup, some_key(0)), 0);
	for (unsigned int step = 0; step < 20000; step++) {
		uint32_t i = random_below(&random, KEYS), value = 1 + random_below(&random, 1000);

		assert_true(lookup_add(&lookup, some_key(i), value));
		different += model[i] == 0;
		model[i] = value;
		i = random_below(&random, KEYS);
		if (random_below(&random, 3)) {
			lookup_remove(&lookup, some_key(i));
			different -= model[i] != 0;
			model[i] = 0;
		}
		i = random_below(&random, KEYS);
		check_case(lookup_find(&lookup, some_key(i)) == model[i], "seed %#lx, step %u\n",
			   seed, step);
		assert_int_equal(lookup.count, different);
	}
	assert_true(lookup_copy(&copy, &lookup));
	for (uint32_t i = 0; i < KEYS; i++) {
		assert_int_equal(lookup_find(&lookup, some_key(i)), model[i]);
		lookup_remove(&lookup, some_key(i));
	}
	assert_int_equal(lookup.count, 0);
	for (uint32_t i = 0; i < KEYS; i++)
		assert_int_equal(lookup_find(&copy, some_key(i)), model[i]);
	lookup_free(&lookup);
	lookup_free(&copy);
	lookup_remove(&lookup, some_key(0));
	assert_int_equal(lookup_find(&lookup, some_key(0)), 0);
	lookup_free(&lookup);
}

// Probes stay short for keys as they are in use: half of the places are free.
static void test_lookup_spread(void **state)
{
	struct lookup lookup = {.count = 0};
	uint32_t longest = 0, run = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		struct mac_address mac = {
			{0x52, 0x54, 0, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};

		assert_true(lookup_add(&lookup, lookup_key_mac(7, &mac), i + 1));
	}
	for (uint32_t i = 0; i <= lookup.mask; i++) {
		run = lookup.entries[i].value ? run + 1 : 0;
		if (run > longest)
			longest = run;
	}
	check_case(longest < 200, "a run of %u entries\n", longest);
	lookup_free(&lookup);
}

static void name_of(char name[16], uint32_t i)
{
	snprintf(name, 16, "name-%u", i);
}

static void test_numbers(void **state)
{
	struct numbers numbers;
	char name[16];

	assert_true(numbers_open(&numbers, 2, 5));
	assert_int_equal(numbers_find(&numbers, "name-0"), 0);
	for (uint32_t i = 0; i < 4; i++) {
		name_of(name, i);
		assert_int_equal(numbers_get(&numbers, name), 2 + i);
		assert_int_equal(numbers_get(&numbers, name), 2 + i);
		assert_int_equal(numbers_find(&numbers, name), 2 + i);
	}
	// Full: no more, and the others stay.
	assert_int_equal(numbers_get(&numbers, "another"), 0);
	assert_int_equal(numbers_find(&numbers, "another"), 0);
	assert_int_equal(numbers_find(&numbers, "name-3"), 5);
	// What is not met ends, its number comes back.
	numbers_begin(&numbers);
	assert_int_equal(numbers_get(&numbers, "name-1"), 3);
	assert_int_equal(numbers_get(&numbers, "name-3"), 5);
	numbers_end(&numbers);
	assert_int_equal(numbers_find(&numbers, "name-0"), 0);
	assert_int_equal(numbers_find(&numbers, "name-3"), 5);
	// 2 and 4 are free.
	assert_int_equal(numbers_get(&numbers, "another") + numbers_get(&numbers, "name-0"), 6);
	assert_int_equal(numbers_get(&numbers, "one more"), 0);
	numbers_close(&numbers);
}

// A number is given out again as late as possible: all others come before it.
static void test_numbers_reuse(void **state)
{
	struct numbers numbers;
	char name[16];
	uint32_t last = 0;

	assert_true(numbers_open(&numbers, 1, 100));
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t number;

		numbers_begin(&numbers);
		name_of(name, i);
		number = numbers_get(&numbers, name);
		numbers_end(&numbers);
		assert_int_equal(number, last % 100 + 1);
		last = number;
	}
	numbers_close(&numbers);
}

static bool is_meant(const void *context, uint32_t number)
{
	return number == *(const uint32_t *)context;
}

// Nor is one that something still means.
static void test_numbers_meant(void **state)
{
	struct numbers numbers;
	uint32_t meant = 2;

	assert_true(numbers_open(&numbers, 1, 3));
	numbers.is_meant = is_meant;
	numbers.context = &meant;
	assert_int_equal(numbers_get(&numbers, "a"), 1);
	assert_int_equal(numbers_get(&numbers, "b"), 3);
	assert_int_equal(numbers_get(&numbers, "c"), 0);
	// Who has it keeps it.
	assert_int_equal(numbers_get(&numbers, "b"), 3);
	meant = 3;
	assert_int_equal(numbers_get(&numbers, "c"), 2);
	assert_int_equal(numbers_get(&numbers, "b"), 3);
	numbers_close(&numbers);
}

// Names come and go at random; whoever stays keeps the number, nobody shares one.
static void test_numbers_stay(void **state)
{
	enum {
		NAMES = 300,
		MAX = 200
	};
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct numbers numbers;
	uint32_t have[NAMES] = {0};

	assert_true(numbers_open(&numbers, 1, MAX));
	for (unsigned int round = 0; round < 500; round++) {
		bool taken[MAX + 1] = {false};

		numbers_begin(&numbers);
		for (uint32_t i = 0; i < NAMES; i++) {
			bool wanted = random_below(&random, 3) != 0;
			char name[16];

			name_of(name, i);
			if (!wanted) {
				have[i] = 0;
				continue;
			}
			uint32_t number = numbers_get(&numbers, name);

			check_case(!have[i] || number == have[i], "seed %#lx, round %u, name %u\n",
				   seed, round, i);
			check_case(!number || !taken[number], "seed %#lx, round %u, number %u\n",
				   seed, round, number);
			taken[number] = true;
			have[i] = number;
		}
		numbers_end(&numbers);
		for (uint32_t i = 0; i < NAMES; i++) {
			char name[16];

			name_of(name, i);
			assert_int_equal(numbers_find(&numbers, name), have[i]);
		}
	}
	numbers_close(&numbers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),	      cmocka_unit_test(test_lookup_spread),
		cmocka_unit_test(test_numbers),	      cmocka_unit_test(test_numbers_reuse),
		cmocka_unit_test(test_numbers_meant), cmocka_unit_test(test_numbers_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

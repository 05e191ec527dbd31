// The token bucket against one that counts in fractions.

#include "test.h"

#include "base/rate_limit.h"

static void test_burst_and_rate(void **state)
{
	struct rate_limit limit = {0};
	uint64_t now = 123456789;
	uint32_t taken = 0;

	for (unsigned int i = 0; i < 100; i++)
		taken += rate_limit_take(&limit, now, 1000, 10);
	assert_int_equal(taken, 10);
	assert_false(rate_limit_take(&limit, now + 999, 1000, 10));
	assert_true(rate_limit_take(&limit, now + 1000, 1000, 10));
	assert_false(rate_limit_take(&limit, now + 1001, 1000, 10));
	// However long the pause, no more than the burst is saved.
	now += UINT64_C(1) << 50;
	taken = 0;
	for (unsigned int i = 0; i < 100; i++)
		taken += rate_limit_take(&limit, now, 1000, 10);
	assert_int_equal(taken, 10);
}

// All of them or none.
static void test_several(void **state)
{
	struct rate_limit limit = {0};
	uint64_t now = 123456789;

	assert_false(rate_limit_take_several(&limit, now, 1000, 10, 11));
	assert_true(rate_limit_take_several(&limit, now, 1000, 10, 7));
	assert_false(rate_limit_take_several(&limit, now, 1000, 10, 4));
	assert_true(rate_limit_take_several(&limit, now, 1000, 10, 3));
	assert_false(rate_limit_take_several(&limit, now + 1999, 1000, 10, 2));
	assert_true(rate_limit_take_several(&limit, now + 2000, 1000, 10, 2));
}

static void test_against_model(void **state)
{
	uint64_t seed = random_seed(), now = 1;
	struct random random = {seed};

	for (unsigned int round = 0; round < 50; round++) {
		uint64_t interval = 1 + random_below(&random, 5000);
		uint32_t burst = 1 + random_below(&random, 50);
		struct rate_limit limit = {0};
		double tokens = burst;
		uint64_t last = now;

		for (unsigned int i = 0; i < 2000; i++) {
			bool expected;

			now += random_below(&random, (uint32_t)(2 * interval));
			tokens += (double)(now - last) / (double)interval;
			last = now;
			if (tokens > burst)
				tokens = burst;
			expected = tokens >= 1 - 1e-9;
			check_case(rate_limit_take(&limit, now, interval, burst) == expected,
				   "seed %#lx, round %u, step %u\n", seed, round, i);
			tokens -= expected;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

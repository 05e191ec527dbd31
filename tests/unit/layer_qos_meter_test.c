// Meters against made-up clocks: rate, burst, colours, several at once.

#include <pthread.h>

#include "test.h"

#include "layer/qos/meter.h"

#define HZ UINT64_C(2500000000)

static uint64_t at(double seconds)
{
	return meter_now((uint64_t)(seconds * (double)HZ));
}

// Of what is dropped rather than to wait.
static enum meter_colour take(struct meter *meter, const struct meter_profile *profile,
			      uint64_t now, uint32_t bytes, uint32_t first)
{
	uint64_t wait = 0;
	enum meter_colour colour = meter_take(meter, profile, now, bytes, first, &wait);

	assert_int_equal(wait, 0);
	return colour;
}

// Bytes that pass in `seconds`, of packets of `size` that come `gap` seconds apart.
static uint64_t pass(struct meter *meter, const struct meter_profile *profile, double start,
		     double seconds, double gap, uint32_t size, uint32_t first)
{
	uint64_t bytes = 0;

	for (double now = 0; now < seconds; now += gap)
		if (take(meter, profile, at(start + now), size, first) == METER_GREEN)
			bytes += size;
	return bytes;
}

static struct meter_profile simple(uint64_t rate, uint64_t burst)
{
	return (struct meter_profile){.committed = bucket_profile_make(rate, burst, HZ)};
}

static void test_burst(void **state)
{
	struct meter_profile profile = simple(1000000, 15000);
	struct meter meter = {0};
	unsigned int taken = 0;

	for (unsigned int i = 0; i < 100; i++)
		taken += take(&meter, &profile, at(1), 1500, 1500) == METER_GREEN;
	assert_int_equal(taken, 10);
	// 12 ms for one more.
	assert_int_equal(take(&meter, &profile, at(1.0119), 1500, 1500), METER_RED);
	assert_int_equal(take(&meter, &profile, at(1.0121), 1500, 1500), METER_GREEN);
	// However long the pause, no more than the burst is saved.
	taken = 0;
	for (unsigned int i = 0; i < 100; i++)
		taken += take(&meter, &profile, at(86400 * 365.), 1500, 1500) == METER_GREEN;
	assert_int_equal(taken, 10);
}

// From slow to fast, and with small and large packets, the rate is kept.
static void test_rates(void **state)
{
	static const struct {
		uint64_t rate;
		uint32_t size;
	} cases[] = {{8000, 100},	   {1000000, 1500},    {100000000, 64},
		     {10000000000, 1500},  {400000000000, 64}, {400000000000, 9000},
		     {40000000000, 65000}, {100000000, 65000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double rate = (double)cases[i].rate / 8, size = cases[i].size;
		uint64_t burst = cases[i].size * 10;
		struct meter_profile profile = simple(cases[i].rate, burst);
		// Twice as much as is let through.
		double gap = size / rate / 2, seconds = gap * 200000;
		struct meter meter = {0};
		double passed = (double)pass(&meter, &profile, 3, seconds, gap, cases[i].size,
					     cases[i].size);

		assert_true(passed < rate * seconds * 1.001 + (double)burst);
		assert_true(passed > rate * seconds * 0.9995);
	}
}

// What is larger than the burst passes when the bucket is full, and is paid for.
static void test_large_sends(void **state)
{
	struct meter_profile profile = simple(8000000, 3000);
	struct meter meter = {0};

	assert_int_equal(take(&meter, &profile, at(1), 60000, 1500), METER_GREEN);
	assert_int_equal(take(&meter, &profile, at(1.058), 60000, 1500), METER_RED);
	assert_int_equal(take(&meter, &profile, at(1.0586), 60000, 1500), METER_GREEN);
	// A packet that is never cut, and larger than the bucket, waits until that is full.
	assert_int_equal(take(&meter, &profile, at(1.1199), 9000, 9000), METER_RED);
	assert_int_equal(take(&meter, &profile, at(1.1201), 9000, 9000), METER_GREEN);
	meter = (struct meter){0};
	double passed = (double)pass(&meter, &profile, 1, 10, 0.001, 60000, 1500);
	assert_true(passed > 9940000 && passed < 10070000);
}

static void test_given_back(void **state)
{
	struct meter_profile profile = simple(8000, 3000);
	struct meter meter = {0};

	for (unsigned int i = 0; i < 1000; i++) {
		assert_int_equal(take(&meter, &profile, at(1), 3000, 3000), METER_GREEN);
		meter_give(&meter, &profile, METER_GREEN, 3000);
	}
	assert_int_equal(take(&meter, &profile, at(1), 3000, 3000), METER_GREEN);
	assert_int_equal(take(&meter, &profile, at(1), 100, 100), METER_RED);
}

// A policy that changes leaves no debt behind that its new limit could not have made.
static void test_other_profile(void **state)
{
	struct meter_profile slow = simple(8000, 60000), fast = simple(1000000000, 20000);
	struct meter meter = {0};

	assert_int_equal(take(&meter, &slow, at(1), 60000, 60000), METER_GREEN);
	assert_int_equal(take(&meter, &fast, at(1.0001), 1500, 1500), METER_RED);
	// As an empty one, from its next packet on.
	assert_true(pass(&meter, &fast, 1.0002, 0.01, 0.00001, 1500, 1500) > 1200000);
}

// RFC 2698: red over the peak, yellow over the rate.
static void test_two_rates(void **state)
{
	struct meter_profile profile = simple(1000000, 10000);
	struct meter meter = {0};
	unsigned int colours[3] = {0};

	profile.outer = bucket_profile_make(2000000, 5000, HZ);
	// 4 Mbit/s.
	for (unsigned int i = 0; i < 40000; i++)
		colours[take(&meter, &profile, at(1 + i * 0.002), 1000, 1000)]++;
	assert_in_range(colours[METER_GREEN], 9990, 10030);
	assert_in_range(colours[METER_YELLOW], 9970, 10030);
	assert_in_range(colours[METER_RED], 19950, 20050);
	// A burst is bounded by the peak's.
	colours[METER_GREEN] = 0;
	for (unsigned int i = 0; i < 20; i++)
		colours[take(&meter, &profile, at(1000), 1000, 1000)]++;
	assert_int_equal(colours[METER_GREEN], 5);
}

// RFC 2697, section 3, counted as it is written there.
static void test_single_rate(void **state)
{
	struct meter_profile profile = simple(1000000, 10000);
	struct meter meter = {0};
	double c = 10000, e = 20000, last = 1;
	uint32_t random = 7;

	profile.outer = bucket_profile_make(1000000, 30000, HZ);
	profile.single_rate = true;
	for (unsigned int i = 0; i < 100000; i++) {
		enum meter_colour expected = METER_RED;
		double now, filled, slack;
		uint32_t size;

		random = random * 1664525 + 1013904223;
		size = 64 + (random >> 16) % 1400;
		// Now and then a pause.
		now = last + (random >> 8) % 1000 * 0.00001 + (i % 97 == 0 ? 0.2 : 0);
		filled = (now - last) * 125000;
		slack = filled > 10000 - c ? filled - (10000 - c) : 0;
		c = c + filled > 10000 ? 10000 : c + filled;
		e = e + slack > 20000 ? 20000 : e + slack;
		last = now;
		if (c >= size + 0.01) {
			expected = METER_GREEN;
			c -= size;
		} else if (c >= size - 0.01 || (e >= size - 0.01 && e < size + 0.01)) {
			// Too near to be told: begin anew.
			meter = (struct meter){0};
			c = 10000;
			e = 20000;
			continue;
		} else if (e >= size) {
			expected = METER_YELLOW;
			e -= size;
		}
		assert_int_equal(take(&meter, &profile, at(now), size, size), expected);
	}
}

// What waits goes one packet behind the other, at the rate, until too much does so.
static void test_waiting(void **state)
{
	struct meter_profile profile = simple(8000000, 10000);
	struct meter meter = {0};
	unsigned int taken = 0;

	profile.committed.wait = at(0.02);
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t wait = 0;

		if (meter_take(&meter, &profile, at(1), 1000, 1000, &wait) == METER_RED)
			continue;
		taken++;
		if (i < 10)
			assert_int_equal(wait, 0);
		else
			assert_in_range(wait, at(0.0009999 * (i - 9)), at(0.0010001 * (i - 9)));
	}
	assert_in_range(taken, 29, 30);
}

// Acknowledgements pass a queue that is full, and count: but not without end.
static void test_acknowledgements(void **state)
{
	struct meter_profile profile = simple(8000000, 10000);
	struct meter meter = {0};
	unsigned int taken = 0;
	uint64_t wait = 0;

	profile.committed.wait = at(0.02);
	while (meter_take(&meter, &profile, at(1), 60000, 1400, &wait) == METER_GREEN)
		;
	for (unsigned int i = 0; i < 4000; i++)
		taken += meter_take(&meter, &profile, at(1), 50, 0, &wait) == METER_GREEN;
	assert_in_range(taken, 500, 1970);
	// 30000 bytes wait at most, a large send and 96 KiB of acknowledgements are owed then.
	assert_int_equal(meter_take(&meter, &profile, at(1.06), 1400, 1400, &wait), METER_RED);
	assert_int_equal(meter_take(&meter, &profile, at(1.2), 1400, 1400, &wait), METER_GREEN);
}

#define THREADS 4
#define TAKES	200000

struct shared {
	struct meter meter;
	struct meter_profile profile;
	_Atomic uint64_t taken;
};

static void *take_many(void *argument)
{
	struct shared *shared = argument;
	uint64_t taken = 0;

	for (unsigned int i = 0; i < TAKES; i++)
		taken += take(&shared->meter, &shared->profile, at(1), 100, 100) == METER_GREEN;
	atomic_fetch_add(&shared->taken, taken);
	return NULL;
}

// Several workers together get what one would.
static void test_threads(void **state)
{
	static struct shared shared;
	pthread_t threads[THREADS];

	shared.profile = simple(1000000000, 10000000);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, &shared), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_in_range(shared.taken, 99999, 100000);
}

// The short way takes what the long one does, or nothing.
static void test_take_now(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};

	for (uint32_t round = 0; round < 200; round++) {
		struct meter_profile profile =
			simple((uint64_t)1000000 << random_below(&random, 18),
			       1500 + random_below(&random, 50000));
		struct meter meter = {0}, other = {0};
		bool alone = random_below(&random, 2);
		uint64_t now = at(1);
		uint32_t passed = 0;

		profile.committed.alone = alone;
		for (uint32_t i = 0; i < 500; i++) {
			uint32_t bytes = 40 + random_below(&random, 1461);
			uint64_t cost = bucket_cost(&profile.committed, bytes);
			enum meter_colour colour = take(&meter, &profile, now, bytes, bytes);
			bool taken = bucket_take_now(&other.committed, profile.committed.depth,
						     alone, now, cost);

			check_case(taken == (colour == METER_GREEN), "seed %#lx, round %u\n", seed,
				   round);
			passed += taken;
			now += random_below(&random, 3) * cost;
		}
		assert_true(passed > 0);
		assert_int_equal(meter.committed.full_at, other.committed.full_at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst),	   cmocka_unit_test(test_take_now),
		cmocka_unit_test(test_rates),	   cmocka_unit_test(test_large_sends),
		cmocka_unit_test(test_given_back), cmocka_unit_test(test_other_profile),
		cmocka_unit_test(test_two_rates),  cmocka_unit_test(test_single_rate),
		cmocka_unit_test(test_waiting),	   cmocka_unit_test(test_acknowledgements),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

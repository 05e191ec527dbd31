// Who is busy for a good part of the time stays awake without packets, who shares its CPU does not.

#include "test.h"

#include "worker/awake.h"

#define MICROSECOND 2000

struct play {
	struct awake awake;
	uint64_t now;
};

static struct play begin(void)
{
	return (struct play){.awake = {.microsecond = MICROSECOND}};
}

// Turns with packets and without, each so long, until so much time has passed; in microseconds.
static void turns(struct play *play, uint32_t busy, uint32_t quiet, uint32_t quiet_turn,
		  uint32_t time)
{
	uint64_t end = play->now + (uint64_t)time * MICROSECOND;

	while (play->now < end) {
		play->now += (uint64_t)busy * MICROSECOND;
		play->awake.busy += (uint64_t)busy * MICROSECOND;
		awake_turn(&play->awake, play->now, 0);
		for (uint32_t i = 0; i < quiet; i += quiet_turn) {
			play->now += (uint64_t)quiet_turn * MICROSECOND;
			awake_turn(&play->awake, play->now, (uint64_t)quiet_turn * MICROSECOND);
		}
	}
}

static bool stays(const struct play *play, uint32_t waited)
{
	return awake_stays(&play->awake, (uint64_t)waited * MICROSECOND);
}

static void test_busy(void **state)
{
	struct play play = begin();

	assert_false(stays(&play, 0));
	turns(&play, 40, 60, 1, 2 * AWAKE_WINDOW);
	assert_true(stays(&play, 0));
	assert_true(stays(&play, AWAKE_PATIENCE - 1));
	assert_false(stays(&play, AWAKE_PATIENCE));
}

static void test_little_to_do(void **state)
{
	struct play play = begin();

	turns(&play, 10, 90, 1, 2 * AWAKE_WINDOW);
	assert_false(stays(&play, 0));
}

// It ends with the stream.
static void test_ends(void **state)
{
	struct play play = begin();

	turns(&play, 40, 60, 1, 2 * AWAKE_WINDOW);
	assert_true(stays(&play, 0));
	turns(&play, 0, 100, 1, 2 * AWAKE_WINDOW);
	assert_false(stays(&play, 0));
}

// Others get a slice of the scheduler's now and then.
static void test_shared(void **state)
{
	struct play play = begin();

	turns(&play, 3000, 3000, 3000, 2 * AWAKE_WINDOW);
	assert_false(stays(&play, 0));
	// For a while, even if they are not seen then: it sleeps meanwhile.
	turns(&play, 40, 60, 1, AWAKE_WINDOW * AWAKE_SHY / 2);
	assert_false(stays(&play, 0));
	turns(&play, 40, 60, 1, AWAKE_WINDOW * (AWAKE_SHY / 2 + 2));
	assert_true(stays(&play, 0));
}

// Who takes the CPU for a moment each second wants no more than that.
static void test_interrupted(void **state)
{
	struct play play = begin();

	for (unsigned int second = 0; second < 5; second++) {
		turns(&play, 40, 60, 1, 1000000);
		assert_true(stays(&play, 0));
		turns(&play, 0, 1000, 1000, 1000);
		assert_true(stays(&play, 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy),	    cmocka_unit_test(test_little_to_do),
		cmocka_unit_test(test_ends),	    cmocka_unit_test(test_shared),
		cmocka_unit_test(test_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// When a node is silent, against made-up clocks.

#include "test.h"

#include "layer/tunnel/hearing.h"

#define ROUND	 3
#define PATIENCE (HEARING_ROUNDS * ROUND + 1)
#define START	 1000

// Each second of these is asked, as one worker does it; in how many is it silent?
static uint32_t await(struct hearing *hearing, uint32_t from, uint32_t to)
{
	uint32_t silent = 0;

	for (uint32_t now = from; now < to; now++)
		silent += hearing_await(hearing, now, now - 1);
	return silent;
}

static void test_two_words_may_be_lost(void **state)
{
	struct hearing hearing = {.told = false};
	uint32_t now = START;

	for (unsigned int i = 0; i < 5; i++, now += 3 * ROUND) {
		hearing_heard(&hearing, now, ROUND);
		assert_int_equal(await(&hearing, now, now + 3 * ROUND), 0);
	}
	hearing_heard(&hearing, now, ROUND);
	assert_int_equal(await(&hearing, now, now + PATIENCE + 1), 0);
	assert_true(hearing_await(&hearing, now + PATIENCE + 1, now + PATIENCE));
	assert_true(atomic_load(&hearing.silent));
	assert_true(hearing_has_word(&hearing));
	// One word, and it is not silent any more.
	hearing_heard(&hearing, now + PATIENCE + 2, ROUND);
	assert_int_equal(await(&hearing, now + PATIENCE + 2, now + 2 * PATIENCE), 0);
}

// Another worker has heard it in the second that is next for the one that asks.
static void test_a_clock_that_is_ahead(void **state)
{
	struct hearing hearing = {.told = false};

	hearing_heard(&hearing, START + 1, ROUND);
	assert_int_equal(await(&hearing, START, START + PATIENCE), 0);
}

// It may be one that speaks more seldom and does not say so.
static void test_earlier_versions(void **state)
{
	struct hearing hearing = {.told = false};

	for (uint32_t now = START; now < START + 100; now += 2 * HEARING_ROUND) {
		hearing_heard(&hearing, now, 0);
		assert_int_equal(await(&hearing, now, now + 2 * HEARING_ROUND), 0);
	}
}

// Of a process, or of a node that has had nothing to tell so far: nobody was heard yet.
static void test_time_begins(void **state)
{
	struct hearing hearing = {.told = false};
	uint32_t patience = HEARING_ROUNDS * HEARING_ROUND + 1, now = START;

	// The clock of the worker may have any value at the beginning of a process.
	assert_false(hearing_await(&hearing, now, 0));
	assert_int_equal(await(&hearing, now + 1, now + patience + 1), 0);
	assert_true(hearing_await(&hearing, now + patience + 1, now + patience));
	assert_false(hearing_has_word(&hearing));
	// For a second it has nothing to tell.
	now += patience + 3;
	assert_int_equal(await(&hearing, now, now + patience + 1), 0);
	assert_false(hearing_has_word(&hearing));
	assert_true(hearing_await(&hearing, now + patience + 1, now + patience));
	// At zero, too.
	hearing = (struct hearing){.told = false};
	assert_false(hearing_await(&hearing, 0, 0));
	assert_int_equal(await(&hearing, 1, patience), 0);
}

// Who has slept cannot say who has spoken; who was silent before has to be heard, though.
static void test_a_stall(void **state)
{
	struct hearing hearing = {.told = false};
	uint32_t now = START;

	hearing_heard(&hearing, now, ROUND);
	assert_false(hearing_await(&hearing, now, now - 1));
	assert_false(hearing_await(&hearing, now + 60, now));
	now += 60;
	assert_int_equal(await(&hearing, now + 1, now + PATIENCE + 1), 0);
	assert_true(hearing_await(&hearing, now + PATIENCE + 1, now + PATIENCE));
	now += PATIENCE + 1;
	assert_true(hearing_await(&hearing, now + 60, now));
	hearing_heard(&hearing, now + 61, ROUND);
	assert_false(hearing_await(&hearing, now + 61, now + 60));
	// A turn that comes late is none.
	hearing_heard(&hearing, now + 100, ROUND);
	assert_false(hearing_await(&hearing, now + 100, now + 99));
	assert_false(hearing_await(&hearing, now + 104, now + 100));
	assert_false(hearing_await(&hearing, now + 108, now + 104));
	assert_true(hearing_await(&hearing, now + 112, now + 108));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_words_may_be_lost),
		cmocka_unit_test(test_a_clock_that_is_ahead),
		cmocka_unit_test(test_earlier_versions),
		cmocka_unit_test(test_time_begins),
		cmocka_unit_test(test_a_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

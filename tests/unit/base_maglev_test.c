// Consistent hashing: shares by weight, and who moves when members come and go.

#include "test.h"

#include "base/maglev.h"

#define SIZE	1021
#define MEMBERS 10

static struct maglev_member members[MEMBERS];

static void set_members(void)
{
	for (uint64_t i = 0; i < MEMBERS; i++)
		members[i] = (struct maglev_member){.identity = i * 1000 + 7, .weight = 1};
}

static void count(const uint16_t *table, uint32_t counts[MEMBERS])
{
	memset(counts, 0, MEMBERS * sizeof(*counts));
	for (uint32_t i = 0; i < SIZE; i++) {
		assert_true(table[i] < MEMBERS);
		counts[table[i]]++;
	}
}

static void test_equal_shares(void **state)
{
	uint16_t table[SIZE];
	uint32_t counts[MEMBERS];

	set_members();
	assert_true(maglev_fill(table, SIZE, members, MEMBERS));
	count(table, counts);
	for (uint32_t i = 0; i < MEMBERS; i++)
		assert_in_range(counts[i], SIZE / MEMBERS, SIZE / MEMBERS + 1);
}

static void test_weights(void **state)
{
	uint16_t table[SIZE];
	uint32_t counts[MEMBERS];

	set_members();
	for (uint32_t i = 0; i < MEMBERS; i++)
		members[i].weight = i;
	assert_true(maglev_fill(table, SIZE, members, MEMBERS));
	count(table, counts);
	// 45 parts.
	for (uint32_t i = 0; i < MEMBERS; i++)
		assert_in_range(counts[i], SIZE * i / 45 - (i > 0), SIZE * i / 45 + 2);
	assert_int_equal(counts[0], 0);
}

static void test_order_does_not_matter(void **state)
{
	uint16_t table[SIZE], other[SIZE];
	struct maglev_member reversed[MEMBERS];

	set_members();
	for (uint32_t i = 0; i < MEMBERS; i++) {
		members[i].weight = i % 3 + 1;
		reversed[MEMBERS - 1 - i] = members[i];
	}
	reversed[0] = members[MEMBERS - 1];
	assert_true(maglev_fill(table, SIZE, members, MEMBERS));
	for (uint32_t i = 0; i < MEMBERS; i++)
		reversed[MEMBERS - 1 - i].weight = members[i].weight;
	assert_true(maglev_fill(other, SIZE, reversed, MEMBERS));
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(table[i], MEMBERS - 1 - other[i]);
}

// Of those that had another member than the one that went, few move.
static void test_one_goes(void **state)
{
	uint16_t table[SIZE], after[SIZE];
	uint32_t moved = 0;

	set_members();
	assert_true(maglev_fill(table, SIZE, members, MEMBERS));
	members[3].weight = 0;
	assert_true(maglev_fill(after, SIZE, members, MEMBERS));
	for (uint32_t i = 0; i < SIZE; i++) {
		assert_int_not_equal(after[i], 3);
		moved += table[i] != 3 && table[i] != after[i];
	}
	assert_in_range(moved, 0, SIZE / 10);
}

static void test_one_member(void **state)
{
	uint16_t table[SIZE];

	set_members();
	assert_true(maglev_fill(table, SIZE, members + 4, 1));
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(table[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_shares),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_one_goes),
		cmocka_unit_test(test_one_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// The table of memberships: against a model, and at its bounds.

#include "test.h"

#include "layer/multicast/groups.h"

static struct ip_address group_address(uint32_t number)
{
	struct ip_address address = {.bytes = {0xff, 5}};

	address.words[3] = number;
	return address;
}

static void test_one_group(void **state)
{
	struct groups *groups = groups_open();
	struct ip_address a = group_address(1);
	struct group *group;

	assert_null(groups_find(groups, 1, &a));
	assert_int_equal(groups_join(groups, 1, &a, GROUPS_NODE + 2, 100), GROUPS_NEW);
	assert_int_equal(groups_join(groups, 1, &a, 7, 100), GROUPS_FIRST);
	assert_int_equal(groups_join(groups, 1, &a, 3, 100), GROUPS_NEW);
	assert_int_equal(groups_join(groups, 1, &a, 7, 200), GROUPS_KEPT);
	// The same address in another network is another group.
	assert_null(groups_find(groups, 2, &a));
	group = groups_find(groups, 1, &a);
	assert_non_null(group);
	assert_int_equal(group->local, 2);
	// In the order of their numbers, ports before nodes.
	assert_int_equal(groups_from(groups, group, 0)->key, 3);
	assert_int_equal(groups_from(groups, group, 4)->key, 7);
	assert_int_equal(groups_from(groups, group, 8)->key, GROUPS_NODE + 2);
	assert_null(groups_from(groups, group, GROUPS_NODE + 3));
	assert_int_equal(groups_member(groups, group, 7)->expires, 200);
	assert_null(groups_member(groups, group, 4));
	groups_remove(groups, group, 4);
	groups_remove(groups, group, 7);
	groups_remove(groups, group, 3);
	assert_int_equal(group->local, 0);
	groups_remove(groups, group, GROUPS_NODE + 2);
	assert_int_equal(group->members, 0);
	groups_drop(groups, group);
	assert_null(groups_find(groups, 1, &a));
	groups_close(groups);
}

static void test_bounds(void **state)
{
	struct groups *groups = groups_open();
	struct ip_address a;

	// Of one port.
	for (uint32_t i = 0; i < GROUPS_OF_A_PORT_MAX; i++) {
		a = group_address(i);
		assert_int_equal(groups_join(groups, 1, &a, 5, 1), GROUPS_FIRST);
	}
	a = group_address(GROUPS_OF_A_PORT_MAX);
	assert_int_equal(groups_join(groups, 1, &a, 5, 1), GROUPS_FULL);
	assert_null(groups_find(groups, 1, &a));
	a = group_address(0);
	assert_int_equal(groups_join(groups, 1, &a, 5, 1), GROUPS_KEPT);
	groups_close(groups);
}

// Nobody in a network takes what others need: their own network's places, and in the end all.
static void test_shares(void **state)
{
	struct groups *groups = groups_open();
	struct ip_address a;

	for (uint32_t i = 0; i < GROUPS_MAX; i++) {
		uint16_t network = (uint16_t)(1 + i / GROUPS_OF_A_NETWORK_MAX);

		if (i && i % GROUPS_OF_A_NETWORK_MAX == 0) {
			a = group_address(GROUPS_MAX);
			assert_int_equal(groups_join(groups, network - 1, &a, 9000, 1),
					 GROUPS_FULL);
		}
		a = group_address(i);
		assert_int_equal(groups_join(groups, network, &a, 6 + i / 200, 1), GROUPS_FIRST);
	}
	a = group_address(GROUPS_MAX);
	assert_int_equal(groups_join(groups, 9, &a, 9000, 1), GROUPS_FULL);
	// A place that was given back is used again.
	a = group_address(17);
	groups_remove(groups, groups_find(groups, 1, &a), 6);
	groups_drop(groups, groups_find(groups, 1, &a));
	a = group_address(GROUPS_MAX);
	assert_int_equal(groups_join(groups, 1, &a, 6, 1), GROUPS_FIRST);
	// Members.
	for (uint32_t i = GROUPS_OF_A_NETWORK_MAX; i < MEMBERS_OF_A_NETWORK_MAX; i++)
		assert_int_equal(groups_join(groups, 1, &a, 20000 + i, 1), GROUPS_NEW);
	assert_int_equal(groups_join(groups, 1, &a, 60000, 1), GROUPS_FULL);
	assert_int_equal(groups_join(groups, 1, &a, GROUPS_NODE + 1, 1), GROUPS_FULL);
	assert_int_equal(groups->of_port[60000], 0);
	a = group_address(GROUPS_OF_A_NETWORK_MAX);
	assert_int_equal(groups_join(groups, 2, &a, 60000, 1), GROUPS_NEW);
	groups_close(groups);
}

static bool is_even(struct group_member *member, void *context)
{
	return member->key % 2 == 0;
}

// A few groups and members, thousands of steps, and a plain array that knows better.
static void test_model(void **state)
{
	static bool model[2][8][24];
	struct groups *groups = groups_open();
	uint64_t seed = random_seed();
	struct random random = {seed};

	memset(model, 0, sizeof(model));
	for (unsigned int step = 0; step < 20000; step++) {
		uint32_t network = random_below(&random, 2), number = random_below(&random, 8);
		uint32_t member = random_below(&random, 24);
		uint32_t key = member < 16 ? member + 1 : GROUPS_NODE + member;
		struct ip_address a = group_address(number);
		struct group *group = groups_find(groups, (uint16_t)(network + 1), &a);
		bool *row = model[network][number];
		uint32_t local = 0, next = 0;

		switch (random_below(&random, 8)) {
		case 0:
			for (uint32_t i = 0; group && i < 24; i++)
				row[i] &= (i < 16 ? i + 1 : GROUPS_NODE + i) % 2 == 0;
			if (group)
				groups_filter(groups, group, is_even, NULL);
			break;
		case 1:
		case 2:
		case 3:
			if (group)
				groups_remove(groups, group, key);
			row[member] = false;
			break;
		default:
			groups_join(groups, (uint16_t)(network + 1), &a, key, step);
			row[member] = true;
			break;
		}
		group = groups_find(groups, (uint16_t)(network + 1), &a);
		for (uint32_t i = 0; i < 24; i++) {
			uint32_t expected = i < 16 ? i + 1 : GROUPS_NODE + i;
			struct group_member *found;

			if (!row[i])
				continue;
			local += i < 16;
			check_case(group != NULL, "seed %llu, step %u\n", (unsigned long long)seed,
				   step);
			found = groups_from(groups, group, next);
			check_case(found && found->key == expected, "seed %llu, step %u\n",
				   (unsigned long long)seed, step);
			next = expected + 1;
		}
		if (!group)
			continue;
		check_case(group->local == local && !groups_from(groups, group, next),
			   "seed %llu, step %u\n", (unsigned long long)seed, step);
		if (!group->members)
			groups_drop(groups, group);
	}
	groups_close(groups);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_group),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

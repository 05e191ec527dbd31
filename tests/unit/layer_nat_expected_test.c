// Connections that a protocol's messages have announced.

#include "test.h"

#include <arpa/inet.h>

#include "layer/nat/expected.h"

#define NOW 1000

static unsigned int over;

static void ended(void *context, const struct nat_expected *expected, uint32_t now)
{
	over++;
}

static struct ip_address address(const char *text)
{
	struct ip_address result;

	assert_true(ip_parse(text, &result));
	return result;
}

static struct nat_expected make(uint16_t port, uint16_t owner)
{
	return (struct nat_expected){
		.address = address("203.0.113.1"),
		.port = htons(port),
		.peer = address("198.51.100.7"),
		.inside = {.address = address("10.1.0.11"),
			   .port = htons(20),
			   .network = 3,
			   .owner = owner,
			   .protocol = IPPROTO_TCP},
	};
}

static struct nat_expectations *begin(uint32_t max)
{
	struct nat_expectations *made = nat_expectations_open(max, ended, NULL);

	assert_non_null(made);
	over = 0;
	return made;
}

static bool comes(struct nat_expectations *expectations, uint16_t port, const char *peer,
		  struct nat_expected *found)
{
	struct ip_address external = address("203.0.113.1"), from = address(peer);

	return nat_expected_find(expectations, &external, htons(port), IPPROTO_TCP, &from, found);
}

static void test_one(void **state)
{
	struct nat_expectations *expectations = begin(64);
	struct nat_expected expected = make(5000, 1), found;
	struct ip_address peer = expected.peer;

	assert_false(comes(expectations, 5000, "198.51.100.7", &found));
	assert_false(nat_expect_again(expectations, &expected, NOW, 60));
	assert_true(nat_expect(expectations, &expected, NOW, 60));
	assert_false(comes(expectations, 5001, "198.51.100.7", &found));
	assert_false(comes(expectations, 5000, "198.51.100.8", &found));
	assert_false(nat_expected_find(expectations, &expected.address, expected.port, IPPROTO_UDP,
				       &peer, &found));
	nat_expectations_expire(expectations, NOW + 59);
	assert_true(comes(expectations, 5000, "198.51.100.7", &found));
	assert_memory_equal(&found.inside, &expected.inside, sizeof(found.inside));
	assert_int_equal(nat_expectations_count(expectations), 1);
	nat_expected_came(expectations, &found, NOW);
	assert_int_equal(nat_expectations_count(expectations), 0);
	assert_int_equal(over, 1);
	assert_false(comes(expectations, 5000, "198.51.100.7", &found));
	nat_expectations_close(expectations);
}

static void test_several(void **state)
{
	struct nat_expectations *expectations = begin(64);
	struct nat_expected expected = make(5000, 1), found;

	expected.any_peer = expected.several = true;
	assert_true(nat_expect(expectations, &expected, NOW, 60));
	assert_true(comes(expectations, 5000, "198.51.100.200", &found));
	nat_expected_came(expectations, &found, NOW);
	assert_true(comes(expectations, 5000, "192.0.2.1", &found));
	nat_expectations_close(expectations);
}

static void test_time(void **state)
{
	struct nat_expectations *expectations = begin(64);
	struct nat_expected first = make(5000, 1), second = make(5001, 1), found;

	assert_true(nat_expect(expectations, &first, NOW, 60));
	assert_true(nat_expect(expectations, &second, NOW, 60));
	// The same once more.
	assert_true(nat_expect_again(expectations, &first, NOW + 30, 60));
	assert_int_equal(nat_expectations_count(expectations), 2);
	nat_expectations_expire(expectations, NOW + 59);
	assert_int_equal(over, 0);
	nat_expectations_expire(expectations, NOW + 60);
	assert_int_equal(over, 1);
	assert_true(comes(expectations, 5000, "198.51.100.7", &found));
	assert_false(comes(expectations, 5001, "198.51.100.7", &found));
	nat_expectations_expire(expectations, NOW + 90);
	assert_int_equal(nat_expectations_count(expectations), 0);
	nat_expectations_close(expectations);
}

// One Port can't have all of them, and what is over makes room.
static void test_limits(void **state)
{
	struct nat_expectations *expectations = begin(4096);
	struct nat_expected expected, found;
	uint16_t port = 5000;

	for (unsigned int i = 0; i < NAT_EXPECTED_PER_PORT; i++) {
		expected = make(port++, 1);
		assert_true(nat_expect(expectations, &expected, NOW, 60));
	}
	expected = make(port, 1);
	assert_false(nat_expect(expectations, &expected, NOW, 60));
	expected = make(port, 2);
	assert_true(nat_expect(expectations, &expected, NOW, 60));
	nat_expectations_expire(expectations, NOW + 60);
	assert_int_equal(over, NAT_EXPECTED_PER_PORT + 1);
	expected = make(port, 1);
	assert_true(nat_expect(expectations, &expected, NOW + 60, 60));
	nat_expectations_close(expectations);

	// A table that is full refuses, and gives the place of what is over.
	expectations = begin(8);
	for (unsigned int i = 0; i < 8; i++) {
		expected = make(port++, (uint16_t)i);
		assert_true(nat_expect(expectations, &expected, NOW, 60));
	}
	expected = make(port, 100);
	assert_false(nat_expect(expectations, &expected, NOW, 60));
	assert_true(nat_expect(expectations, &expected, NOW + 60, 60));
	assert_int_equal(over, 8);
	assert_true(comes(expectations, port, "198.51.100.7", &found));
	nat_expectations_close(expectations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

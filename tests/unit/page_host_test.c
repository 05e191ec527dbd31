// Which Host headers the page answers.

#include "page/host.h"
#include "test.h"

static void test_addresses_and_localhost(void **state)
{
	static const char *const ours[] = {
		"127.0.0.1",	    "127.0.0.1:9177", "10.1.2.3:80",	    "[::1]",
		"[::1]:9177",	    "[fd00::1]:1",    "localhost",	    "LOCALHOST:9177",
		"sluice.localhost", "node.example",   "Node.Example:12345",
	};

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!host_is_ours(ours[i], "node.example"))
			fail_msg("%s", ours[i]);
}

static void test_names_of_others(void **state)
{
	static const char *const others[] = {
		"",
		":80",
		"attacker.example",
		"attacker.example:9177",
		"127.0.0.1.example",
		"localhost.example",
		"notlocalhost",
		".localhost:x",
		"[::1",
		"[::1]x",
		"[::1].example",
		"127.0.0.1:80@attacker.example",
		"127.0.0.1 ",
		"0x7f000001.example",
		"127.0.0.1:9177x",
		"node.example.attacker.example",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (host_is_ours(others[i], "node.example"))
			fail_msg("%s", others[i]);
	// Served at all addresses, no name is configured.
	assert_false(host_is_ours("node.example", ""));
	assert_false(host_is_ours("", ""));
}

static void test_long_ones(void **state)
{
	char long_name[1000];

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	assert_false(host_is_ours(long_name, long_name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_and_localhost),
		cmocka_unit_test(test_names_of_others),
		cmocka_unit_test(test_long_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// Addresses, prefixes and MAC addresses, and what is none.

#include "test.h"

#include "base/address.h"
#include "base/error.h"

static void test_addresses(void **state)
{
	static const char *const texts[] = {
		"0.0.0.0",    "10.1.0.11",	 "255.255.255.255",	 "::", "::1", "fe80::1",
		"fd00:1::11", "ff02::1:ff00:12", "2001:db8:1:2:3:4:5:6",
	};
	char text[IP_TEXT_SIZE];
	struct ip_address address;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		check_case(ip_parse(texts[i], &address), "%s\n", texts[i]);
		assert_string_equal(ip_format(&address, text), texts[i]);
		assert_int_equal(ip_is_v4(&address), strchr(texts[i], '.') != NULL);
	}
	// Other forms of the same.
	assert_true(ip_parse("FD00:0001:0:0:0:0:0:0011", &address));
	assert_string_equal(ip_format(&address, text), "fd00:1::11");
	assert_true(ip_parse("64:ff9b::10.1.0.11", &address));
	assert_false(ip_is_v4(&address));
}

static void test_wrong_addresses(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"10",
		"10.1",
		"10.1.0",
		"10.1.0.",
		"10.1.0.256",
		"10.1.0.1.1",
		"010.1.0.1",
		"10.1.0.01",
		"0x0a.1.0.1",
		"10.1.0.1 ",
		" 10.1.0.1",
		"10.1.0.1/24",
		"10.1.0.1:80",
		"-1.0.0.0",
		":",
		":::",
		"1::2::3",
		"12345::",
		"g::",
		"fe80::1%eth",
		"[::1]",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"::ffff:10.1.0.1",
		"::ffff:a01:1",
		"localhost",
		"10,1,0,1",
	};
	struct ip_address address;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_case(!ip_parse(texts[i], &address), "'%s' was taken\n", texts[i]);
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *text;
		uint8_t length;
		bool clean;
	} cases[] = {
		{"0.0.0.0/0", 96, true},     {"10.0.0.0/8", 104, true},
		{"10.1.0.1/32", 128, true},  {"10.1.0.1/31", 127, false},
		{"10.1.0.0/15", 111, false}, {"::/0", 0, true},
		{"fd00::/8", 8, true},	     {"fd00:1::1/128", 128, true},
		{"fd00:1::1/64", 64, false},
	};
	static const char *const wrong[] = {
		"",
		"/",
		"10.0.0.0",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/08",
		"10.0.0.0/8 ",
		"10.0.0.0/ 8",
		"10.0.0.0/8/8",
		"10.0.0/8",
		"/8",
		"fd00::/129",
		"fd00::/1280",
		"fd00::/0x8",
		"::ffff:10.0.0.0/104",
		"10.0.0.0/255.0.0.0",
		"fd00::/99999999999999999999",
		"1111111111111111111111111111111111111111111111111111111111111111111111/8",
	};
	char text[IP_TEXT_SIZE];
	struct ip_prefix prefix;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		check_case(prefix_parse(cases[i].text, &prefix), "%s\n", cases[i].text);
		assert_int_equal(prefix.length, cases[i].length);
		assert_int_equal(prefix_clean(&prefix), cases[i].clean);
		assert_string_equal(prefix_format(&prefix, text), cases[i].text);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_case(!prefix_parse(wrong[i], &prefix), "'%s' was taken\n", wrong[i]);
	// The longest there is fits.
	assert_true(prefix_parse("1111:2222:3333:4444:5555:6666:7777:8888/128", &prefix));
	prefix_format(&prefix, text);
}

static bool in_prefix(const char *address_text, const char *prefix_text)
{
	struct ip_address address;
	struct ip_prefix prefix;

	assert_true(ip_parse(address_text, &address) && prefix_parse(prefix_text, &prefix));
	return ip_in_prefix(&address, &prefix);
}

static bool overlap(const char *a, const char *b)
{
	struct ip_prefix x, y;

	assert_true(prefix_parse(a, &x) && prefix_parse(b, &y));
	assert_int_equal(prefix_overlaps(&x, &y), prefix_overlaps(&y, &x));
	return prefix_overlaps(&x, &y);
}

static void test_in_prefix(void **state)
{
	assert_true(in_prefix("10.1.0.1", "10.1.0.0/24"));
	assert_false(in_prefix("10.1.1.1", "10.1.0.0/24"));
	assert_true(in_prefix("10.1.1.1", "10.1.0.0/23"));
	assert_true(in_prefix("192.0.2.1", "0.0.0.0/0"));
	assert_true(in_prefix("10.1.0.1", "10.1.0.1/32"));
	assert_false(in_prefix("10.1.0.0", "10.1.0.1/32"));
	assert_true(in_prefix("fd00::1", "::/0"));
	// The families stay apart, although both are 16 bytes.
	assert_false(in_prefix("10.1.0.1", "::/0"));
	assert_false(in_prefix("fd00::1", "0.0.0.0/0"));
	assert_false(in_prefix("10.1.0.1", "::/64"));
	assert_true(overlap("10.0.0.0/8", "10.1.0.0/16"));
	assert_false(overlap("10.0.0.0/16", "10.1.0.0/16"));
	assert_false(overlap("::/0", "0.0.0.0/0"));
	assert_true(overlap("fd00::/8", "fd00:1::/64"));
}

// Against one bit at a time.
static void test_in_prefix_all_lengths(void **state)
{
	struct random random = {random_seed()};

	for (unsigned int round = 0; round < 200; round++) {
		struct ip_address one, other;

		random_fill(&random, &one, sizeof(one));
		one.bytes[0] |= 0x20; // IPv6
		for (unsigned int length = 0; length <= 128; length++) {
			struct ip_prefix prefix = {.address = one, .length = (uint8_t)length};

			assert_true(ip_in_prefix(&one, &prefix));
			for (unsigned int bit = 0; bit < 128; bit++) {
				other = one;
				other.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
				if (ip_is_v4(&other))
					continue;
				assert_int_equal(ip_in_prefix(&other, &prefix), bit >= length);
			}
		}
	}
}

static void test_kinds_of_address(void **state)
{
	static const struct {
		const char *text;
		bool multicast, link_local;
	} cases[] = {
		{"224.0.0.1", true, false},	  {"239.255.255.255", true, false},
		{"240.0.0.1", false, false},	  {"255.255.255.255", true, false},
		{"10.255.255.255", false, false}, {"169.254.1.1", false, true},
		{"169.253.1.1", false, false},	  {"ff02::1", true, false},
		{"fe80::1", false, true},	  {"febf::1", false, true},
		{"fec0::1", false, false},	  {"::", false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_address address;

		assert_true(ip_parse(cases[i].text, &address));
		check_case(ip_is_multicast(&address) == cases[i].multicast &&
				   ip_is_link_local(&address) == cases[i].link_local,
			   "%s\n", cases[i].text);
	}
}

static void test_mac_addresses(void **state)
{
	static const char *const wrong[] = {
		"",
		"52:54:00:00:00",
		"52:54:00:00:00:0",
		"52:54:00:00:00:001",
		"52-54-00-00-00-01",
		"52:54:00:00:00:0g",
		"525400000001",
		"52:54:00:00:00:01:02",
		" 2:54:00:00:00:01",
		"+2:54:00:00:00:01",
		"52:54:00:00:00: 1",
		"0x:54:00:00:00:01",
	};
	char text[MAC_TEXT_SIZE];
	struct mac_address mac;

	assert_true(mac_parse("52:54:00:aB:Cd:01", &mac));
	assert_string_equal(mac_format(&mac, text), "52:54:00:ab:cd:01");
	assert_false(mac_is_multicast(&mac));
	assert_true(mac_parse("ff:ff:ff:ff:ff:ff", &mac));
	assert_true(mac_is_multicast(&mac));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_case(!mac_parse(wrong[i], &mac), "'%s' was taken\n", wrong[i]);
}

// Lines are cut, never written beyond.
static void test_errors(void **state)
{
	char longer[1000];
	struct error err;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(error_set(&err, "%s", "what"), -1);
	error_prefix(&err, "Port/%s", "p");
	assert_string_equal(err.text, "Port/p: what");
	for (int size = 490; size < 530; size++) {
		error_set(&err, "%s", "what");
		error_prefix(&err, "%.*s", size, longer);
		assert_true(strlen(err.text) < sizeof(err.text));
		error_errno(&err, "%.*s", size, longer);
		assert_true(strlen(err.text) < sizeof(err.text));
		error_set(&err, "%.*s", size, longer);
		error_prefix(&err, "p");
		assert_true(strncmp(err.text, "p: xxx", 6) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_wrong_addresses),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_in_prefix),
		cmocka_unit_test(test_in_prefix_all_lengths),
		cmocka_unit_test(test_kinds_of_address),
		cmocka_unit_test(test_mac_addresses),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

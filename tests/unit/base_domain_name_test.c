// Domain names: which are valid, and how they look in messages.

#include "test.h"

#include "base/domain_name.h"

static void test_labels(void **state)
{
	char label[DOMAIN_LABEL_MAX + 2] = {0};

	assert_true(domain_label_valid("web-1"));
	assert_true(domain_label_valid("1"));
	assert_false(domain_label_valid(""));
	assert_false(domain_label_valid("-a"));
	assert_false(domain_label_valid("a-"));
	assert_false(domain_label_valid("a.b"));
	assert_false(domain_label_valid("a_b"));
	memset(label, 'a', DOMAIN_LABEL_MAX);
	assert_true(domain_label_valid(label));
	label[DOMAIN_LABEL_MAX] = 'a';
	assert_false(domain_label_valid(label));
}

static void test_names(void **state)
{
	// 127 labels of one letter are 254 bytes, and the root's is the 255th.
	char name[256] = {0};

	assert_true(domain_name_valid("example.org"));
	assert_true(domain_name_valid("example.org."));
	assert_true(domain_name_valid("a"));
	assert_false(domain_name_valid(""));
	assert_false(domain_name_valid("."));
	assert_false(domain_name_valid(".a"));
	assert_false(domain_name_valid("a..b"));
	assert_false(domain_name_valid("a.."));
	for (unsigned int i = 0; i < 127; i++)
		memcpy(name + 2 * (size_t)i, "a.", 2);
	assert_true(domain_name_valid(name));
	name[254] = 'a';
	assert_false(domain_name_valid(name));
}

static void test_wire(void **state)
{
	uint8_t wire[16];

	assert_int_equal(domain_name_write("web.org", true, wire, sizeof(wire)), 9);
	assert_memory_equal(wire, "\3web\3org\0", 9);
	assert_int_equal(domain_name_write("web.org", false, wire, sizeof(wire)), 8);
	for (uint32_t room = 0; room < 9; room++)
		assert_int_equal(domain_name_write("web.org", true, wire, room), 0);
	assert_int_equal(domain_name_write("web.org", true, wire, 9), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

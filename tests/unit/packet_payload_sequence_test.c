// TCP numbers around a piece of payload that became longer or shorter.

#include "test.h"

#include <arpa/inet.h>

#include "packet/header.h"
#include "packet/packet.h"
#include "packet/payload/sequence.h"

static void test_longer(void **state)
{
	struct sequence_shift shift = {0};

	assert_false(sequence_is_shifted(&shift));
	assert_int_equal(sequence_forward(&shift, 5), 5);
	assert_int_equal(sequence_back(&shift, 5), 5);
	// 10 bytes become 13.
	assert_true(sequence_shift_add(&shift, 100, 110, 3));
	assert_int_equal(sequence_forward(&shift, 100), 100);
	assert_int_equal(sequence_forward(&shift, 110), 113);
	assert_int_equal(sequence_back(&shift, 100), 100);
	assert_int_equal(sequence_back(&shift, 113), 110);
	assert_int_equal(sequence_back(&shift, 120), 117);
	// Acknowledged in its midst: none of it was received, for who sent it.
	for (uint32_t number = 101; number < 113; number++)
		assert_int_equal(sequence_back(&shift, number), 100);
}

static void test_shorter(void **state)
{
	struct sequence_shift shift = {0};

	assert_true(sequence_shift_add(&shift, 100, 110, -4));
	assert_int_equal(sequence_forward(&shift, 110), 106);
	assert_int_equal(sequence_back(&shift, 106), 110);
	assert_int_equal(sequence_back(&shift, 105), 100);
	assert_int_equal(sequence_back(&shift, 99), 99);
}

static void test_several(void **state)
{
	struct sequence_shift shift = {0};

	assert_true(sequence_shift_add(&shift, 100, 110, 3));
	assert_true(sequence_shift_add(&shift, 200, 210, -1));
	assert_int_equal(sequence_forward(&shift, 150), 153);
	assert_int_equal(sequence_forward(&shift, 210), 212);
	assert_int_equal(sequence_back(&shift, 153), 150);
	assert_int_equal(sequence_back(&shift, 212), 210);
	// Nothing longer or shorter: what was shifted before is still known.
	assert_true(sequence_shift_add(&shift, 300, 310, 0));
	assert_int_equal(sequence_forward(&shift, 199), 202);
}

// A segment that was lost comes once more, and becomes what it was.
static void test_once_more(void **state)
{
	struct sequence_shift shift = {0};

	assert_true(sequence_shift_add(&shift, 100, 110, 3));
	assert_true(sequence_shift_add(&shift, 100, 110, 3));
	assert_int_equal(sequence_forward(&shift, 110), 113);
	// Other bytes in the same place, or across it, would contradict what was sent.
	assert_false(sequence_shift_add(&shift, 100, 110, 2));
	assert_false(sequence_shift_add(&shift, 100, 110, 0));
	assert_false(sequence_shift_add(&shift, 95, 105, 3));
	assert_false(sequence_shift_add(&shift, 50, 60, 1));
	assert_int_equal(sequence_forward(&shift, 110), 113);
}

static void test_torn(void **state)
{
	struct sequence_shift shift = {0};

	assert_false(sequence_is_torn(&shift, 101, 105));
	assert_true(sequence_shift_add(&shift, 100, 110, 3));
	assert_false(sequence_is_torn(&shift, 90, 100));
	assert_false(sequence_is_torn(&shift, 100, 110));
	assert_false(sequence_is_torn(&shift, 90, 120));
	assert_false(sequence_is_torn(&shift, 110, 120));
	assert_true(sequence_is_torn(&shift, 100, 109));
	assert_true(sequence_is_torn(&shift, 101, 110));
	assert_true(sequence_is_torn(&shift, 105, 105));
}

static void test_wrap(void **state)
{
	struct sequence_shift shift = {0};

	assert_true(sequence_shift_add(&shift, 0xfffffffa, 4, 6));
	assert_int_equal(sequence_forward(&shift, 0xfffffffa), 0xfffffffa);
	assert_int_equal(sequence_forward(&shift, 4), 10);
	assert_int_equal(sequence_back(&shift, 10), 4);
	assert_int_equal(sequence_back(&shift, 9), 0xfffffffa);
	assert_true(sequence_is_torn(&shift, 0, 8));
}

static void test_limit(void **state)
{
	struct sequence_shift shift = {0};

	assert_true(sequence_shift_add(&shift, 100, 110, SEQUENCE_SHIFT_MAX));
	assert_false(sequence_shift_add(&shift, 200, 210, 1));
	assert_true(sequence_shift_add(&shift, 200, 210, -2 * SEQUENCE_SHIFT_MAX));
	assert_false(sequence_shift_add(&shift, 300, 310, -1));
}

// A header with options of 12 bytes: two blocks of selective acknowledgement, `no_ops` bytes before
// them; and a payload.
static uint32_t header_build(uint8_t *header, uint32_t no_ops, struct random *random)
{
	uint16_t checksum = 0;
	uint32_t size = 20 + 20;

	random_fill(random, header, size + 7);
	header[12] = (uint8_t)(size / 4 << 4);
	header[13] = TCP_ACK;
	memset(header + 20, TCP_OPTION_NONE, 20);
	header[20 + no_ops] = 5;
	header[21 + no_ops] = 18;
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t edge = htonl(1000 + i * 10);

		memcpy(header + 22 + no_ops + i * 4, &edge, 4);
	}
	memcpy(header + 16, &checksum, 2);
	checksum = checksum_finish(checksum_add(0, header, size + 7));
	memcpy(header + 16, &checksum, 2);
	return size;
}

static uint32_t number(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return ntohl(value);
}

static void test_header(void **state)
{
	struct random random = {random_seed()};
	struct sequence_shift own = {0}, other = {0};
	uint8_t header[64], before[64];

	assert_true(sequence_shift_add(&own, 100, 110, 70));
	assert_true(sequence_shift_add(&other, 900, 910, -300));
	for (uint32_t no_ops = 0; no_ops < 3; no_ops++) {
		uint32_t size = header_build(header, no_ops, &random);

		memcpy(before, header, sizeof(header));
		assert_true(sequence_rewrite(header, size, &own, &other, false));
		assert_int_equal(number(header + 4), sequence_forward(&own, number(before + 4)));
		assert_int_equal(number(header + 8), sequence_back(&other, number(before + 8)));
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(number(header + 22 + no_ops + i * 4), 1300 + i * 10);
		// The right sum, or its other zero.
		assert_int_equal(checksum_finish(checksum_add(0, header, size + 7)), 0);
		memcpy(header, before, sizeof(header));
		assert_true(sequence_rewrite(header, size, &own, &other, true));
		assert_memory_equal(header + 16, before + 16, 2);
	}
}

static void test_header_without_acknowledgement(void **state)
{
	struct random random = {random_seed()};
	struct sequence_shift none = {0}, other = {0};
	uint8_t header[64], before[64];
	uint32_t size = header_build(header, 0, &random);

	assert_true(sequence_shift_add(&other, 900, 910, -300));
	header[13] = TCP_SYN;
	memcpy(before, header, sizeof(header));
	assert_true(sequence_rewrite(header, size, &none, &other, false));
	assert_memory_equal(header, before, sizeof(header));
}

// Options that contradict themselves are left alone, and nothing behind the header is touched.
static void test_hostile_headers(void **state)
{
	struct random random = {random_seed()};
	struct sequence_shift own = {0}, other = {0};

	sequence_shift_add(&own, 100, 110, 70);
	sequence_shift_add(&other, 900, 910, -300);
	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t size = random_below(&random, 61);
		uint8_t *header = malloc(size ? size : 1);

		random_fill(&random, header, size);
		if (size > 13)
			header[13] |= TCP_ACK;
		if (size > 21 && i & 1)
			header[20] = 5;
		if (sequence_rewrite(header, size, &own, &other, false))
			assert_true(size >= 20 && header[12] >> 4 >= 5);
		free(header);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longer),
		cmocka_unit_test(test_shorter),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_once_more),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_header_without_acknowledgement),
		cmocka_unit_test(test_hostile_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

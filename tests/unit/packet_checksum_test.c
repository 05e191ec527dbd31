// The checksum functions against the slow way.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "frame.h"
#include "packet/header.h"

static void test_any_size(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	uint8_t data[9000];

	for (unsigned int round = 0; round < 3000; round++) {
		uint32_t size = round < 300 ? round : random_below(&random, sizeof(data));
		const uint8_t *start;

		random_fill(&random, data, size);
		if (round % 7 == 0)
			memset(data, 0xff, size);
		start = guard_put(data, size);
		check_case(ntohs(checksum_finish(checksum_add(0, start, size))) ==
				   reference_checksum(start, size, 0),
			   "seed %#lx, %u bytes\n", seed, size);
	}
	// The largest sums: no carry is lost.
	assert_int_equal(checksum_finish(UINT64_MAX), 0);
	assert_int_equal(checksum_finish(0), 0xffff);
	assert_int_equal(checksum_finish(UINT64_C(0xffffffff00000000)), 0);
	assert_int_equal(checksum_finish(0x20001), (uint16_t)~3);
}

// A sum may go on behind any multiple of 2 bytes.
static void test_in_pieces(void **state)
{
	struct random random = {random_seed()};
	uint8_t data[512];

	for (unsigned int round = 0; round < 2000; round++) {
		uint32_t cut = random_below(&random, 128) * 2;
		uint32_t size = cut + random_below(&random, 256);
		uint64_t sum;

		random_fill(&random, data, size);
		sum = checksum_add(checksum_add(0, data, cut), data + cut, size - cut);
		assert_int_equal(ntohs(checksum_finish(sum)), reference_checksum(data, size, 0));
	}
}

static void test_pseudo_header(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6};
	struct random random = {random_seed()};

	for (unsigned int round = 0; round < 2000; round++) {
		bool v4 = round & 1;
		uint8_t protocol = protocols[v4 ? round / 2 % 2 : round / 2 % 3];
		uint32_t header = v4 ? 20 : 40, size = random_below(&random, 1000);
		struct ip_address source, destination;
		uint8_t ip[1040];
		uint64_t sum;

		random_fill(&random, ip, sizeof(ip));
		ip[0] = v4 ? 0x45 : 0x60;
		if (v4) {
			uint32_t word;

			memcpy(&word, ip + 12, 4);
			source = ip_from_v4(word);
			memcpy(&word, ip + 16, 4);
			destination = ip_from_v4(word);
		} else {
			memcpy(&source, ip + 8, 16);
			memcpy(&destination, ip + 24, 16);
		}
		sum = checksum_pseudo(&source, &destination, protocol, size);
		assert_int_equal(ntohs(checksum_finish(checksum_add(sum, ip + header, size))),
				 reference_l4_checksum(ip, header, size, protocol));
	}
}

static void write_checksum(uint8_t *header, uint32_t size)
{
	uint16_t sum;

	header[10] = header[11] = 0;
	sum = reference_checksum(header, size, 0);
	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
}

static void test_ipv4_header(void **state)
{
	struct random random = {random_seed()};
	uint8_t header[60];

	for (unsigned int round = 0; round < 20000; round++) {
		uint32_t size = 20 + random_below(&random, 11) * 4;
		uint32_t byte = random_below(&random, size);
		const uint8_t *start;

		random_fill(&random, header, size);
		header[0] = (uint8_t)(0x40 | size / 4);
		write_checksum(header, size);
		start = guard_put(header, size);
		assert_true(ipv4_checksum_valid(start, size));
		header[byte] ^= (uint8_t)(1 << random_below(&random, 8));
		assert_false(ipv4_checksum_valid(guard_put(header, size), size));
	}
}

// Bit by bit what making the checksum anew gives, for every TTL that has a hop left.
static void test_decrement_ttl(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};

	for (unsigned int round = 0; round < 3000; round++) {
		uint8_t header[20], again[20];

		random_fill(&random, header, sizeof(header));
		header[0] = 0x45;
		for (unsigned int ttl = 1; ttl < 256; ttl++) {
			header[8] = (uint8_t)ttl;
			write_checksum(header, 20);
			memcpy(again, header, 20);
			ipv4_decrement_ttl(again);
			assert_int_equal(again[8], ttl - 1);
			header[8]--;
			write_checksum(header, 20);
			check_case(memcmp(header, again, 20) == 0, "seed %#lx, ttl %u\n", seed,
				   ttl);
		}
	}
	// All checksums there are: the identification runs through all values.
	for (unsigned int id = 0; id < 65536; id++) {
		uint8_t header[20] = {0x45, 0, 0, 40, (uint8_t)(id >> 8), (uint8_t)id, 0, 0, 64, 6};
		uint8_t again[20];

		write_checksum(header, 20);
		memcpy(again, header, 20);
		ipv4_decrement_ttl(again);
		header[8]--;
		write_checksum(header, 20);
		assert_memory_equal(header, again, 20);
		assert_true(ipv4_checksum_valid(again, 20));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_size),      cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_pseudo_header), cmocka_unit_test(test_ipv4_header),
		cmocka_unit_test(test_decrement_ttl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

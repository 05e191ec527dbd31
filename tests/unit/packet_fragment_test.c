// Fragments that wait for their datagram: against a map of its bytes; and first fragments, read as
// the whole.

#include "test.h"

#include <netinet/in.h>

#include "frame.h"
#include "packet/fragment_table.h"
#include "packet/header.h"

#define ITEMS 4096

// What became of an item. Items are numbers, from 1 on.
enum fate {
	FREE,
	WAITS,
	DROPPED,
	TAKEN
};

static enum fate fates[ITEMS];
static enum drop_reason reasons[ITEMS];
static uint32_t next_item;

static void dropped(void *context, void *item, const struct fragment_key *key,
		    enum drop_reason reason)
{
	assert_int_equal(fates[(uintptr_t)item], WAITS);
	fates[(uintptr_t)item] = DROPPED;
	reasons[(uintptr_t)item] = reason;
}

static void released(void *item)
{
	assert_int_equal(fates[(uintptr_t)item], WAITS);
	fates[(uintptr_t)item] = FREE;
}

static struct fragment_table *open_table(uint32_t cost)
{
	struct fragment_table *table = fragment_table_open(cost, dropped, NULL);

	assert_non_null(table);
	memset(fates, 0, sizeof(fates));
	next_item = 1;
	return table;
}

static struct fragment_key key_of(uint32_t identification, uint16_t port)
{
	return (struct fragment_key){
		.source = address("10.1.0.1"),
		.destination = address("10.1.0.2"),
		.identification = identification,
		.network = 1,
		.port = port,
		.protocol = IPPROTO_UDP,
	};
}

static struct fragment_datagram *add(struct fragment_table *table, const struct fragment_key *key,
				     uint32_t offset, uint32_t size, bool more, uint32_t now)
{
	struct fragment fragment = {.offset = offset, .size = size, .more = more};

	assert_int_equal(fragment_check(&fragment), DROP_NONE);
	assert_true(next_item < ITEMS);
	fates[next_item] = WAITS;
	return fragment_table_add(table, key, &fragment, (void *)(uintptr_t)next_item++, 1, now);
}

// Random fragments of one datagram. It is whole exactly when each byte came once; nothing that
// overlaps passes, and no item is lost.
static void test_against_map(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};

	for (unsigned int round = 0; round < 3000; round++) {
		struct fragment_table *table = open_table(1000);
		struct fragment_key key = key_of(round, 7);
		uint8_t covered[64] = {0};
		uint32_t blocks = 2 + random_below(&random, 12), total = 0, count = 0;
		bool ended = false, complete = false;

		for (unsigned int step = 0; step < 40 && !complete; step++) {
			uint32_t first = random_below(&random, blocks);
			uint32_t size = 1 + random_below(&random, blocks - first);
			bool last = first + size == blocks, more = !last;
			uint32_t item = next_item, bytes = size * 8 - (last ? 3 : 0);
			bool overlaps = false;
			void *items[FRAGMENTS_PER_DATAGRAM];
			struct fragment_datagram *datagram;

			// Mostly as they should be, and seldom a wrong end.
			if (random_below(&random, 60) == 0)
				more = !more, bytes = size * 8;
			if (step < 30 && random_below(&random, 4)) {
				while (first < blocks && covered[first])
					first++;
				if (first == blocks)
					continue;
				for (size = 1; first + size < blocks && !covered[first + size] &&
					       random_below(&random, 3);)
					size++;
				more = first + size != blocks;
				bytes = size * 8 - (more ? 0 : 3);
			}
			if (!first && !more)
				continue; // a whole packet
			for (uint32_t i = first; i < first + size; i++)
				overlaps |= covered[i] != 0;
			datagram = add(table, &key, first * 8, bytes, more, 1);
			if (ended) {
				assert_null(datagram);
				assert_int_equal(fates[item], DROPPED);
				continue;
			}
			if (fates[item] == DROPPED) {
				if (reasons[item] == DROP_FRAGMENT_DUPLICATE) {
					assert_true(overlaps);
					continue;
				}
				ended = true;
				for (uint32_t i = 1; i < item; i++)
					assert_int_equal(fates[i], DROPPED);
				continue;
			}
			check_case(!overlaps, "seed %#lx, round %u: an overlap was kept\n", seed,
				   round);
			memset(covered + first, 1, size);
			count++;
			if (!more)
				total = first * 8 + bytes;
			if (!datagram)
				continue;
			complete = true;
			for (uint32_t i = 0; i < (total + 7) / 8; i++)
				check_case(covered[i], "seed %#lx, round %u: byte %u is missing\n",
					   seed, round, i * 8);
			assert_int_equal(fragment_table_take(table, datagram, items, &bytes),
					 count);
			assert_int_equal(bytes, total);
			for (uint32_t i = 0; i < count; i++) {
				assert_int_equal(fates[(uintptr_t)items[i]], WAITS);
				fates[(uintptr_t)items[i]] = TAKEN;
			}
			assert_int_equal(fragment_table_count(table), 0);
		}
		fragment_table_close(table, released);
		for (uint32_t i = 1; i < next_item; i++)
			assert_true(fates[i] != WAITS);
	}
}

static void test_time(void **state)
{
	struct fragment_table *table = open_table(1000);
	struct fragment_key first = key_of(1, 7), second = key_of(2, 7);

	add(table, &first, 0, 8, true, 100);
	add(table, &second, 0, 8, true, 110);
	add(table, &first, 8, 8, true, 125);
	fragment_table_age(table, 100 + FRAGMENT_SECONDS);
	assert_int_equal(fragment_table_count(table), 2);
	fragment_table_age(table, 101 + FRAGMENT_SECONDS);
	assert_int_equal(fragment_table_count(table), 1);
	assert_int_equal(reasons[1], DROP_FRAGMENT_TIMEOUT);
	assert_int_equal(reasons[3], DROP_FRAGMENT_TIMEOUT);
	assert_int_equal(fates[2], WAITS);
	// One that has ended is forgotten in its time, too.
	fragment_table_end(table, &second, 111, DROP_FRAGMENT_TINY);
	assert_int_equal(reasons[2], DROP_FRAGMENT_TINY);
	assert_null(add(table, &second, 8, 8, false, 120));
	assert_int_equal(reasons[4], DROP_FRAGMENT_TINY);
	fragment_table_age(table, 111 + FRAGMENT_SECONDS);
	assert_int_equal(fragment_table_count(table), 0);
	fragment_table_close(table, released);
}

// A source loses its own oldest datagram, and nobody else's.
static void test_shares(void **state)
{
	struct fragment_table *table = open_table(400);
	struct fragment_key other = key_of(1, 8);

	add(table, &other, 0, 8, true, 1);
	for (uint32_t i = 0; i < 1000; i++) {
		struct fragment_key key = key_of(i, 7);

		add(table, &key, 0, 8, true, 1);
	}
	assert_int_equal(fates[1], WAITS);
	assert_int_equal(fragment_table_count(table), 65);
	assert_int_equal(reasons[2], DROP_FRAGMENT_LIMIT);
	assert_int_equal(fates[next_item - 1], WAITS);
	// By what it holds: a quarter of all.
	for (uint32_t i = 0; i < 200; i++) {
		struct fragment_key key = key_of(5000 + i / 50, 9);

		add(table, &key, i % 50 * 8, 8, true, 1);
	}
	uint32_t waiting = 0;
	for (uint32_t i = next_item - 200; i < next_item; i++)
		waiting += fates[i] == WAITS;
	assert_int_equal(waiting, 100);
	assert_int_equal(fates[1], WAITS);
	fragment_table_close(table, released);
}

static void test_check(void **state)
{
	struct fragment good[] = {
		{.size = 8, .more = true}, {.offset = 65528, .size = 7}, {.offset = 8, .size = 1}};
	struct fragment bad[] = {{.size = 0, .offset = 8},
				 {.size = 0, .more = true},
				 {.size = 9, .more = true},
				 {.offset = 65528, .size = 8},
				 {.offset = 65000, .size = 1000, .more = true}};

	for (unsigned int i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(fragment_check(&good[i]), DROP_NONE);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fragment_check(&bad[i]), DROP_FRAGMENT_MALFORMED);
}

// A first fragment, cut anywhere, is read like the datagram that it begins; or it is too short.
static void test_first_fragments(void **state)
{
	for (unsigned int i = 0; i < 8; i++) {
		bool v6 = i & 1, options = i & 2, tcp = i & 4;
		struct packet whole, first, united;
		struct frame frame, cut;
		struct fragment fragment;
		uint32_t headers;

		frame_ethernet(&frame, "52:54:00:00:00:02", "52:54:00:00:00:01", 0);
		frame_ip(&frame, v6 ? "fd00::1" : "10.0.0.1", v6 ? "fd00::2" : "10.0.0.2", 64,
			 options && !v6 ? 8 : 0);
		cut = frame;
		frame_fragment(&cut, 0, true);
		if (options && v6) {
			frame_extension(&frame, IPPROTO_DSTOPTS, 16);
			frame_extension(&cut, IPPROTO_DSTOPTS, 16);
		}
		if (tcp) {
			frame_tcp(&frame, 1234, 80, TCP_SYN);
			frame_tcp(&cut, 1234, 80, TCP_SYN);
		} else {
			frame_udp(&frame, 1234, 80);
			frame_udp(&cut, 1234, 80);
		}
		headers = cut.size;
		frame_payload(&frame, 1000);
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &whole), DROP_NONE);
		memcpy(cut.data + cut.l4, frame.data + frame.l4, tcp ? 20 : 8);
		frame_payload(&cut, 64);
		for (uint32_t size = cut.l3 + (v6	 ? 48
					       : options ? 28
							 : 20);
		     size <= cut.size; size++) {
			struct frame part = cut;
			enum drop_reason reason;
			const uint8_t *data;
			uint16_t length = htons((uint16_t)(size - cut.l3 - (v6 ? 40 : 0)));

			part.size = size;
			memcpy(part.data + cut.l3 + (v6 ? 4 : 2), &length, 2);
			if (!v6) {
				uint16_t sum;

				part.data[cut.l3 + 10] = part.data[cut.l3 + 11] = 0;
				sum = htons(reference_checksum(part.data + cut.l3,
							       options ? 28 : 20, 0));
				memcpy(part.data + cut.l3 + 10, &sum, 2);
			}
			if (frame_parse(&part, &first) != DROP_NONE) {
				assert_true(size < headers);
				continue;
			}
			assert_int_equal(first.kind, PACKET_FRAGMENT);
			data = guard_put(part.data, part.size);
			assert_true(fragment_read(data, part.size, &first, &fragment));
			assert_int_equal(fragment.size, part.size - fragment.payload);
			reason = fragment_parse_datagram(data, part.size, &first, &fragment,
							 frame.size - frame.l3 -
								 (v6	    ? 40
								  : options ? 28
									    : 20),
							 &united);
			check_case(reason == (size < headers ? DROP_FRAGMENT_TINY : DROP_NONE),
				   "case %u, %u bytes: %s\n", i, size, drop_reason_name(reason));
			if (reason != DROP_NONE)
				continue;
			assert_true(flow_key_equal(&united.key, &whole.key));
			assert_int_equal(united.kind, PACKET_IP);
			assert_int_equal(united.ip_length, whole.ip_length);
			assert_int_equal(united.l4_offset, whole.l4_offset);
			assert_int_equal(united.tcp_flags, whole.tcp_flags);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_map),	cmocka_unit_test(test_time),
		cmocka_unit_test(test_shares),		cmocka_unit_test(test_check),
		cmocka_unit_test(test_first_fragments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

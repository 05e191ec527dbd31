// Virtqueues, split and packed, with a driver that keeps to the rules: every shape of buffer, both
// directions, round and round.

#include "vhost_fixture.h"

#define FRAME_MAX 70000

static uint8_t frame[FRAME_MAX], frames[32][FRAME_MAX];
static struct random source;

// How a buffer of `size` bytes is divided.
enum shape {
	ONE,	    // a single descriptor
	OWN_HEADER, // the header has its own
	SCATTERED,  // the header in three, the frame in pieces
	EMPTY_PART, // as ONE, and one without any bytes
	BORDER,	    // over the border between two regions
	END,	    // up to the end of a region
	SHAPES,
};

// Makes the parts of the buffer number `place`. No two of the 32 places overlap.
static uint32_t parts_make(enum shape shape, uint32_t place, uint32_t header, uint32_t size,
			   struct part *parts)
{
	uint64_t at = place % 2 ? REGION_2 : BUFFERS;
	uint32_t count = 0, part;

	at += place * 20000;
	switch (shape) {
	case ONE:
		parts[count++] = (struct part){at, size};
		break;
	case OWN_HEADER:
		parts[count++] = (struct part){REGION_2 + (1 << 20) + place * 64, header};
		parts[count++] = (struct part){at, size - header};
		break;
	case EMPTY_PART:
		parts[count++] = (struct part){at, header};
		parts[count++] = (struct part){0x7777, 0};
		parts[count++] = (struct part){at + header, size - header};
		break;
	case SCATTERED:
		parts[count++] = (struct part){at, 1};
		parts[count++] = (struct part){at + 64, header - 2};
		parts[count++] = (struct part){at + 32, 1};
		for (size -= header, at += 128; size; at += part + 3, size -= part) {
			part = size < 1700 ? size : 1700;
			parts[count++] = (struct part){at, part};
		}
		break;
	case BORDER:
		parts[count++] = (struct part){REGION_1 - 1 - size / 3, size};
		break;
	default:
		parts[count++] = (struct part){REGION_2 + REGION_SIZE - size, size};
		break;
	}
	return count;
}

static uint16_t add(struct vhost_fixture *fixture, const struct part *parts, uint32_t count,
		    bool table, bool write)
{
	return table ? driver_add_table(&fixture->driver, parts, count, write)
		     : driver_add(&fixture->driver, parts, count, write);
}

static void receive_one(struct vhost_fixture *fixture, enum shape shape, uint32_t size, bool table)
{
	struct part parts[64];
	uint32_t count = parts_make(shape, 0, fixture->header, fixture->header + size, parts);
	uint32_t length;
	struct rte_mbuf *packet;
	uint16_t id, used;

	parts_write(fixture, parts, count, NULL, frame, size);
	id = add(fixture, parts, count, table, false);
	assert_int_equal(receive_some(fixture, 1), 0);
	driver_show(&fixture->driver);
	check_case(vhost_ring_receive(&fixture->ring, vhost_pool, &packet, 1, &fixture->errors) ==
			   1,
		   "shape %d, %u bytes\n", shape, size);
	// Nothing that the guest does afterwards matters.
	parts_fill(fixture, parts, count, 0xee);
	check_case(packet_equals(packet, frame, size), "shape %d, %u bytes\n", shape, size);
	assert_int_equal(packet->ol_flags, 0);
	assert_int_equal(packet->tx_offload, 0);
	assert_int_equal(rte_pktmbuf_headroom(packet), RTE_PKTMBUF_HEADROOM);
	assert_true(packet->data_len == size || packet->data_len >= 256);
	rte_pktmbuf_free(packet);
	assert_true(driver_take(&fixture->driver, &used, &length));
	assert_int_equal(used, id);
	assert_int_equal(length, 0);
	assert_false(driver_take(&fixture->driver, &used, &length));
}

static const uint32_t sizes[] = {1,   13,   14,	  59,	60,   63,   64,	  65,	96,
				 127, 1500, 1514, 1920, 1921, 2048, 9014, 20000};

// Each shape and size, with rings that are gone round many times.
static void test_receive(void **state)
{
	static const uint16_t ring_sizes[] = {64, 32};
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (uint32_t ring = 0; ring < RTE_DIM(ring_sizes); ring++) {
			uint64_t features = vhost_modes[mode];

			fixture_open(&fixture, features, ring_sizes[ring]);
			for (enum shape shape = 0; shape < SHAPES; shape++)
				for (uint32_t i = 0; i < RTE_DIM(sizes); i++) {
					receive_one(&fixture, shape, sizes[i], false);
					if (features & TABLES)
						receive_one(&fixture, shape, sizes[i], true);
				}
			assert_int_equal(fixture.errors.receive, 0);
			assert_null(vhost_ring_broken(&fixture.ring));
			fixture_close(&fixture);
		}
}

// A packed ring may have any number of descriptors.
static void test_receive_odd_ring(void **state)
{
	struct vhost_fixture fixture;

	fixture_open(&fixture, MODERN | PACKED | TABLES, 23);
	for (uint32_t i = 0; i < 200; i++)
		receive_one(&fixture, i % SHAPES, sizes[i % RTE_DIM(sizes)], i % 3 == 0);
	fixture_close(&fixture);
}

// What no frame is: empty, shorter than its header, larger than any. The next one comes through.
static void test_receive_lost(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		uint32_t length, huge = 0x7fffffff, header;
		struct part parts[60];
		uint16_t id;

		fixture_open(&fixture, vhost_modes[mode], 64);
		header = fixture.header;
		parts[0] = (struct part){BUFFERS, header};
		driver_add(&fixture.driver, parts, 1, false);
		parts[0].size = header - 1;
		driver_add(&fixture.driver, parts, 1, false);
		parts[0].size = 0;
		driver_add(&fixture.driver, parts, 1, false);
		// Too large by their sum, also where it is beyond 32 bits.
		for (int i = 0; i < 33; i++)
			parts[i] = (struct part){BUFFERS, 1 << 17};
		driver_add(&fixture.driver, parts, 33, false);
		driver_show(&fixture.driver);
		assert_int_equal(receive_some(&fixture, 32), 0);
		assert_int_equal(fixture.errors.receive, 4);
		for (int i = 0; i < 4; i++)
			assert_true(driver_take(&fixture.driver, &id, &length));
		receive_one(&fixture, ONE, 60, false);
		// Larger than the memory is against the rules.
		parts[0] = (struct part){BUFFERS, huge};
		driver_add(&fixture.driver, parts, 1, false);
		driver_show(&fixture.driver);
		assert_int_equal(receive_some(&fixture, 32), 0);
		assert_non_null(vhost_ring_broken(&fixture.ring));
		fixture_close(&fixture);
	}
}

// Without packet buffers frames stay where they are.
static void test_receive_without_buffers(void **state)
{
	struct rte_mbuf *all[1023], *packets[32];
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		struct part part = {BUFFERS, 100};

		fixture_open(&fixture, vhost_modes[mode], 64);
		for (int i = 0; i < 32; i++)
			driver_add(&fixture.driver, &part, 1, false);
		driver_show(&fixture.driver);
		assert_int_equal(rte_mempool_get_bulk(vhost_pool, (void **)all, RTE_DIM(all)), 0);
		assert_int_equal(receive_some(&fixture, 32), 0);
		rte_mempool_put_bulk(vhost_pool, (void **)all, 5);
		assert_in_range(
			vhost_ring_receive(&fixture.ring, vhost_pool, packets, 32, &fixture.errors),
			1, 5);
		rte_mempool_put_bulk(vhost_pool, (void **)all + 5, RTE_DIM(all) - 5);
		rte_pktmbuf_free_bulk(packets, 32 - receive_some(&fixture, 32));
		assert_int_equal(receive_some(&fixture, 32), 0);
		assert_int_equal(fixture.errors.receive, 0);
		fixture_close(&fixture);
	}
}

// A buffer to send to, and what was made of it.
struct target {
	struct part parts[64];
	uint32_t count;
	uint32_t size;
	uint16_t id;
};

static void target_add(struct vhost_fixture *fixture, struct target *target, enum shape shape,
		       uint32_t place, uint32_t size, bool table)
{
	target->size = size;
	target->count = parts_make(shape, place, fixture->header, size, target->parts);
	parts_fill(fixture, target->parts, target->count, 0xee);
	target->id = add(fixture, target->parts, target->count, table, true);
}

// The next `buffers` used ones are those, in their order, and hold the frame with a header that
// says nothing else.
static void targets_check(struct vhost_fixture *fixture, struct target *targets, uint32_t buffers,
			  const uint8_t *data, uint32_t size)
{
	static uint8_t all[200000];
	struct virtio_net_hdr_mrg_rxbuf header = {0};
	uint32_t done = 0, length;
	uint16_t id;

	for (uint32_t i = 0; i < buffers; i++) {
		struct target *target = &targets[i];

		assert_true(driver_take(&fixture->driver, &id, &length));
		assert_int_equal(id, target->id);
		assert_in_range(length, 1, target->size);
		parts_read(fixture, target->parts, target->count, all + done, target->size);
		// Behind its end nothing was touched.
		for (uint32_t j = length; j < target->size; j++)
			assert_int_equal(all[done + j], 0xee);
		done += length;
	}
	assert_int_equal(done, fixture->header + size);
	header.num_buffers = (uint16_t)buffers;
	assert_memory_equal(all, &header, fixture->header);
	assert_memory_equal(all + fixture->header, data, size);
}

static uint16_t send_some(struct vhost_fixture *fixture, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t sent = vhost_ring_send(&fixture->ring, packets, count, &fixture->errors);

	rte_pktmbuf_free_bulk(packets, count);
	return sent;
}

static void send_one(struct vhost_fixture *fixture, enum shape shape, uint32_t size, uint32_t room,
		     bool table)
{
	struct rte_mbuf *packet = packet_of(frame, size, room % 2 ? 2048 : 700);
	struct target target;

	target_add(fixture, &target, shape, 0, fixture->header + size + room, table);
	driver_show(&fixture->driver);
	check_case(send_some(fixture, &packet, 1) == 1, "shape %d, %u bytes\n", shape, size);
	targets_check(fixture, &target, 1, frame, size);
}

static void test_send(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		fixture_open(&fixture, vhost_modes[mode], 64);
		for (enum shape shape = 0; shape < SHAPES; shape++)
			for (uint32_t i = 0; i < RTE_DIM(sizes); i++) {
				send_one(&fixture, shape, sizes[i], 0, false);
				send_one(&fixture, shape, sizes[i], 77, false);
				if (vhost_modes[mode] & TABLES)
					send_one(&fixture, shape, sizes[i], 100, true);
			}
		assert_int_equal(fixture.errors.send, 0);
		fixture_close(&fixture);
	}
}

// A frame in several buffers, as many as it needs and no more; too few are left alone.
static void test_send_merged(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		static struct target targets[60];
		struct rte_mbuf *packet;

		if (!(vhost_modes[mode] & MERGE))
			continue;
		fixture_open(&fixture, vhost_modes[mode], 64);
		for (int round = 0; round < 30; round++) {
			for (uint32_t i = 0; i < 6; i++)
				target_add(&fixture, &targets[i], i == 4 ? OWN_HEADER : ONE, i,
					   1526, false);
			driver_show(&fixture.driver);
			packet = packet_of(frame, 6 * 1526 - fixture.header + 1, 2048);
			assert_int_equal(send_some(&fixture, &packet, 1), 0);
			target_add(&fixture, &targets[6], ONE, 6, 1526, false);
			driver_show(&fixture.driver);
			packet = packet_of(frame, 7 * 1526 - fixture.header + 1, 2048);
			assert_int_equal(send_some(&fixture, &packet, 1), 0);
			packet = packet_of(frame, 9014, 2048);
			assert_int_equal(send_some(&fixture, &packet, 1), 1);
			targets_check(&fixture, targets, 6, frame, 9014);
			packet = packet_of(frame, 60, 2048);
			assert_int_equal(send_some(&fixture, &packet, 1), 1);
			targets_check(&fixture, targets + 6, 1, frame, 60);
		}
		// Buffers that are smaller than headers.
		for (uint32_t i = 0; i < 40; i++)
			target_add(&fixture, &targets[i], ONE, i, 5, false);
		driver_show(&fixture.driver);
		packet = packet_of(frame, 60, 2048);
		assert_int_equal(send_some(&fixture, &packet, 1), 1);
		targets_check(&fixture, targets, 15, frame, 60);
		assert_int_equal(fixture.errors.send, 0);
		fixture_close(&fixture);
	}
}

// Without merging, a frame for which the next buffer is too small is lost, and the buffer is not.
static void test_send_too_large(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		struct rte_mbuf *packets[3];
		struct target targets[2];

		if (vhost_modes[mode] & MERGE)
			continue;
		fixture_open(&fixture, vhost_modes[mode], 64);
		target_add(&fixture, &targets[0], ONE, 0, 1526, false);
		target_add(&fixture, &targets[1], ONE, 1, 1526, false);
		driver_show(&fixture.driver);
		packets[0] = packet_of(frame, 60, 2048);
		packets[1] = packet_of(frame, 1600, 2048);
		packets[2] = packet_of(frame, 61, 2048);
		assert_int_equal(send_some(&fixture, packets, 3), 3);
		assert_int_equal(fixture.errors.send, 1);
		targets_check(&fixture, &targets[0], 1, frame, 60);
		targets_check(&fixture, &targets[1], 1, frame, 61);
		fixture_close(&fixture);
	}
}

// Bursts of anything, in any number. Both directions of one mode take turns on rings of their own.
static void test_bursts(void **state)
{
	static struct vhost_fixture transmit, receive;
	static struct target targets[32];

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		uint64_t features = vhost_modes[mode];

		fixture_open(&transmit, features, 256);
		fixture_open(&receive, features, 256);
		for (int round = 0; round < 100; round++) {
			uint32_t count = 1 + random_below(&source, 32), lengths[32], length;
			uint32_t shapes = random_below(&source, 3);
			struct rte_mbuf *packets[64];
			uint16_t taken = 0, id;

			for (uint32_t i = 0; i < count; i++) {
				// Often what is usual; the last two shapes have one place only.
				enum shape shape = random_below(&source, 1 + 2 * shapes);
				bool table = features & TABLES && !random_below(&source, 4);
				struct part parts[64];
				uint32_t n;

				if (shape == BORDER && i)
					shape = ONE;
				lengths[i] = random_below(&source, 3)
						     ? 1 + random_below(&source, 99)
						     : 1 + random_below(&source, 9000);
				n = parts_make(shape, i, transmit.header,
					       transmit.header + lengths[i], parts);
				random_fill(&source, frames[i], lengths[i]);
				parts_write(&transmit, parts, n, NULL, frames[i], lengths[i]);
				add(&transmit, parts, n, table, false);
				shape = random_below(&source, 1 + 2 * shapes);
				if (shape == BORDER && i)
					shape = ONE;
				target_add(&receive, &targets[i], shape, i,
					   receive.header + lengths[i] + random_below(&source, 20),
					   table);
			}
			driver_show(&transmit.driver);
			driver_show(&receive.driver);
			// It may be in parts.
			while (taken < count) {
				uint16_t more =
					vhost_ring_receive(&transmit.ring, vhost_pool,
							   packets + taken, 32, &transmit.errors);

				assert_int_not_equal(more, 0);
				taken = (uint16_t)(taken + more);
			}
			assert_int_equal(taken, count);
			for (uint32_t i = 0; i < count; i++) {
				assert_true(packet_equals(packets[i], frames[i], lengths[i]));
				assert_true(driver_take(&transmit.driver, &id, &length));
			}
			assert_int_equal(send_some(&receive, packets, taken), taken);
			for (uint32_t i = 0; i < count; i++)
				targets_check(&receive, &targets[i], 1, frames[i], lengths[i]);
		}
		fixture_close(&transmit);
		fixture_close(&receive);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_receive_odd_ring),
		cmocka_unit_test(test_receive_lost),
		cmocka_unit_test(test_receive_without_buffers),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_send_merged),
		cmocka_unit_test(test_send_too_large),
		cmocka_unit_test(test_bursts),
	};

	source.state = random_seed();
	printf("SLUICE_TEST_SEED=%llu\n", (unsigned long long)source.state);
	random_fill(&source, frame, sizeof(frame));
	return vhost_tests_run("vhost_ring", tests, RTE_DIM(tests));
}

// Who wakes whom, where a ring begins and goes on, what headers say, and what is noted for a live
// migration.

#include "vhost_fixture.h"

#include <arpa/inet.h>

#include "port/offload.h"

static uint8_t frame[2000];

static void add_one(struct vhost_fixture *fixture, bool write)
{
	struct part part = {BUFFERS, 200};

	driver_add(&fixture->driver, &part, 1, write);
}

static uint16_t send_frame(struct vhost_fixture *fixture)
{
	struct rte_mbuf *packet = packet_of(frame, 60, 2048);
	uint16_t sent = vhost_ring_send(&fixture->ring, &packet, 1, &fixture->errors);

	rte_pktmbuf_free(packet);
	return sent;
}

static void take_all(struct vhost_fixture *fixture)
{
	uint32_t size;
	uint16_t id;

	while (driver_take(&fixture->driver, &id, &size))
		;
}

// The guest is called once for what it waits for, and not at all if it doesn't wait.
static void test_call(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		fixture_open(&fixture, vhost_modes[mode], 16);
		driver_want_call(&fixture.driver, false);
		// For the first burst it is called in any case: what it said before is unknown.
		add_one(&fixture, false);
		driver_show(&fixture.driver);
		assert_int_equal(receive_some(&fixture, 32), 1);
		take_all(&fixture);
		assert_int_equal(driver_calls(&fixture.driver), 1);
		for (int round = 0; round < 100; round++) {
			int count = 1 + round % 8;

			driver_want_call(&fixture.driver, false);
			for (int i = 0; i < count; i++)
				add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_int_equal(receive_some(&fixture, 32), count);
			assert_int_equal(driver_calls(&fixture.driver), 0);
			take_all(&fixture);
			assert_int_equal(receive_some(&fixture, 32), 0);
			driver_want_call(&fixture.driver, true);
			assert_int_equal(receive_some(&fixture, 32), 0);
			assert_int_equal(driver_calls(&fixture.driver), 0);
			for (int i = 0; i < count; i++)
				add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_int_equal(receive_some(&fixture, 32), count);
			assert_int_equal(driver_calls(&fixture.driver), 1);
			take_all(&fixture);
		}
		fixture_close(&fixture);
		// Without a descriptor there is nobody to call.
		fixture_open(&fixture, vhost_modes[mode], 16);
		fixture.driver.setup.call_fd = -1;
		fixture_reopen(&fixture);
		add_one(&fixture, true);
		driver_show(&fixture.driver);
		assert_int_equal(send_frame(&fixture), 1);
		assert_int_equal(driver_calls(&fixture.driver), 0);
		fixture_close(&fixture);
	}
}

// A guest that begins to wait while its buffers are given back is called at the next turn, or
// before the worker sleeps, or at the ring's end.
static void test_call_late(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (uint32_t round = 0; round < 90; round++) {
			if (round == 0) {
				fixture_open(&fixture, vhost_modes[mode], 16);
				fixture.ring.called = true;
			}
			driver_want_call(&fixture.driver, false);
			add_one(&fixture, false);
			add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_int_equal(receive_some(&fixture, 32), 2);
			assert_int_equal(driver_calls(&fixture.driver), 0);
			driver_want_call(&fixture.driver, true);
			if (round % 3 == 0)
				assert_int_equal(receive_some(&fixture, 32), 0);
			else if (round % 3 == 1)
				assert_true(vhost_ring_arm(&fixture.ring));
			else
				vhost_ring_base(&fixture.ring);
			assert_int_equal(driver_calls(&fixture.driver), 1);
			assert_int_equal(receive_some(&fixture, 32), 0);
			assert_int_equal(driver_calls(&fixture.driver), 0);
			take_all(&fixture);
			if (round == 89)
				fixture_close(&fixture);
		}
}

// Kicks are asked for by arm, and it says if that came too late.
static void test_arm(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		fixture_open(&fixture, vhost_modes[mode], 16);
		for (int round = 0; round < 100; round++) {
			add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_false(driver_kicks(&fixture.driver, 1) && round);
			assert_false(vhost_ring_arm(&fixture.ring));
			vhost_ring_disarm(&fixture.ring);
			assert_int_equal(receive_some(&fixture, 32), 1);
			take_all(&fixture);
			assert_true(vhost_ring_arm(&fixture.ring));
			add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_true(driver_kicks(&fixture.driver, 1));
			vhost_ring_disarm(&fixture.ring);
			assert_int_equal(receive_some(&fixture, 32), 1);
			take_all(&fixture);
		}
		fixture_close(&fixture);
	}
}

// A ring that is closed and opened anew goes on where it was.
static void test_base(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		bool packed = vhost_modes[mode] & PACKED;

		fixture_open(&fixture, vhost_modes[mode], 16);
		assert_int_equal(vhost_ring_base(&fixture.ring), packed ? 0x80008000 : 0);
		for (uint32_t i = 0; i < 70; i++) {
			uint32_t base = vhost_ring_base(&fixture.ring);

			assert_int_equal(base & 0x7fff, packed ? i % 16 : i);
			if (packed)
				assert_int_equal(base >> 15 & 1, !(i / 16 % 2));
			fixture.driver.setup.base = base;
			memset(&fixture.ring, 0xff, sizeof(fixture.ring));
			fixture_reopen(&fixture);
			add_one(&fixture, false);
			driver_show(&fixture.driver);
			assert_int_equal(receive_some(&fixture, 32), 1);
			take_all(&fixture);
		}
		// virtio-user says 0 always; the used ring knows better.
		if (!packed) {
			fixture.driver.setup.base = 0;
			fixture_reopen(&fixture);
			assert_int_equal(vhost_ring_base(&fixture.ring), 70);
		}
		fixture_close(&fixture);
	}
}

#define REFUSED(change)                                                                          \
	do {                                                                                     \
		fixture_open(&fixture, features, 16);                                            \
		setup = fixture.driver.setup;                                                    \
		assert_int_equal(vhost_ring_open(&ring, &setup, &err), 0);                       \
		change;                                                                          \
		err.text[0] = 0;                                                                 \
		check_case(vhost_ring_open(&ring, &setup, &err) == -1, "%llx\n",                 \
			   (unsigned long long)features);                                        \
		assert_int_not_equal(err.text[0], 0);                                            \
		assert_int_equal(                                                                \
			vhost_ring_receive(&ring, vhost_pool, packets, 32, &fixture.errors), 0); \
		fixture_close(&fixture);                                                         \
	} while (0)

static void test_open(void **state)
{
	uint8_t elsewhere[64] __attribute__((aligned(64))) = {0};
	struct vhost_fixture fixture;
	struct vhost_ring_setup setup;
	struct rte_mbuf *packets[32];
	struct vhost_ring ring;
	struct error err;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		uint64_t features = vhost_modes[mode];
		uint8_t *end;

		REFUSED(setup.size = 0);
		REFUSED(setup.size = 32769);
		REFUSED(setup.descriptors = (uint8_t *)setup.descriptors + 8);
		REFUSED(setup.driver = (uint8_t *)setup.driver + 1);
		REFUSED(setup.device = (uint8_t *)setup.device + 2);
		REFUSED(setup.descriptors = elsewhere);
		REFUSED(setup.driver = elsewhere);
		REFUSED(setup.device = elsewhere);
		REFUSED(setup.descriptors = NULL);
		REFUSED(end = (uint8_t *)driver_at(&fixture.driver, REGION_2) + REGION_SIZE;
			setup.descriptors = end - 15 * 16);
		REFUSED(end = (uint8_t *)driver_at(&fixture.driver, REGION_2) + REGION_SIZE;
			setup.device = end);
		if (features & PACKED) {
			REFUSED(setup.base = 16);
		} else {
			REFUSED(setup.size = 15);
			REFUSED(end = (uint8_t *)driver_at(&fixture.driver, REGION_2) + REGION_SIZE;
				setup.device = end - 4 - 15 * 8);
			REFUSED(end = (uint8_t *)driver_at(&fixture.driver, REGION_2) + REGION_SIZE;
				setup.driver = end - 4 - 15 * 2);
		}
	}
}

// Ethernet, IPv4, UDP with ten bytes.
static uint32_t udp_build(uint8_t *to)
{
	static const uint8_t headers[] = {
		2, 0,  0,  0, 0, 1,  2, 0, 0, 0,  0, 2, 8, 0, 0x45, 0, 0, 38, 0,  0,	0,
		0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1,    0, 2, 0,  18, 0xab, 0xcd,
	};

	memset(to, 0, 60);
	memcpy(to, headers, sizeof(headers));
	return sizeof(headers) + 10;
}

// A header's wish is held against the frame, and said again where it leaves.
static void test_unfinished(void **state)
{
	struct virtio_net_hdr wish = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	struct vhost_fixture fixture, to;
	struct rte_mbuf *packets[32];
	struct virtio_net_hdr said;
	uint32_t size;
	uint16_t id;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (int separate = 0; separate < 3; separate++) {
			struct part parts[3][2];
			uint32_t length = udp_build(frame), count = separate ? 2 : 1;

			fixture_open(&fixture, vhost_modes[mode], 16);
			fixture_open(&to, vhost_modes[mode], 16);
			for (uint32_t i = 0; i < 3; i++) {
				struct virtio_net_hdr header = wish;
				// Of one byte, so that it is no slot.
				uint32_t head = separate == 2 ? 1 : fixture.header;

				parts[i][0] =
					(struct part){BUFFERS + i * 500, fixture.header + length};
				if (separate) {
					parts[i][0].size = head;
					parts[i][1] = (struct part){BUFFERS + i * 500 + 250,
								    fixture.header + length - head};
				}
				if (i == 1)
					header.csum_start = 3000;
				parts_write(&fixture, parts[i], count, &header, frame, length);
				driver_add(&fixture.driver, parts[i], count, false);
				parts[i][0] = (struct part){BUFFERS + i * 500, 300};
				driver_add(&to.driver, parts[i], 1, true);
			}
			driver_show(&fixture.driver);
			driver_show(&to.driver);
			assert_int_equal(vhost_ring_receive(&fixture.ring, vhost_pool, packets, 32,
							    &fixture.errors),
					 2);
			assert_int_equal(fixture.errors.offload, 1);
			assert_true(packets[0]->ol_flags & RTE_MBUF_F_TX_UDP_CKSUM);
			assert_true(packets[1]->ol_flags & RTE_MBUF_F_TX_UDP_CKSUM);
			assert_int_equal(packets[1]->l2_len, 14);
			// Flags that contradict the packet.
			packets[2] = packet_of(frame, length, 2048);
			packets[2]->ol_flags = RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV4;
			packets[2]->l2_len = 100;
			packets[3] = packet_of(frame, 60, 2048);
			assert_int_equal(vhost_ring_send(&to.ring, packets, 4, &to.errors), 4);
			assert_int_equal(to.errors.send, 1);
			rte_pktmbuf_free_bulk(packets, 4);
			for (int i = 0; i < 2; i++) {
				parts_read(&to, parts[i], 1, &said, sizeof(said));
				assert_int_equal(said.flags, wish.flags);
				assert_int_equal(said.gso_type, 0);
				assert_int_equal(said.csum_start, wish.csum_start);
				assert_int_equal(said.csum_offset, wish.csum_offset);
				assert_true(driver_take(&to.driver, &id, &size));
				assert_int_equal(size, to.header + length);
			}
			parts_read(&to, parts[2], 1, &said, sizeof(said));
			assert_int_equal(said.flags, 0);
			fixture_close(&fixture);
			fixture_close(&to);
		}
}

static bool is_marked(const uint8_t *bits, uint64_t guest)
{
	return bits[guest / VHOST_LOG_PAGE / 8] >> guest / VHOST_LOG_PAGE % 8 & 1;
}

// Exactly the pages that were written: of buffers, and of the ring.
static void test_log(void **state)
{
	static uint8_t bits[(REGION_2 + REGION_SIZE) / VHOST_LOG_PAGE / 8];
	struct vhost_log log = {bits, sizeof(bits)};
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		struct part write = {REGION_2 + 2 * 4096 - 30, 4096}, read = {BUFFERS, 100};
		uint64_t ring;
		uint32_t marked = 0;

		fixture_open(&fixture, vhost_modes[mode], 256);
		fixture.driver.setup.log = &log;
		fixture_reopen(&fixture);
		memset(bits, 0, sizeof(bits));
		assert_true(vhost_memory_guest(&fixture.driver.memory,
					       vhost_modes[mode] & PACKED
						       ? fixture.driver.setup.descriptors
						       : fixture.driver.setup.device,
					       1, &ring));
		driver_add(&fixture.driver, &write, 1, true);
		driver_show(&fixture.driver);
		assert_int_equal(send_frame(&fixture), 1);
		// 12 + 60 bytes from 30 bytes before the page's end.
		assert_true(is_marked(bits, REGION_2 + 4096));
		assert_true(is_marked(bits, REGION_2 + 8192));
		assert_true(is_marked(bits, ring));
		for (uint32_t i = 0; i < sizeof(bits); i++)
			marked += (uint32_t)__builtin_popcount(bits[i]);
		assert_int_equal(marked, 3);

		memset(bits, 0, sizeof(bits));
		driver_add(&fixture.driver, &read, 1, false);
		driver_show(&fixture.driver);
		assert_int_equal(receive_some(&fixture, 1), 1);
		assert_true(is_marked(bits, ring));
		assert_false(is_marked(bits, BUFFERS));
		// Of a log that ends earlier nothing behind its end is touched.
		log.size = REGION_2 / VHOST_LOG_PAGE / 8;
		memset(bits, 0, sizeof(bits));
		driver_add(&fixture.driver, &write, 1, true);
		driver_show(&fixture.driver);
		assert_int_equal(send_frame(&fixture), 1);
		assert_false(is_marked(bits, REGION_2 + 4096));
		assert_true(is_marked(bits, ring));
		log.size = sizeof(bits);
		fixture_close(&fixture);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_call), cmocka_unit_test(test_call_late),
		cmocka_unit_test(test_arm),  cmocka_unit_test(test_base),
		cmocka_unit_test(test_open), cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_log),
	};

	return vhost_tests_run("vhost_wake", tests, RTE_DIM(tests));
}

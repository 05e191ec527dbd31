// Guests that break the rules of virtqueues: the ring does nothing more, and nothing else is
// touched. And one that changes everything while it is read.

#include "vhost_fixture.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static void add_usual(struct vhost_fixture *fixture, bool write)
{
	struct part part = {BUFFERS, 100};

	driver_add(&fixture->driver, &part, 1, write);
}

// Receives or sends; how many went through.
static uint16_t turn(struct vhost_fixture *fixture, bool send)
{
	struct rte_mbuf *packets[4];
	uint8_t frame[60] = {0};
	uint16_t sent;

	if (!send)
		return receive_some(fixture, 32);
	for (int i = 0; i < 4; i++)
		packets[i] = packet_of(frame, sizeof(frame), 2048);
	sent = vhost_ring_send(&fixture->ring, packets, 4, &fixture->errors);
	rte_pktmbuf_free_bulk(packets, 4);
	return sent;
}

// One good buffer, then a bad one, then another good one. The first goes through, the rest never.
static void break_with(struct vhost_fixture *fixture, bool send, const char *what)
{
	uint32_t size;
	uint16_t id;

	add_usual(fixture, send);
	driver_show(&fixture->driver);
	check_case(turn(fixture, send) == 1, "%s\n", what);
	assert_true(driver_take(&fixture->driver, &id, &size));
	check_case(vhost_ring_broken(&fixture->ring), "%s\n", what);
	check_case(turn(fixture, send) == 0, "%s\n", what);
	assert_true(vhost_ring_arm(&fixture->ring));
	vhost_ring_disarm(&fixture->ring);
	assert_false(driver_take(&fixture->driver, &id, &size));
	fixture_close(fixture);
}

static void begin(struct vhost_fixture *fixture, uint64_t features, bool send)
{
	fixture_open(fixture, features, 16);
	add_usual(fixture, send);
}

static struct vring_desc *split_table(struct vhost_fixture *fixture)
{
	return fixture->driver.setup.descriptors;
}

// One descriptor or several, with one of them wrong, in every kind of ring and direction.
static void test_addresses(void **state)
{
	static const struct part wrong[] = {
		{0, 100},
		{REGION_0 - 1, 100},
		{REGION_2 - 1, 1},
		{REGION_2 + REGION_SIZE, 1},
		{REGION_2 + REGION_SIZE - 99, 100},
		{REGION_1 + REGION_SIZE - 10, 2000},
		{UINT64_MAX, 1},
		{UINT64_MAX - 50, 100},
		{REGION_2, UINT32_MAX},
		{UINT64_C(1) << 63, 0x80000000},
	};
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (int send = 0; send < 2; send++)
			for (uint32_t i = 0; i < RTE_DIM(wrong); i++)
				for (uint32_t at = 0; at < 4; at++) {
					struct part parts[4] = {{BUFFERS, fixture.header},
								{BUFFERS, 10},
								{BUFFERS, 10}};

					parts[0].size =
						vhost_modes[mode] & (MODERN | MERGE) ? 12 : 10;
					parts[at] = wrong[i];
					begin(&fixture, vhost_modes[mode], send);
					driver_add(&fixture.driver, parts, at + 1, send);
					break_with(&fixture, send, "descriptor");
					if (!(vhost_modes[mode] & TABLES))
						continue;
					begin(&fixture, vhost_modes[mode], send);
					driver_add_table(&fixture.driver, parts, at + 1, send);
					break_with(&fixture, send, "table");
				}
}

// A buffer for the other direction.
static void test_direction(void **state)
{
	struct part parts[2] = {{BUFFERS, 12}, {BUFFERS, 100}};
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (int send = 0; send < 2; send++) {
			begin(&fixture, vhost_modes[mode], send);
			driver_add(&fixture.driver, parts + 1, 1, !send);
			break_with(&fixture, send, "direction");
			begin(&fixture, vhost_modes[mode], send);
			driver_add(&fixture.driver, parts, 2, !send);
			break_with(&fixture, send, "direction of two");
			if (!(vhost_modes[mode] & TABLES))
				continue;
			begin(&fixture, vhost_modes[mode], send);
			driver_add_table(&fixture.driver, parts, 2, !send);
			break_with(&fixture, send, "direction in a table");
		}
}

#define SPLIT_BREAKS(what, change)                           \
	do {                                                 \
		begin(&fixture, features, send);             \
		table = split_table(&fixture);               \
		avail = fixture.driver.setup.driver;         \
		driver_add(&fixture.driver, parts, 2, send); \
		change;                                      \
		break_with(&fixture, send, what);            \
	} while (0)

static void test_split(void **state)
{
	const uint16_t write = VRING_DESC_F_WRITE, next = VRING_DESC_F_NEXT;
	struct part parts[2] = {{BUFFERS, 12}, {BUFFERS, 100}};
	struct vhost_fixture fixture;
	struct vring_avail *avail;
	struct vring_desc *table;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (int send = 0; send < 2; send++) {
			uint64_t features = vhost_modes[mode];
			uint16_t way = send ? write : 0;

			if (features & PACKED)
				continue;
			SPLIT_BREAKS("head", avail->ring[1] = 16);
			SPLIT_BREAKS("head", avail->ring[1] = 0xffff);
			SPLIT_BREAKS("next", table[1].next = 16);
			SPLIT_BREAKS("next", table[1].next = 0xffff);
			SPLIT_BREAKS("loop of one", table[1].next = 1);
			SPLIT_BREAKS("loop of two", table[2].flags = way | next; table[2].next = 1);
			// A table, where none was negotiated or allowed.
			SPLIT_BREAKS("table", table[1] = ((struct vring_desc){
						      .addr = BUFFERS, .len = 24, .flags = 4}));
			SPLIT_BREAKS(
				"table that goes on",
				table[1] = ((struct vring_desc){
					.addr = BUFFERS, .len = 32, .flags = 4 | 1, .next = 2}));
		}
}

// The guest's index runs away, also while there is something to do.
static void test_index(void **state)
{
	static const uint16_t jumps[] = {17, 18, 1000, 0x7fff, 0x8000, 0xffff};
	struct vhost_fixture fixture;

	for (uint32_t i = 0; i < RTE_DIM(jumps); i++)
		for (int send = 0; send < 2; send++) {
			fixture_open(&fixture, MODERN, 16);
			add_usual(&fixture, send);
			fixture.driver.avail = jumps[i];
			driver_show(&fixture.driver);
			assert_int_equal(turn(&fixture, send), 0);
			assert_non_null(vhost_ring_broken(&fixture.ring));
			fixture_close(&fixture);
		}
}

// The same with arm, which looks, too.
static void test_index_armed(void **state)
{
	struct vhost_fixture fixture;

	fixture_open(&fixture, MODERN, 16);
	fixture.driver.avail = 100;
	driver_show(&fixture.driver);
	assert_true(vhost_ring_arm(&fixture.ring));
	assert_non_null(vhost_ring_broken(&fixture.ring));
	fixture_close(&fixture);
}

static void table_write(struct vhost_fixture *fixture, uint32_t i, uint64_t guest, uint32_t size,
			uint16_t flags, uint16_t next)
{
	struct vring_desc *table = driver_at(&fixture->driver, REGION_2 + 0x1000);
	struct vring_packed_desc *packed = (void *)table;

	if (fixture->driver.packed)
		packed[i] = (struct vring_packed_desc){guest, size, 0, flags};
	else
		table[i] = (struct vring_desc){guest, size, flags, next};
}

// Adds the table at REGION_2 + 0x1000.
static void table_add(struct vhost_fixture *fixture, uint64_t guest, uint32_t size, uint16_t flags)
{
	struct part part = {guest, size};

	driver_add(&fixture->driver, &part, 1, false);
	if (fixture->driver.packed)
		((struct vring_packed_desc *)fixture->driver.setup.descriptors)[1].flags |=
			VRING_DESC_F_INDIRECT | flags;
	else
		split_table(fixture)[1].flags |= VRING_DESC_F_INDIRECT | flags;
}

#define TABLE_BREAKS(what, size, flags, ...)                                                   \
	do {                                                                                   \
		begin(&fixture, features, send);                                               \
		table_write(&fixture, 0, BUFFERS, 12, (uint16_t)(way | VRING_DESC_F_NEXT), 1); \
		table_write(&fixture, 1, BUFFERS, 100, way, 0);                                \
		__VA_ARGS__;                                                                   \
		table_add(&fixture, REGION_2 + 0x1000, size, flags);                           \
		break_with(&fixture, send, what);                                              \
	} while (0)

static void test_tables(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++)
		for (int send = 0; send < 2; send++) {
			uint64_t features = vhost_modes[mode];
			uint16_t way = send ? VRING_DESC_F_WRITE : 0;

			if (!(features & TABLES)) {
				TABLE_BREAKS("not negotiated", 32, 0, (void)0);
				continue;
			}
			TABLE_BREAKS("empty", 0, 0, (void)0);
			TABLE_BREAKS("part of one", 15, 0, (void)0);
			TABLE_BREAKS("part of two", 31, 0, (void)0);
			TABLE_BREAKS("too large", 16 * (VHOST_INDIRECT_MAX + 1), 0, (void)0);
			TABLE_BREAKS("huge", 0xfffffff0, 0, (void)0);
			TABLE_BREAKS("that goes on", 32, VRING_DESC_F_NEXT, (void)0);
			begin(&fixture, features, send);
			table_add(&fixture, REGION_2 - 16, 32, 0);
			break_with(&fixture, send, "outside");
			begin(&fixture, features, send);
			table_write(&fixture, 0, BUFFERS, 12, way | VRING_DESC_F_NEXT, 1);
			memcpy(driver_at(&fixture.driver, REGION_2 + REGION_SIZE - 16),
			       driver_at(&fixture.driver, REGION_2 + 0x1000), 16);
			table_add(&fixture, REGION_2 + REGION_SIZE - 16, 32, 0);
			break_with(&fixture, send, "over the end");
			begin(&fixture, features, send);
			table_add(&fixture, UINT64_MAX - 15, 64, 0);
			break_with(&fixture, send, "at the end of all");
			if (features & PACKED)
				continue;
			TABLE_BREAKS("table in a table", 32, 0,
				     table_write(&fixture, 1, REGION_2 + 0x1000, 32,
						 VRING_DESC_F_INDIRECT, 0));
			TABLE_BREAKS("table in a table", 32, 0,
				     table_write(&fixture, 0, REGION_2 + 0x1000, 32,
						 VRING_DESC_F_INDIRECT, 0));
			TABLE_BREAKS("loop", 32, 0,
				     table_write(&fixture, 1, BUFFERS, 100, way | 1, 0));
			TABLE_BREAKS("next", 32, 0,
				     table_write(&fixture, 1, BUFFERS, 100, way | 1, 2));
			TABLE_BREAKS("next", 32, 0,
				     table_write(&fixture, 0, BUFFERS, 12, way | 1, 0xffff));
		}
}

// A packed ring in which every descriptor says that it goes on.
static void test_packed_loop(void **state)
{
	struct part part = {BUFFERS, 100};
	struct vhost_fixture fixture;

	for (int size = 1; size < 20; size += 6)
		for (int send = 0; send < 2; send++) {
			struct vring_packed_desc *ring;

			fixture_open(&fixture, MODERN | PACKED, (uint16_t)size);
			for (int i = 0; i < size; i++)
				driver_add(&fixture.driver, &part, 1, send);
			driver_show(&fixture.driver);
			ring = fixture.driver.setup.descriptors;
			for (int i = 0; i < size; i++)
				ring[i].flags |= VRING_DESC_F_NEXT;
			assert_int_equal(turn(&fixture, send), 0);
			assert_non_null(vhost_ring_broken(&fixture.ring));
			fixture_close(&fixture);
		}
}

// ---- changes while it is read

// The eventfd is the guest's as well: it blocks who writes, and takes no more.
static void test_call_blocks(void **state)
{
	aio_context_t context = 0;

	// Where a program of another CPU is emulated, there is no way to signal without a wait.
	if (syscall(SYS_io_setup, 1, &context) < 0)
		skip();
	syscall(SYS_io_destroy, context);
	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		struct vhost_fixture fixture;
		uint64_t full = UINT64_MAX - 1;

		fixture_open(&fixture, vhost_modes[mode], 16);
		assert_int_equal(fcntl(fixture.driver.call_fd, F_SETFL, 0), 0);
		assert_int_equal(write(fixture.driver.call_fd, &full, sizeof(full)), sizeof(full));
		alarm(20);
		for (int i = 0; i < 4; i++)
			add_usual(&fixture, true);
		driver_show(&fixture.driver);
		assert_int_equal(turn(&fixture, true), 4);
		alarm(0);
		fixture_close(&fixture);
	}
}

struct scribbler {
	struct vhost_driver *driver;
	_Atomic bool stop;
	uint64_t seed;
};

// Values that matter, at places that matter.
static void *scribble(void *argument)
{
	static const uint64_t addresses[] = {BUFFERS,
					     BUFFERS + 30,
					     BUFFERS + 7,
					     REGION_2,
					     REGION_2 + 5,
					     REGION_1 - 20,
					     REGION_2 + REGION_SIZE - 20,
					     0,
					     UINT64_MAX - 5};
	static const uint32_t lengths[] = {0, 12, 13, 72, 100, 5000, 0xffffffff, 32};
	struct scribbler *scribbler = argument;
	struct random random = {scribbler->seed};
	struct vhost_driver *driver = scribbler->driver;
	volatile struct vring_desc *table = driver->setup.descriptors;
	volatile struct vring_avail *avail = driver->setup.driver;
	volatile uint8_t *buffer = driver_at(driver, BUFFERS);
	volatile uint8_t *other = driver_at(driver, REGION_2);

	while (!scribbler->stop) {
		uint32_t i = random_below(&random, driver->size);

		switch (random_below(&random, 8)) {
		case 0:
			table[i].addr = addresses[random_below(&random, RTE_DIM(addresses))];
			break;
		case 1:
			table[i].len = lengths[random_below(&random, RTE_DIM(lengths))];
			break;
		case 2:
			// In packed rings these are id and flags.
			table[i].flags = (uint16_t)random_next(&random) & (driver->packed ? 31 : 7);
			break;
		case 3:
			table[i].next = (uint16_t)(driver->packed ? random_next(&random) & 0x8087
								  : random_below(&random, 40));
			break;
		case 4:
			avail->ring[i] = (uint16_t)random_below(&random, driver->size + 1u);
			break;
		case 5:
			if (!driver->packed)
				avail->idx = (uint16_t)(avail->idx + random_below(&random, 5));
			break;
		case 6:
			buffer[random_below(&random, 64)] = (uint8_t)random_next(&random) & 7;
			break;
		default:
			other[random_below(&random, 64)] = (uint8_t)random_next(&random) & 7;
			break;
		}
	}
	return NULL;
}

#define ROUNDS 2000

// A guest that does right: all descriptors are frames to be sent or, every other round, room for
// some, and all are available.
static void refill(struct vhost_fixture *fixture, bool write)
{
	struct vring_desc *table = fixture->driver.setup.descriptors;
	struct vring_packed_desc *ring = fixture->driver.setup.descriptors;
	struct vring_avail *avail = fixture->driver.setup.driver;
	uint32_t base = vhost_ring_base(&fixture->ring);
	uint16_t flags = write ? VRING_DESC_F_WRITE : 0;

	for (uint32_t i = 0; i < fixture->driver.size; i++) {
		bool wrap = !(base >> 15 & 1) == (i < (base & 0x7fff));

		if (fixture->driver.packed) {
			ring[i] = (struct vring_packed_desc){
				BUFFERS + 128 * i, 100, 0,
				(uint16_t)(flags | (wrap ? 1 << 7 : 1 << 15))};
		} else {
			table[i] = (struct vring_desc){BUFFERS + 128 * i, 100, flags, 0};
			avail->ring[i] = (uint16_t)i;
		}
	}
	if (!fixture->driver.packed)
		avail->idx = (uint16_t)(base + fixture->driver.size);
}

// What comes of it must be whole packets; what is outside of the guest's memory is looked after by
// guard pages and sanitizers.
static void test_scribbler(void **state)
{
	struct vhost_fixture fixture;

	for (uint32_t mode = 0; mode < vhost_modes_count; mode++) {
		struct scribbler scribbler = {&fixture.driver, false, 1 + mode};
		uint32_t broken = 0, received = 0, sent = 0;
		pthread_t thread;

		fixture_open(&fixture, vhost_modes[mode], 32);
		assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
		for (uint32_t round = 0; round < ROUNDS || (!broken && round < 20 * ROUNDS);
		     round++) {
			struct rte_mbuf *packets[32];
			uint16_t taken;

			refill(&fixture, round % 2);
			taken = round % 2 ? 0
					  : vhost_ring_receive(&fixture.ring, vhost_pool, packets,
							       32, &fixture.errors);
			for (uint16_t i = 0; i < taken; i++)
				assert_int_equal(rte_mbuf_check(packets[i], 1, &(const char *){0}),
						 0);
			rte_pktmbuf_free_bulk(packets, taken);
			received += taken;
			sent += round % 2 ? turn(&fixture, true) : 0;
			if (vhost_ring_broken(&fixture.ring)) {
				broken++;
				fixture.driver.setup.base = vhost_ring_base(&fixture.ring);
				fixture_reopen(&fixture);
			}
			// It has its turn where they share a CPU.
			if (round > ROUNDS && round % 256 == 0)
				sched_yield();
		}
		assert_true(received && sent);
		scribbler.stop = true;
		pthread_join(thread, NULL);
		fixture_close(&fixture);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),   cmocka_unit_test(test_direction),
		cmocka_unit_test(test_split),	    cmocka_unit_test(test_index),
		cmocka_unit_test(test_index_armed), cmocka_unit_test(test_tables),
		cmocka_unit_test(test_packed_loop), cmocka_unit_test(test_call_blocks),
		cmocka_unit_test(test_scribbler),
	};

	return vhost_tests_run("vhost_hostile", tests, RTE_DIM(tests));
}

// The vhost-user protocol: a port, and front-ends that say what the specification wants, or not.

#include "vhost_front_end.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[64];

static struct port *port_begin(uint16_t queues)
{
	snprintf(path, sizeof(path), "/tmp/vhost_user_test.%d", getpid());
	return front_end_port(path, true, queues);
}

// Sends a packet of 100 bytes. Was it taken?
static bool sends(struct port *port, uint16_t queue)
{
	struct rte_mbuf *packet = front_end_packet(100);

	if (port->driver->send(port, queue, &packet, 1))
		return true;
	rte_pktmbuf_free(packet);
	return false;
}

// Frames that the guest has sent.
static uint16_t receives(struct port *port, uint16_t queue)
{
	struct rte_mbuf *packets[PORT_BURST];
	uint16_t count = port->driver->receive(port, queue, packets, PORT_BURST);

	rte_pktmbuf_free_bulk(packets, count);
	return count;
}

static void acknowledgements_on(struct front_end *end)
{
	front_end_say_number(end, VHOST_SET_PROTOCOL_FEATURES,
			     FEATURE(PROTOCOL_REPLY_ACK) | FEATURE(PROTOCOL_CONFIGURE_MEM_SLOTS) |
				     FEATURE(PROTOCOL_LOG_SHMFD),
			     -1);
}

static void test_negotiation(void **state)
{
	struct port *port = port_begin(3);
	union vhost_payload answer;
	struct front_end end;
	uint32_t request;
	uint64_t mtu;

	front_end_open(&end, path);
	assert_true((front_end_ask(&end, VHOST_GET_FEATURES, NULL, 0, -1) & MODERN) == MODERN);
	assert_true(front_end_ask(&end, VHOST_GET_PROTOCOL_FEATURES, NULL, 0, -1) &
		    FEATURE(PROTOCOL_MQ));
	assert_int_equal(front_end_ask(&end, VHOST_GET_QUEUE_NUM, NULL, 0, -1), 3);
	// An acknowledgement is only given to who has negotiated it.
	front_end_say(&end, VHOST_SET_OWNER, VHOST_FLAG_NEED_REPLY, NULL, 0, -1);
	assert_int_equal(front_end_answer(&end, &request, &answer), -1);
	acknowledgements_on(&end);
	assert_int_equal(front_end_ask(&end, VHOST_SET_OWNER, NULL, 0, -1), 0);
	mtu = 1500;
	assert_int_equal(front_end_ask(&end, VHOST_NET_SET_MTU, &mtu, sizeof(mtu), -1), 0);
	mtu = 1501;
	assert_int_equal(front_end_ask(&end, VHOST_NET_SET_MTU, &mtu, sizeof(mtu), -1), 1);
	mtu = ~0ULL;
	assert_int_equal(front_end_ask(&end, VHOST_SET_FEATURES, &mtu, sizeof(mtu), -1), 1);
	assert_true(front_end_connected(&end));
	front_end_close(&end);
	port_close(port);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_packets(void **state)
{
	struct port *port = port_begin(1);
	struct front_end end;
	union vhost_payload base;
	uint32_t request;

	front_end_open(&end, path);
	assert_false(port->driver->up(port));
	front_end_start(&end, MODERN, 2);
	assert_true(port->driver->up(port));
	assert_false(sends(port, 0));
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	assert_int_equal(front_end_used(&end, 0), 1);
	assert_int_equal(front_end_data(&end, 0, 0)[12 + 99], 0x5a);
	front_end_buffer(&end, 1, 100, false);
	assert_int_equal(receives(port, 0), 1);
	assert_int_equal(front_end_used(&end, 1), 1);
	// It stops where it is, and goes on there.
	front_end_say_ring(&end, VHOST_GET_VRING_BASE, 1, 0);
	assert_int_equal(front_end_answer(&end, &request, &base), sizeof(base.ring));
	assert_int_equal(base.ring.index, 1);
	assert_int_equal(base.ring.number, 1);
	assert_false(port->driver->up(port));
	front_end_buffer(&end, 1, 100, false);
	assert_int_equal(receives(port, 0), 0);
	front_end_ring(&end, 1, 1);
	assert_true(port->driver->up(port));
	assert_int_equal(receives(port, 0), 1);
	assert_int_equal(front_end_used(&end, 1), 2);
	front_end_close(&end);
	assert_false(port->driver->up(port));
	port_close(port);
}

static void test_half_a_message(void **state)
{
	static const uint32_t whole[3] = {VHOST_GET_FEATURES, VHOST_FLAG_VERSION, 0};
	struct port *port = port_begin(1);
	struct front_end slow, other;
	union vhost_payload answer;
	uint32_t request;

	front_end_open(&slow, path);
	for (size_t i = 0; i < sizeof(whole); i++) {
		assert_int_equal(front_end_answer(&slow, &request, &answer), -1);
		assert_int_equal(send(slow.socket, (const uint8_t *)whole + i, 1, 0), 1);
		if (i == 5) {
			front_end_open(&other, path);
			front_end_start(&other, MODERN, 2);
			assert_true(port->driver->up(port));
		}
	}
	assert_int_equal(front_end_answer(&slow, &request, &answer), 8);
	front_end_close(&slow);
	assert_true(port->driver->up(port));
	front_end_close(&other);
	port_close(port);
}

// Whoever does not read has to wait alone; what is asked is answered in the end.
static void test_answers_that_nobody_reads(void **state)
{
	static const uint32_t question[3] = {VHOST_GET_FEATURES, VHOST_FLAG_VERSION, 0};
	struct port *port = port_begin(1);
	union vhost_payload answer;
	struct front_end end, other;
	uint32_t request, asked = 0, answered = 0;

	front_end_open(&end, path);
	while (send(end.socket, question, sizeof(question), MSG_DONTWAIT) == sizeof(question)) {
		asked++;
		front_end_turn();
	}
	front_end_open(&other, path);
	front_end_start(&other, MODERN, 2);
	assert_true(port->driver->up(port));
	while (front_end_answer(&end, &request, &answer) == 8)
		answered++;
	assert_int_equal(answered, asked);
	front_end_close(&end);
	front_end_close(&other);
	port_close(port);
}

static void test_wrong_messages(void **state)
{
	static const struct {
		const char *name;
		uint32_t header[3];
		uint64_t payload;
		bool ends; // also if an acknowledgement is wanted
	} cases[] = {
		{"version", {VHOST_SET_OWNER, 2, 0}, 0, true},
		{"reply", {VHOST_SET_OWNER, 5, 0}, 0, true},
		{"size", {VHOST_SET_OWNER, 1, 100000}, 0, true},
		{"unknown", {999, 1, 0}, 0, false},
		{"not offered", {21, 1, 0}, 0, false},
		{"too small", {VHOST_SET_VRING_ADDR, 1, 8}, 0, false},
		{"ring", {VHOST_SET_VRING_NUM, 1, 8}, 2 | 8ULL << 32, false},
		{"ring size", {VHOST_SET_VRING_NUM, 1, 8}, 65536ULL << 32, false},
		{"no ring size", {VHOST_SET_VRING_NUM, 1, 8}, 0, false},
		{"no descriptor", {VHOST_SET_VRING_KICK, 1, 8}, 1, false},
		{"no memory", {VHOST_SET_MEM_TABLE, 1, 8}, 1, false},
		{"regions", {VHOST_SET_MEM_TABLE, 1, 8}, 33, false},
		{"protocol features", {VHOST_SET_PROTOCOL_FEATURES, 1, 8}, 1ULL << 40, false},
	};
	struct port *port = port_begin(1);
	union vhost_payload answer;
	struct front_end end;
	uint32_t request;

	for (uint32_t i = 0; i < 2 * RTE_DIM(cases); i++) {
		bool wanted = i % 2;
		uint32_t header[5];

		front_end_open(&end, path);
		acknowledgements_on(&end);
		memcpy(header, cases[i / 2].header, 12);
		header[1] |= wanted ? VHOST_FLAG_NEED_REPLY : 0;
		memcpy(header + 3, &cases[i / 2].payload, 8);
		assert_true(send(end.socket, header, 12 + RTE_MIN(header[2], 8U), 0) > 0);
		if (wanted && !cases[i / 2].ends) {
			check_case(front_end_answer(&end, &request, &answer) == 8 &&
					   answer.number == 1,
				   "%s: no answer\n", cases[i / 2].name);
			check_case(front_end_connected(&end), "%s: ended\n", cases[i / 2].name);
		} else {
			check_case(!front_end_connected(&end), "%s: goes on\n", cases[i / 2].name);
		}
		front_end_close(&end);
	}
	port_close(port);
}

// What is no memory, or not so much, or no eventfd.
static void test_wrong_descriptors(void **state)
{
	struct {
		uint64_t padding;
		struct vhost_message_region region;
	} slot = {0, {MEMORY_GUEST, MEMORY_SIZE, MEMORY_USER, 0}};
	struct port *port = port_begin(1);
	struct front_end end;
	uint64_t ring = 0;

	front_end_open(&end, path);
	acknowledgements_on(&end);
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.socket),
			 1);
	slot.region.size = 2 * MEMORY_SIZE;
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.memory_fd),
			 1);
	slot.region.offset = ~0ULL;
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.memory_fd),
			 1);
	slot.region.offset = 0;
	slot.region.guest = ~0ULL;
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.memory_fd),
			 1);
	for (uint32_t request = VHOST_SET_VRING_KICK; request <= VHOST_SET_VRING_ERR; request++) {
		assert_int_equal(front_end_ask(&end, request, &ring, 8, end.memory_fd), 1);
		assert_int_equal(front_end_ask(&end, request, &ring, 8, end.calls[0]), 0);
	}
	front_end_close(&end);
	port_close(port);
}

static void test_memory_slots(void **state)
{
	struct {
		uint64_t padding;
		struct vhost_message_region region;
	} slot = {0, {MEMORY_GUEST, MEMORY_SIZE, MEMORY_USER, 0}}, other = slot;
	struct port *port = port_begin(1);
	struct front_end end;

	front_end_open(&end, path);
	acknowledgements_on(&end);
	assert_true(front_end_ask(&end, VHOST_GET_MAX_MEM_SLOTS, NULL, 0, -1) >= 32);
	front_end_start(&end, MODERN, 2);
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	// It comes once for each queue pair.
	assert_int_equal(
		front_end_ask(&end, VHOST_ADD_MEM_REG, &other, sizeof(other), end.memory_fd), 0);
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	other.region.guest += MEMORY_SIZE;
	other.region.user += MEMORY_SIZE;
	assert_int_equal(
		front_end_ask(&end, VHOST_ADD_MEM_REG, &other, sizeof(other), end.memory_fd), 0);
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	assert_int_equal(front_end_ask(&end, VHOST_REM_MEM_REG, &other, sizeof(other), -1), 0);
	assert_int_equal(front_end_ask(&end, VHOST_REM_MEM_REG, &other, sizeof(other), -1), 0);
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	// The one that has the rings: they are not used, until it is there again.
	assert_int_equal(front_end_ask(&end, VHOST_REM_MEM_REG, &slot, sizeof(slot), -1), 0);
	front_end_buffer(&end, 0, 1024, true);
	assert_false(sends(port, 0));
	assert_true(port->driver->up(port));
	port->driver->check(port);
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.memory_fd),
			 0);
	assert_true(sends(port, 0));
	assert_int_equal(front_end_used(&end, 0), 5);
	// In the place of all that there was, and where the rings are not.
	slot.region.user += 4096;
	slot.region.size -= 4096;
	assert_int_equal(front_end_ask(&end, VHOST_ADD_MEM_REG, &slot, sizeof(slot), end.memory_fd),
			 0);
	front_end_buffer(&end, 0, 1024, true);
	assert_false(sends(port, 0));
	front_end_close(&end);
	port_close(port);
}

static void test_dirty_log(void **state)
{
	static const uint32_t pages = (MEMORY_GUEST + MEMORY_SIZE) / 4096;
	struct {
		uint64_t size, offset;
	} log = {pages / 8, 64};
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct port *port = port_begin(1);
	uint32_t page, marked = 0;
	struct front_end end;
	uint8_t *bits;

	assert_int_equal(ftruncate(fd, 4096), 0);
	bits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	front_end_open(&end, path);
	acknowledgements_on(&end);
	front_end_start(&end, MODERN, 2);
	front_end_buffer(&end, 0, 1024, true);
	front_end_buffer(&end, 0, 1024, true);
	assert_true(sends(port, 0));
	// Under traffic, as when a live migration begins.
	assert_int_equal(front_end_ask(&end, VHOST_SET_LOG_BASE, &log, sizeof(log), fd), 0);
	front_end_say_number(&end, VHOST_SET_FEATURES, MODERN | FEATURE(FEATURE_LOG_ALL), -1);
	assert_true(sends(port, 0));
	page = (uint32_t)(MEMORY_GUEST + (uint64_t)(front_end_data(&end, 0, 1) - end.memory)) /
	       4096;
	assert_true(bits[64 + page / 8] & 1 << page % 8);
	for (uint32_t i = 0; i < 4096; i++)
		marked += (uint32_t)__builtin_popcount(bits[i]);
	// That one, and those of both used rings: what has begun again says so there.
	assert_int_equal(marked, 3);
	// A log that is too small for its file is none.
	log.size = 8192;
	assert_int_equal(front_end_ask(&end, VHOST_SET_LOG_BASE, &log, sizeof(log), fd), 1);
	front_end_close(&end);
	port_close(port);
	munmap(bits, 4096);
	close(fd);
}

// The newest one that is ready has the port; who never gets ready makes room.
static void test_connections(void **state)
{
	struct front_end silent[8], first, second;
	struct port *port = port_begin(1);

	front_end_open(&first, path);
	front_end_start(&first, MODERN, 2);
	for (int i = 0; i < 8; i++)
		front_end_open(&silent[i], path);
	assert_true(front_end_connected(&first));
	assert_false(front_end_connected(&silent[0]));
	assert_true(front_end_connected(&silent[7]));
	front_end_open(&second, path);
	front_end_start(&second, MODERN, 2);
	front_end_buffer(&first, 0, 1024, true);
	front_end_buffer(&second, 0, 1024, true);
	assert_true(sends(port, 0));
	assert_int_equal(front_end_used(&second, 0), 1);
	front_end_close(&second);
	assert_true(sends(port, 0));
	assert_int_equal(front_end_used(&first, 0), 1);
	front_end_close(&first);
	assert_false(port->driver->up(port));
	for (int i = 0; i < 8; i++)
		front_end_close(&silent[i]);
	port_close(port);
}

static void test_fewer_queues(void **state)
{
	struct port *port = port_begin(4);
	struct front_end end;

	front_end_open(&end, path);
	front_end_start(&end, MODERN, 4);
	assert_int_equal(port->send_queues, 3);
	front_end_say_ring(&end, VHOST_SET_VRING_ENABLE, 0, 0);
	assert_int_equal(port->send_queues, 2);
	assert_true(port->driver->up(port));
	front_end_buffer(&end, 0, 1024, true);
	front_end_buffer(&end, 2, 1024, true);
	assert_false(sends(port, 0));
	assert_true(sends(port, 1));
	front_end_say_ring(&end, VHOST_SET_VRING_ENABLE, 0, 1);
	assert_true(sends(port, 0));
	front_end_close(&end);
	port_close(port);
}

// What the front-end says to the guest's driver counts, once it says that it does.
static void test_status(void **state)
{
	struct port *port = port_begin(1);
	struct front_end end;

	front_end_open(&end, path);
	front_end_say_number(&end, VHOST_SET_PROTOCOL_FEATURES, FEATURE(PROTOCOL_STATUS), -1);
	front_end_start(&end, MODERN, 2);
	assert_false(port->driver->up(port));
	front_end_say_number(&end, VHOST_SET_STATUS, 15, -1);
	assert_true(port->driver->up(port));
	assert_int_equal(front_end_ask(&end, VHOST_GET_STATUS, NULL, 0, -1), 15);
	front_end_say_number(&end, VHOST_SET_STATUS, 0, -1);
	assert_false(port->driver->up(port));
	front_end_close(&end);
	port_close(port);
}

static void test_announcement(void **state)
{
	static const uint8_t mac[8] = {0x52, 0x54, 0, 1, 2, 3};
	struct port *port = port_begin(1);
	struct rte_mbuf *packet;
	struct front_end end;
	int fd;

	front_end_open(&end, path);
	front_end_start(&end, MODERN, 2);
	assert_true(port->driver->arm(port, 0, &fd));
	port->driver->disarm(port, 0);
	front_end_say(&end, VHOST_SEND_RARP, 0, mac, sizeof(mac), -1);
	assert_false(port->driver->arm(port, 0, &fd));
	assert_int_equal(port->driver->receive(port, 0, &packet, 1), 1);
	assert_memory_equal(rte_pktmbuf_mtod_offset(packet, uint8_t *, 6), mac, 6);
	rte_pktmbuf_free(packet);
	assert_int_equal(receives(port, 0), 0);
	front_end_close(&end);
	port_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_half_a_message),
		cmocka_unit_test(test_answers_that_nobody_reads),
		cmocka_unit_test(test_wrong_messages),
		cmocka_unit_test(test_wrong_descriptors),
		cmocka_unit_test(test_memory_slots),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_fewer_queues),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_announcement),
	};

	return front_end_tests_run(tests, RTE_DIM(tests));
}

// A vhost-user port in the hands of another one: what two processes would do, in one. Descriptors
// are duplicated, as a Unix socket does it.

#include "vhost_front_end.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port/parts.h"

static char path[64];

static struct port *port_begin(bool server, uint16_t queues)
{
	snprintf(path, sizeof(path), "/tmp/vhost_hand_over_test.%d", getpid());
	return front_end_port(path, server, queues);
}

static void parts_get(struct port *port, struct port_parts *parts)
{
	assert_true(port->driver->hand_over(port, parts));
	for (uint32_t i = 0; i < parts->count; i++)
		for (uint32_t j = 0; j < parts->part[i].fd_count; j++) {
			parts->part[i].fds[j] = fcntl(parts->part[i].fds[j], F_DUPFD_CLOEXEC, 0);
			assert_true(parts->part[i].fds[j] >= 0);
		}
}

static int take(bool server, uint16_t queues, struct port_parts *parts, struct port **port,
		struct error *err)
{
	struct port_device device = {.kind = PORT_DEVICE_VHOST_USER,
				     .server = server,
				     .mode = PORT_MODE_NONE,
				     .queues = queues,
				     .mtu = 1500};

	snprintf(device.name, sizeof(device.name), "%s", path);
	return port_take_over("port", &device, &front_end_environment, parts, port, err);
}

// The old one is closed as soon as the new one has all.
static struct port *hand_over(struct port *old, bool server)
{
	struct port_parts parts = {0};
	struct port *port;
	struct error err;

	parts_get(old, &parts);
	if (take(server, old->queues, &parts, &port, &err) < 0)
		fail_msg("%s", err.text);
	port_parts_clear(&parts, true);
	old->handed_over = true;
	port_close(old);
	return port;
}

static void goes_on(struct port *port, struct front_end *end, uint32_t *sent, uint32_t *received)
{
	struct rte_mbuf *packet;

	for (int i = 0; i < 3; i++) {
		uint8_t *data = front_end_data(end, 0, *sent);

		packet = front_end_packet(100 + *sent);
		front_end_buffer(end, 0, 1024, true);
		memset(data, 0, 1024);
		assert_int_equal(port->driver->send(port, 0, &packet, 1), 1);
		assert_int_equal(front_end_used(end, 0), ++*sent);
		assert_int_equal(data[12 + 99 + *sent - 1], 0x5a);
		front_end_buffer(end, 1, 100, false);
		assert_int_equal(port->driver->receive(port, 0, &packet, 1), 1);
		rte_pktmbuf_free(packet);
		assert_int_equal(front_end_used(end, 1), ++*received);
	}
}

static void test_rings_go_on(void **state)
{
	struct port *port = port_begin(true, 1);
	uint32_t sent = 0, received = 0;
	struct front_end end, other;

	front_end_open(&end, path);
	front_end_start(&end, MODERN, 2);
	goes_on(port, &end, &sent, &received);
	// What has come meanwhile waits: nothing of it is lost.
	front_end_buffer(&end, 1, 100, false);
	// Several times around the rings.
	for (int i = 0; i < 4; i++) {
		struct rte_mbuf *packet;

		port = hand_over(port, true);
		assert_true(port->driver->up(port));
		assert_int_equal(port->driver->receive(port, 0, &packet, 1), 1);
		rte_pktmbuf_free(packet);
		received++;
		goes_on(port, &end, &sent, &received);
		assert_true(front_end_connected(&end));
		front_end_buffer(&end, 1, 100, false);
	}
	// Its front-end is heard, and so is another one.
	assert_int_equal(front_end_ask(&end, VHOST_GET_QUEUE_NUM, NULL, 0, -1), 1);
	front_end_open(&other, path);
	assert_int_equal(front_end_ask(&other, VHOST_GET_QUEUE_NUM, NULL, 0, -1), 1);
	front_end_close(&other);
	front_end_close(&end);
	assert_false(port->driver->up(port));
	port_close(port);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_client(void **state)
{
	int pair[2], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t sent = 0, received = 0;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct front_end end;
	struct port *port;

	snprintf(path, sizeof(path), "/tmp/vhost_hand_over_test.%d", getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	port = port_begin(false, 1);
	pair[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair[0] >= 0);
	front_end_take(&end, pair[0]);
	front_end_start(&end, MODERN, 2);
	goes_on(port, &end, &sent, &received);
	port = hand_over(port, false);
	goes_on(port, &end, &sent, &received);
	// Not twice.
	front_end_turn();
	assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
	port_close(port);
	front_end_close(&end);
	close(listener);
	unlink(path);
}

// The other process failed: as if nothing had been.
static void test_undone(void **state)
{
	struct port *port = port_begin(true, 1);
	uint32_t sent = 0, received = 0;
	struct port_parts parts = {0};
	struct front_end end;

	front_end_open(&end, path);
	front_end_start(&end, MODERN, 2);
	goes_on(port, &end, &sent, &received);
	parts_get(port, &parts);
	port_parts_clear(&parts, true);
	port->driver->hand_over_undo(port);
	assert_true(port->driver->up(port));
	goes_on(port, &end, &sent, &received);
	assert_true(front_end_connected(&end));
	front_end_close(&end);
	port_close(port);
}

// Who has said half of something connects anew.
static void test_half_a_message(void **state)
{
	static const uint32_t whole[3] = {VHOST_GET_FEATURES, VHOST_FLAG_VERSION, 0};
	struct port *port = port_begin(true, 1);
	uint32_t sent = 0, received = 0;
	struct front_end end;

	front_end_open(&end, path);
	front_end_start(&end, MODERN, 2);
	assert_int_equal(send(end.socket, whole, 7, 0), 7);
	front_end_turn();
	port = hand_over(port, true);
	assert_false(port->driver->up(port));
	assert_false(front_end_connected(&end));
	front_end_close(&end);
	front_end_open(&end, path);
	front_end_start(&end, MODERN, 2);
	goes_on(port, &end, &sent, &received);
	front_end_close(&end);
	port_close(port);
}

// Of a process that is broken, or of another kind: refused, and nothing is left behind.
static void test_wrong_parts(void **state)
{
	static const uint32_t unknown[3] = {77, VHOST_FLAG_VERSION, 0};
	static const uint32_t features[5] = {VHOST_SET_FEATURES, VHOST_FLAG_VERSION, 8, ~0U, ~0U};
	static const uint32_t longer[3] = {VHOST_GET_FEATURES, VHOST_FLAG_VERSION, 8};
	const struct {
		const void *data;
		uint32_t size;
	} cases[] = {{unknown, 12}, {features, 20}, {longer, 12}, {unknown, 11}, {NULL, 0}};

	snprintf(path, sizeof(path), "/tmp/vhost_hand_over_test.%d", getpid());
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct port_parts parts = {0};
		struct port *port;
		struct error err;
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		assert_true(port_parts_add(&parts, PORT_PART_CONNECTION, NULL, 0, &pair[1], 1));
		assert_true(port_parts_add(&parts, PORT_PART_MESSAGE, cases[i].data, cases[i].size,
					   NULL, 0));
		check_case(take(true, 1, &parts, &port, &err) < 0, "case %u\n", i);
		port_parts_clear(&parts, true);
		close(pair[0]);
		assert_int_not_equal(access(path, F_OK), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rings_go_on), cmocka_unit_test(test_client),
		cmocka_unit_test(test_undone),	    cmocka_unit_test(test_half_a_message),
		cmocka_unit_test(test_wrong_parts),
	};

	return front_end_tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}

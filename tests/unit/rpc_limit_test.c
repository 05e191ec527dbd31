// What clients may cost the gRPC server, and how those end that want more.

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rpc/health.h"
#include "rpc_bytes.h"

#define GET_PATH	"/sluice.v1.Sluice/Get"
#define CONVERSATION	"/sluice.v1.Sluice/Capture"
#define LARGE		"\0\0\0\0\7\12\5large"
#define RESET_CANCELLED "\0\0\4\3\0\0\0\0\1\0\0\0\10"

static struct bytes bytes;
static uint8_t answer[4 << 20];

static bool holds(size_t size, const void *part, size_t length)
{
	return memmem(answer, size, part, length) != NULL;
}

#define HOLDS(size, part) holds(size, part, sizeof(part) - 1)

// Lets the server go on until the connections are so many, or a number of turns has shown that they
// stay.
static size_t connections_settle(struct service *service, size_t wanted)
{
	struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 5000 && rpc_server_connections(service->server) != wanted; i++) {
		service_turn(service);
		nanosleep(&pause, NULL);
	}
	return rpc_server_connections(service->server);
}

// All that comes until `part` is among it.
static size_t receive_until(struct service *service, int fd, const void *part, size_t length)
{
	struct timespec pause = {.tv_nsec = 1000000};
	size_t used = 0;

	for (int i = 0; i < 5000 && !holds(used, part, length); i++) {
		ssize_t got;

		service_turn(service);
		got = recv(fd, answer + used, sizeof(answer) - used, MSG_DONTWAIT);
		if (got > 0)
			used += (size_t)got;
		else
			nanosleep(&pause, NULL);
	}
	assert_true(holds(used, part, length));
	return used;
}

static void begin(void)
{
	bytes.size = 0;
	preface_add(&bytes);
}

static size_t go(struct service *service, int fd)
{
	return exchange(service, fd, &bytes, answer, sizeof(answer));
}

static void end(struct service *service, int fd)
{
	close(fd);
	assert_int_equal(connections_settle(service, 0), 0);
	service_free(service);
}

static void test_headers(void **state)
{
	struct rpc_limits limits = {.header_size = 300};
	struct service *service = service_new(&limits);
	int fd = service_connect(service);

	begin();
	headers_add(&bytes, 1, VERSION_PATH, "a", "b", 0);
	frame_add(&bytes, 0, END_STREAM, 1, "\0\0\0\0\0", 5);
	assert_true(HOLDS(go(service, fd), "\x01"
					   "0"));
	bytes.size = 0;
	headers_add(&bytes, 3, VERSION_PATH, "a",
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		    0);
	frame_add(&bytes, 0, END_STREAM, 3, "\0\0\0\0\0", 5);
	assert_true(HOLDS(go(service, fd), "\x01"
					   "8"));
	end(service, fd);
}

// Of a connection's unfinished requests, and of all answers that nobody takes.
static void test_memory(void **state)
{
	struct rpc_limits limits = {.connection_buffered = 150, .answers = 250000};
	struct service *service = service_new(&limits);
	uint8_t part[100] = {0, 0, 0, 0, 200};
	int fd = service_connect(service), other = service_connect(service);
	size_t size;

	begin();
	headers_add(&bytes, 1, VERSION_PATH, NULL, NULL, 0);
	headers_add(&bytes, 3, VERSION_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, 0, 1, part, sizeof(part));
	assert_false(HOLDS(go(service, fd), "\x01"
					    "8"));
	bytes.size = 0;
	frame_add(&bytes, 0, 0, 3, part, sizeof(part));
	assert_true(HOLDS(go(service, fd), "\x01"
					   "8"));
	// What is ended counts no more.
	bytes.size = 0;
	frame_add(&bytes, 3, 0, 1, "\0\0\0\10", 4);
	headers_add(&bytes, 5, VERSION_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, 0, 5, part, sizeof(part));
	assert_false(HOLDS(go(service, fd), "\x01"
					    "8"));
	bytes.size = 0;
	headers_add(&bytes, 7, GET_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 7, LARGE, 12);
	size = go(service, fd);
	// The client's window of 64 KiB is all that it takes.
	assert_in_range(size, 60000, 70000);
	begin();
	headers_add(&bytes, 1, GET_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1, LARGE, 12);
	assert_true(HOLDS(go(service, other), "\x01"
					      "8"));
	close(fd);
	service_turn(service);
	bytes.size = 0;
	headers_add(&bytes, 3, GET_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 3, LARGE, 12);
	assert_in_range(go(service, other), 60000, 70000);
	end(service, other);
}

// A client that asks and doesn't read is not asked on its behalf.
static void test_conversation(void **state)
{
	struct service *service = service_new(NULL);
	int fd = service_connect(service);
	static uint8_t questions[5 * 1000];
	size_t size;

	begin();
	headers_add(&bytes, 1, CONVERSATION, NULL, NULL, 0);
	frame_add(&bytes, 0, 0, 1, questions, sizeof(questions));
	size = go(service, fd);
	assert_in_range(size, 60000, 70000);
	assert_int_equal(service->pulled, 7);
	// It takes the rest, and has no more to ask.
	bytes.size = 0;
	frame_add(&bytes, 0, END_STREAM, 1, "", 0);
	frame_add(&bytes, 8, 0, 0, "\0\xff\xff\xff", 4);
	frame_add(&bytes, 8, 0, 1, "\0\xff\xff\xff", 4);
	assert_int_equal(send(fd, bytes.data, bytes.size, 0), (ssize_t)bytes.size);
	for (size = 0; service->pulled < 1000 || size < (size_t)1000 * 10000 - 70000;) {
		ssize_t got;

		service_turn(service);
		got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		assert_true(got > 0);
		size += (size_t)got;
	}
	assert_int_equal(service->pulled, 1000);
	// A call that ends inside a message.
	bytes.size = 0;
	headers_add(&bytes, 3, CONVERSATION, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 3, "\0\0\0\0\0\0\0", 7);
	assert_true(HOLDS(go(service, fd), "\x01"
					   "3"));
	assert_int_equal(service->pulled, 1001);
	end(service, fd);
}

static void test_pings(void **state)
{
	struct rpc_limits limits = {.tick = 10};
	struct service *service = service_new(&limits);
	int fd = service_connect(service);

	// As long as there are answers between them.
	begin();
	for (uint32_t i = 1; i < 40; i += 2) {
		frame_add(&bytes, 6, 0, 0, "12345678", 8);
		headers_add(&bytes, i, VERSION_PATH, NULL, NULL, 0);
		frame_add(&bytes, 0, END_STREAM, i, "\0\0\0\0\0", 5);
		assert_false(HOLDS(go(service, fd), "too_many"));
		bytes.size = 0;
	}
	for (int i = 0; i < 3; i++)
		frame_add(&bytes, 6, 0, 0, "12345678", 8);
	assert_false(HOLDS(go(service, fd), "too_many"));
	bytes.size = 0;
	frame_add(&bytes, 6, 0, 0, "12345678", 8);
	// GOAWAY with ENHANCE_YOUR_CALM, and gRPC's word for it.
	assert_true(HOLDS(go(service, fd), "\0\0\0\013too_many_pings"));
	assert_int_equal(connections_settle(service, 0), 0);
	end(service, fd);
}

// `type`: of the frames that there are too many of.
static void flood(uint8_t type)
{
	struct rpc_limits limits = {.tick = 10};
	struct service *service = service_new(&limits);
	int fd = service_connect(service);
	bool calm = false;

	begin();
	if (type == 0)
		headers_add(&bytes, 1, CONVERSATION, NULL, NULL, 0);
	for (uint32_t i = 1; i < 100000 && !calm; i += 2) {
		if (type == 3)
			headers_add(&bytes, i, GET_PATH, NULL, NULL, 0);
		if (type == 2)
			frame_add(&bytes, 2, 0, i, "\0\0\0\0\1", 5);
		else
			frame_add(&bytes, type, 0, type == 3 ? i : type == 0, "\0\0\0\10",
				  type == 3 ? 4 : 0);
		if (i % 40 == 39) {
			calm = HOLDS(go(service, fd), "\0\0\0\013too_many_frames");
			bytes.size = 0;
		}
	}
	assert_true(calm);
	assert_int_equal(connections_settle(service, 0), 0);
	end(service, fd);
}

static void test_rapid_reset(void **state)
{
	flood(3);
}

static void test_settings_flood(void **state)
{
	flood(4);
}

static void test_priority_flood(void **state)
{
	flood(2);
}

static void test_empty_data_flood(void **state)
{
	flood(0);
}

static void test_slow_writers(void **state)
{
	struct rpc_limits limits = {.request_stall = 50, .tick = 10};
	struct service *service = service_new(&limits);
	int fd = service_connect(service);

	begin();
	headers_add(&bytes, 1, VERSION_PATH, NULL, NULL, 0);
	headers_add(&bytes, 3, CONVERSATION, NULL, NULL, 0);
	headers_add(&bytes, 5, CONVERSATION, NULL, NULL, 0);
	frame_add(&bytes, 0, 0, 5, "\0\0", 2);
	assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
	// The first, and the conversation that stopped inside a message.
	size_t size = receive_until(service, fd, "\1\5\0\0\0\5", 6);
	assert_true(HOLDS(size, "\1\5\0\0\0\1"));
	assert_true(HOLDS(size, "\x01"
				"4"));
	// A conversation may be silent.
	bytes.size = 0;
	frame_add(&bytes, 0, END_STREAM, 3, "", 0);
	assert_true(HOLDS(go(service, fd), "\x01"
					   "0"));
	end(service, fd);
}

// A stream that waits, and a conversation: the server says that it was the deadline, and no reset
// comes before the client's own clock has found out.
static void test_deadlines(void **state)
{
	static const char *const methods[] = {"/grpc.health.v1.Health/Watch", CONVERSATION};
	struct service *service = service_new(NULL);
	struct health *health;
	struct error err;

	assert_int_equal(health_open(service->server, &health, &err), 0);
	for (size_t i = 0; i < 2; i++) {
		int fd = service_connect(service);

		begin();
		headers_add(&bytes, 1, methods[i], "grpc-timeout", "20m", 0);
		frame_add(&bytes, 0, i == 0 ? END_STREAM : 0, 1, "\0\0\0\0\0", 5);
		assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
		// Trailers, then nothing.
		size_t size = receive_until(service, fd, "\1\5\0\0\0\1", 6);
		assert_true(HOLDS(size, "\x01"
					"4"));
		assert_false(HOLDS(size, RESET_CANCELLED));
		close(fd);
	}
	assert_int_equal(connections_settle(service, 0), 0);
	service_free(service);
	health_close(health);
}

static void test_slow_readers(void **state)
{
	struct rpc_limits limits = {.answer_stall = 300, .tick = 10};
	struct service *service = service_new(&limits);
	int fd = service_connect(service);

	// One that takes no more of an answer loses it.
	begin();
	headers_add(&bytes, 1, GET_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1, LARGE, 12);
	assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
	receive_until(service, fd, RESET_CANCELLED, 13);
	assert_int_equal(rpc_server_connections(service->server), 1);
	close(fd);
	service_turn(service);
	// One that takes nothing of anything, with room for all: the windows are as large as they
	// can be, the socket is full.
	fd = service_connect(service);
	bytes.size = 0;
	bytes_add(&bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	frame_add(&bytes, 4, 0, 0, "\0\4\x7f\xff\xff\xff", 6);
	frame_add(&bytes, 8, 0, 0, "\x7f\xf0\0\0", 4);
	headers_add(&bytes, 1, "/sluice.v1.Sluice/Flows", NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1,
		  "\0\0\0\0\12\12\10"
		  "99999999",
		  15);
	assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
	service_turn(service);
	assert_int_equal(service->streams, 1);
	assert_int_equal(connections_settle(service, 0), 0);
	assert_int_equal(service->streams, 0);
	// What was made is what buffers hold.
	assert_in_range(service->pulled, 1000, 500000);
	end(service, fd);
}

// The client's end of a TCP connection to the service.
static int tcp_connect(struct service *service)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	struct error err;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(rpc_server_accept(service->server, accept(listener, NULL, NULL), &err), 0);
	close(listener);
	return fd;
}

// Who vanished from the network is found out; at a Unix socket nobody vanishes.
static void test_dead_peers(void **state)
{
	struct rpc_limits limits = {.keepalive = 30, .keepalive_timeout = 1000, .tick = 10};
	struct service *service = service_new(&limits);
	int local = service_connect(service), fd = tcp_connect(service);
	static const char ping[] = "\0\0\x08\6\0\0\0\0\0";

	begin();
	assert_false(HOLDS(go(service, local), "\0\0\x08\6"));
	assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
	bytes.size = 0;
	frame_add(&bytes, 6, 1, 0, "\0\0\0\0\0\0\0\0", 8);
	// As long as it answers, it stays.
	for (int i = 0; i < 5; i++) {
		receive_until(service, fd, ping, 9);
		assert_true(send(fd, bytes.data, bytes.size, 0) > 0);
	}
	assert_int_equal(rpc_server_connections(service->server), 2);
	assert_int_equal(connections_settle(service, 1), 1);
	bytes.size = 0;
	headers_add(&bytes, 1, VERSION_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1, "\0\0\0\0\0", 5);
	assert_true(HOLDS(go(service, local), "\x01"
					      "0"));
	close(fd);
	end(service, local);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),	       cmocka_unit_test(test_memory),
		cmocka_unit_test(test_conversation),   cmocka_unit_test(test_pings),
		cmocka_unit_test(test_rapid_reset),    cmocka_unit_test(test_settings_flood),
		cmocka_unit_test(test_priority_flood), cmocka_unit_test(test_empty_data_flood),
		cmocka_unit_test(test_slow_writers),   cmocka_unit_test(test_slow_readers),
		cmocka_unit_test(test_dead_peers),     cmocka_unit_test(test_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

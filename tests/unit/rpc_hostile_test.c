// The gRPC server against bytes that no honest client sends.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_bytes.h"
#include "rpc_service.h"

// Requests that are wrong, each with a word that the answer must have. HPACK would hide it if it
// were compressed; nghttp2 sends values as plain as Huffman coding is no shorter, so that the codes
// are looked for, not the texts.
static void test_wrong_requests(void **state)
{
	static const struct {
		const char *path, *header, *value;
		const char *data;
		size_t size;
		int status; // of gRPC
	} cases[] = {
		{VERSION_PATH, NULL, NULL, "\0\0\0\0\0", 5, 0},
		{VERSION_PATH, "grpc-timeout", "1S", "\0\0\0\0\0", 5, 0},
		{VERSION_PATH, "grpc-timeout", "99999999H", "\0\0\0\0\0", 5, 0},
		{VERSION_PATH, "grpc-timeout", "1x", "\0\0\0\0\0", 5, 3},
		{VERSION_PATH, "grpc-timeout", "123456789S", "\0\0\0\0\0", 5, 3},
		{VERSION_PATH, "grpc-encoding", "gzip", "\0\0\0\0\0", 5, 12},
		{VERSION_PATH, "grpc-encoding", "identity", "\0\0\0\0\0", 5, 0},
		{VERSION_PATH, NULL, NULL, "", 0, 3},
		{VERSION_PATH, NULL, NULL, "\0", 1, 3},
		{VERSION_PATH, NULL, NULL, "\0\0\0\0\1", 5, 3},
		{VERSION_PATH, NULL, NULL, "\0\0\0\0\1\xff", 6, 3},
		{VERSION_PATH, NULL, NULL, "\0\0\0\0\0\0", 6, 3},
		{VERSION_PATH, NULL, NULL, "\0\0\0\0\0\0\0\0\0\0", 10, 3},
		{VERSION_PATH, NULL, NULL, "\1\0\0\0\0", 5, 13},
		{VERSION_PATH, NULL, NULL, "\0\xff\xff\xff\xff", 5, 8},
		{VERSION_PATH, NULL, NULL, "\0\4\0\0\1", 5, 8},
		{"/sluice.v1.Sluice/version", NULL, NULL, "\0\0\0\0\0", 5, 12},
		{"/sluice.v1.Sluice", NULL, NULL, "\0\0\0\0\0", 5, 12},
		{"/", NULL, NULL, "\0\0\0\0\0", 5, 12},
		{"//", NULL, NULL, "\0\0\0\0\0", 5, 12},
		{"/sluice.v1.Sluice/", NULL, NULL, "\0\0\0\0\0", 5, 12},
		{"/sluice.v1.Sluic/Version", NULL, NULL, "\0\0\0\0\0", 5, 12},
	};
	struct service *service = service_new(NULL);
	static struct bytes bytes;
	static uint8_t answer[65536];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int fd = service_connect(service);
		char expected[16];

		bytes.size = 0;
		preface_add(&bytes);
		headers_add(&bytes, 1, cases[i].path, cases[i].header, cases[i].value, 0);
		frame_add(&bytes, 0, END_STREAM, 1, cases[i].data, cases[i].size);
		size_t size = exchange(service, fd, &bytes, answer, sizeof(answer));
		// The value's length, then the value; one digit is not worth Huffman coding, two
		// are.
		if (cases[i].status < 10) {
			snprintf(expected, sizeof(expected), "\x01%d", cases[i].status);
			if (!contains(answer, size, expected))
				fail_msg("case %zu: no status %d", i, cases[i].status);
		}
		// Status 0 comes after a message, others without one.
		assert_int_equal(contains(answer, size,
					  "\x0a\x01"
					  "1"),
				 cases[i].status == 0);
		close(fd);
		service_turn(service);
	}
	assert_int_equal(rpc_server_connections(service->server), 0);
	service_free(service);
}

static void test_broken_connections(void **state)
{
	struct service *service = service_new(NULL);
	static struct bytes bytes;
	static uint8_t answer[65536];
	int fd = service_connect(service);

	// Another protocol.
	bytes.size = 0;
	bytes_add(&bytes, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 28);
	exchange(service, fd, &bytes, answer, sizeof(answer));
	assert_int_equal(rpc_server_connections(service->server), 0);
	close(fd);
	// A client that goes away in the middle of a request, and one with a stream that it doesn't
	// read.
	fd = service_connect(service);
	bytes.size = 0;
	preface_add(&bytes);
	headers_add(&bytes, 1, VERSION_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, 0, 1, "\0\0\0\1\0abc", 8);
	exchange(service, fd, &bytes, answer, sizeof(answer));
	assert_int_equal(rpc_server_connections(service->server), 1);
	close(fd);
	service_turn(service);
	assert_int_equal(rpc_server_connections(service->server), 0);
	fd = service_connect(service);
	bytes.size = 0;
	preface_add(&bytes);
	headers_add(&bytes, 1, "/sluice.v1.Sluice/Flows", NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1,
		  "\0\0\0\0\12\12\10"
		  "99999999",
		  15);
	assert_int_equal(send(fd, bytes.data, bytes.size, 0), (ssize_t)bytes.size);
	service_turn(service);
	assert_int_equal(service->streams, 1);
	// The client's window of 64 KiB is all that was made.
	assert_in_range(service->pulled, 1000, 40000);
	// Cancelled.
	bytes.size = 0;
	frame_add(&bytes, 3, 0, 1, "\0\0\0\10", 4);
	assert_int_equal(send(fd, bytes.data, bytes.size, 0), (ssize_t)bytes.size);
	service_turn(service);
	assert_int_equal(service->streams, 0);
	assert_int_equal(rpc_server_connections(service->server), 1);
	close(fd);
	service_turn(service);
	assert_int_equal(rpc_server_connections(service->server), 0);
	service_free(service);
}

static void test_limits(void **state)
{
	struct rpc_limits limits = {.connections = 3,
				    .streams = 2,
				    .message_size = 100,
				    .buffered = 150,
				    .preface_timeout = 1000};
	struct service *service = service_new(&limits);
	static struct bytes bytes;
	static uint8_t answer[65536];
	struct error err;
	int fds[3], further[2];

	for (size_t i = 0; i < 3; i++)
		fds[i] = service_connect(service);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, further), 0);
	assert_int_equal(rpc_server_accept(service->server, further[1], &err), -1);
	close(further[0]);
	// Two requests that are not complete need 120 bytes, so that a third connection's gets no
	// room.
	for (size_t i = 0; i < 3; i++) {
		uint8_t data[60] = {0, 0, 0, 0, 90};

		bytes.size = 0;
		preface_add(&bytes);
		headers_add(&bytes, 1, VERSION_PATH, NULL, NULL, 0);
		frame_add(&bytes, 0, 0, 1, data, sizeof(data));
		size_t size = exchange(service, fds[i], &bytes, answer, sizeof(answer));
		assert_int_equal(contains(answer, size,
					  "\x01"
					  "8"),
				 i == 2);
	}
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	service_turn(service);
	assert_int_equal(rpc_server_connections(service->server), 0);
	// Streams beyond the limit are refused, the others work.
	fds[0] = service_connect(service);
	bytes.size = 0;
	preface_add(&bytes);
	for (uint32_t i = 0; i < 50; i++)
		headers_add(&bytes, i * 2 + 1, VERSION_PATH, NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 1, "\0\0\0\0\0", 5);
	size_t size = exchange(service, fds[0], &bytes, answer, sizeof(answer));
	assert_true(contains(answer, size,
			     "\x0a\x01"
			     "1"));
	close(fds[0]);
	service_turn(service);
	// One that says nothing is not waited for.
	fds[0] = service_connect(service);
	service_turn(service);
	assert_int_equal(rpc_server_connections(service->server), 1);
	usleep(1200000);
	service_turn(service);
	assert_int_equal(rpc_server_connections(service->server), 0);
	close(fds[0]);
	service_free(service);
}

// Does the server say to this that a deadline is over, by grpc-status 4?
static bool is_told(struct service *service, int fd, const struct bytes *bytes)
{
	uint8_t answer[4096];
	size_t size = exchange(service, fd, bytes, answer, sizeof(answer));

	return contains(answer, size,
			"\x01"
			"4");
}

// Answers that come late, to clients that are there, cancelled, or gone.
static void test_late_answers(void **state)
{
	struct service *service = service_new(NULL);
	static struct bytes bytes;
	static uint8_t answer[65536];
	int fd = service_connect(service), gone = service_connect(service);

	bytes.size = 0;
	preface_add(&bytes);
	for (uint32_t i = 1; i <= 3; i += 2) {
		headers_add(&bytes, i, "/sluice.v1.Sluice/Get", NULL, NULL, 0);
		frame_add(&bytes, 0, END_STREAM, i, "\0\0\0\0\6\12\4hold", 11);
	}
	exchange(service, fd, &bytes, answer, sizeof(answer));
	exchange(service, gone, &bytes, answer, sizeof(answer));
	// The third's deadline may be over at once, or in a while.
	bytes.size = 0;
	headers_add(&bytes, 5, "/sluice.v1.Sluice/Get", "grpc-timeout", "1m", 0);
	frame_add(&bytes, 0, END_STREAM, 5, "\0\0\0\0\6\12\4hold", 11);
	exchange(service, gone, &bytes, answer, sizeof(answer));
	bool told = is_told(service, fd, &bytes);
	assert_int_equal(service->held_count, 6);
	bytes.size = 0;
	frame_add(&bytes, 3, 0, 3, "\0\0\0\10", 4);
	told |= is_told(service, fd, &bytes);
	bytes.size = 0;
	for (int i = 0; i < 4000 && !told; i++) {
		usleep(5000);
		told = is_told(service, fd, &bytes);
	}
	assert_true(told);
	close(gone);
	service_turn(service);
	bytes.size = 0;
	headers_add(&bytes, 7, "/sluice.v1.Sluice/Get", NULL, NULL, 0);
	frame_add(&bytes, 0, END_STREAM, 7, "\0\0\0\0\11\12\7release", 14);
	size_t size = exchange(service, fd, &bytes, answer, sizeof(answer));
	// One was still waited for: revision 1.
	assert_true(contains(answer, size, "\x10\x01"));
	close(fd);
	service_free(service);
}

// Streams of bytes that were right before a few of them were changed. Nothing is asserted but that
// the server goes on.
static void test_mutations(void **state)
{
	struct service *service = service_new(NULL);
	static struct bytes good, bytes;
	static uint8_t answer[1 << 20];

	preface_add(&good);
	headers_add(&good, 1, VERSION_PATH, "grpc-timeout", "9S", 0);
	frame_add(&good, 0, END_STREAM, 1, "\0\0\0\0\0", 5);
	headers_add(&good, 3, "/sluice.v1.Sluice/Get", NULL, NULL, 0);
	frame_add(&good, 0, 0, 3, "\0\0\0\0\6\12", 6);
	frame_add(&good, 8, 0, 3, "\0\0\1\0", 4);
	frame_add(&good, 0, END_STREAM, 3, "\4abcd", 5);
	headers_add(&good, 5, "/sluice.v1.Sluice/Flows", NULL, NULL, 0);
	frame_add(&good, 0, END_STREAM, 5,
		  "\0\0\0\0\5\12\003"
		  "999",
		  10);
	frame_add(&good, 6, 0, 0, "12345678", 8);
	frame_add(&good, 3, 0, 5, "\0\0\0\10", 4);
	headers_add(&good, 7, VERSION_PATH, NULL, NULL, END_STREAM);
	srand(1);
	for (int round = 0; round < 3000; round++) {
		int fd = service_connect(service);

		bytes = good;
		for (int change = rand() % 4; change >= 0; change--)
			bytes.data[(size_t)rand() % bytes.size] =
				rand() % 2 ? (uint8_t)rand()
					   : bytes.data[(size_t)rand() % bytes.size];
		if (rand() % 4 == 0)
			bytes.size = (size_t)rand() % bytes.size + 1;
		exchange(service, fd, &bytes, answer, sizeof(answer));
		close(fd);
		service_turn(service);
	}
	assert_int_equal(rpc_server_connections(service->server), 0);
	service_free(service);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_requests), cmocka_unit_test(test_broken_connections),
		cmocka_unit_test(test_limits),	       cmocka_unit_test(test_late_answers),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

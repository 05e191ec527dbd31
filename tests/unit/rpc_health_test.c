// The health service: what is asked, and who watches.

#include "rpc/health.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc_bytes.h"

#define HEALTH "/grpc.health.v1.Health/"

// HealthCheckResponse with its header.
static const uint8_t serving[] = {0, 0, 0, 0, 2, 8, 1};
static const uint8_t not_serving[] = {0, 0, 0, 0, 2, 8, 2};
static const uint8_t unknown[] = {0, 0, 0, 0, 2, 8, 3};

static size_t count(const uint8_t *data, size_t size, const uint8_t state[7])
{
	size_t found = 0;

	for (size_t i = 0; i + 7 <= size; i++)
		found += memcmp(data + i, state, 7) == 0;
	return found;
}

static size_t ask(struct service *service, int fd, uint32_t stream, const char *method,
		  const char *name, uint8_t *answer, size_t size)
{
	struct bytes *bytes = calloc(1, sizeof(*bytes));
	uint8_t message[100] = {0, 0, 0, 0, (uint8_t)(2 + strlen(name)), 10, (uint8_t)strlen(name)};

	memcpy(message + 7, name, strlen(name));
	if (stream == 1)
		preface_add(bytes);
	headers_add(bytes, stream, method, NULL, NULL, 0);
	frame_add(bytes, 0, END_STREAM, stream, message, 7 + strlen(name));
	size = exchange(service, fd, bytes, answer, size);
	free(bytes);
	return size;
}

static size_t receive(struct service *service, int fd, uint8_t *answer, size_t size)
{
	static const struct bytes nothing;

	return exchange(service, fd, &nothing, answer, size);
}

static void test_health(void **state)
{
	struct service *service = service_new(NULL);
	static uint8_t answer[65536];
	struct health *health;
	struct error err;
	size_t size;
	int fd, gone;

	assert_int_equal(health_open(service->server, &health, &err), 0);
	fd = service_connect(service);
	gone = service_connect(service);
	size = ask(service, fd, 1, HEALTH "Check", "", answer, sizeof(answer));
	assert_int_equal(count(answer, size, not_serving), 1);
	size = ask(service, fd, 3, HEALTH "Check", "sluice.v1.Sluice", answer, sizeof(answer));
	assert_int_equal(count(answer, size, not_serving), 1);
	size = ask(service, fd, 5, HEALTH "Check", "nothing", answer, sizeof(answer));
	assert_true(contains(answer, size,
			     "\x01"
			     "5"));
	// Watchers on two connections, one of which goes.
	for (uint32_t i = 0; i < 5; i++) {
		size = ask(service, gone, i * 2 + 1, HEALTH "Watch", "", answer, sizeof(answer));
		assert_int_equal(count(answer, size, not_serving), 1);
	}
	size = ask(service, fd, 7, HEALTH "Watch", "", answer, sizeof(answer));
	assert_int_equal(count(answer, size, not_serving), 1);
	size = ask(service, fd, 9, HEALTH "Watch", "nothing", answer, sizeof(answer));
	assert_int_equal(count(answer, size, unknown), 1);
	size = ask(service, fd, 11, HEALTH "Watch", "grpc.health.v1.Health", answer,
		   sizeof(answer));
	assert_int_equal(count(answer, size, not_serving), 1);
	close(gone);
	// Before the server knows that it is gone.
	health_set(health, true);
	size = receive(service, fd, answer, sizeof(answer));
	assert_int_equal(count(answer, size, serving), 2);
	assert_int_equal(count(answer, size, unknown), 0);
	health_set(health, true);
	assert_int_equal(receive(service, fd, answer, sizeof(answer)), 0);
	size = ask(service, fd, 13, HEALTH "Check", "", answer, sizeof(answer));
	assert_int_equal(count(answer, size, serving), 1);
	health_set(health, false);
	size = receive(service, fd, answer, sizeof(answer));
	assert_int_equal(count(answer, size, not_serving), 2);
	assert_int_equal(rpc_server_connections(service->server), 1);
	close(fd);
	service_turn(service);
	health_set(health, true);
	service_free(service);
	health_close(health);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_health)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// Ports that connect to a socket which the workload makes: when they look for it.

#include "vhost_front_end.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct workload {
	char path[64];
	int listener;
	struct port *port;
};

static char directory[] = "/tmp/vhost_client_test.XXXXXX";

static void workload_bind(struct workload *workload)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, workload->path, sizeof(workload->path));
	workload->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(workload->listener, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void workload_close(struct workload *workload)
{
	port_close(workload->port);
	close(workload->listener);
	unlink(workload->path);
}

static struct workload workload_open(const char *name)
{
	struct workload workload;

	memset(&workload, 0, sizeof(workload));
	snprintf(workload.path, sizeof(workload.path), "%s/%s", directory, name);
	workload_bind(&workload);
	assert_int_equal(listen(workload.listener, 4), 0);
	workload.port = front_end_port(workload.path, false, 1);
	return workload;
}

static bool is_called(const struct workload *workload)
{
	struct pollfd poll_fd = {.fd = workload->listener, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

static int workload_accept(const struct workload *workload)
{
	int accepted;

	while (!is_called(workload))
		event_base_loop(front_end_environment.base, EVLOOP_ONCE);
	accepted = accept(workload->listener, NULL, NULL);
	assert_true(accepted >= 0);
	return accepted;
}

static void refuse(const struct workload *workload, unsigned int times)
{
	while (times--) {
		close(workload_accept(workload));
		front_end_turn();
	}
}

// It is found by what comes into the directory, and again after it went.
static void test_socket_appears(void **state)
{
	struct workload workload = {.listener = -1};

	snprintf(workload.path, sizeof(workload.path), "%s/a", directory);
	workload.port = front_end_port(workload.path, false, 1);
	front_end_turn();
	workload_bind(&workload);
	// It comes too early at first.
	front_end_turn();
	assert_int_equal(listen(workload.listener, 4), 0);
	refuse(&workload, 3);
	workload_close(&workload);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// Who accepts and closes waits ever longer, also with a new socket each time: 10, 20, 40, 80, 160
// ms at least.
static void test_refusals(void **state)
{
	struct workload workload = workload_open("a");
	double start = now();

	refuse(&workload, 3);
	for (int i = 0; i < 2; i++) {
		close(workload.listener);
		unlink(workload.path);
		workload_bind(&workload);
		assert_int_equal(listen(workload.listener, 4), 0);
		refuse(&workload, 1);
	}
	close(workload_accept(&workload));
	assert_true(now() - start >= 0.3);
	workload_close(&workload);
}

// One that can send and receive is looked for at once when it went, whatever was before.
static void test_refusals_end(void **state)
{
	struct workload often = workload_open("often"), seldom = workload_open("seldom");
	struct front_end end;
	int accepted;

	refuse(&often, 6);
	refuse(&seldom, 3);
	front_end_take(&end, workload_accept(&often));
	accepted = workload_accept(&seldom);
	front_end_start(&end, MODERN, 2);
	assert_true(often.port->driver->up(often.port));
	front_end_close(&end);
	close(accepted);
	front_end_turn();
	while (!is_called(&seldom) && !is_called(&often))
		event_base_loop(front_end_environment.base, EVLOOP_ONCE);
	assert_true(is_called(&often));
	workload_close(&often);
	workload_close(&seldom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socket_appears),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refusals_end),
	};
	int result;

	if (!mkdtemp(directory))
		return 1;
	result = front_end_tests_run(tests, RTE_DIM(tests));
	rmdir(directory);
	return result;
}

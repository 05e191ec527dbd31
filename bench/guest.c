// A workload on a vhost-user port that has just been started: says how long after its socket was
// there the first packet came, in milliseconds, as a line of JSON; then it takes what comes.
//
//   guest SOCKET     ends with its standard input

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load/port.h"

// Others need the CPU.
#define PAUSE_US 50

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct vhost_user_device device = {.server = true, .queue_size = 1024};
	struct pollfd input = {.fd = 0, .events = POLLIN};
	uint16_t lengths[PORT_BURST];
	uint8_t *frames[PORT_BURST];
	struct port *port;
	bool seen = false;
	double start;

	if (argc != 2 || strlen(argv[1]) >= sizeof(device.path)) {
		fprintf(stderr, "usage: guest SOCKET\n");
		return 2;
	}
	strcpy(device.path, argv[1]);
	// Its buffers come first, and count: they take little.
	start = now_ms();
	port = vhost_user_port_open(&device);
	if (!port)
		return 1;
	while (port->operations->is_alive(port) && poll(&input, 1, 0) == 0) {
		unsigned int count = port->operations->receive(port, frames, lengths, false);

		if (count && !seen) {
			printf("{\"firstMs\": %.3f}\n", now_ms() - start);
			fflush(stdout);
			seen = true;
		}
		port->operations->release(port);
		usleep(PAUSE_US);
	}
	return 0;
}

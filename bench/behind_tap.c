// A kernel behind a tap, as a virtual machine with a fast device is: carries frames, with their
// virtio headers, between a tap here and one in another network namespace.
//
//   behind_tap HERE NAMESPACE THERE      NAMESPACE is a file; ends with its standard input

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Frames that one side may have before the other's turn.
#define BURST 64

static char frame[1 << 17];

static void die(const char *what)
{
	fprintf(stderr, "behind_tap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int tap_open(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		die(name);
	return fd;
}

// What finds a full queue is lost, as in a network card.
static void carry(int from, int to)
{
	for (int i = 0; i < BURST; i++) {
		ssize_t size = read(from, frame, sizeof(frame));

		if (size <= 0)
			return;
		if (write(to, frame, (size_t)size) < 0 && errno != EAGAIN && errno != EIO)
			die("write");
	}
}

int main(int argc, char **argv)
{
	struct pollfd fds[3] = {{.events = POLLIN}, {.events = POLLIN}, {.events = POLLIN}};
	int namespace;

	if (argc != 4) {
		fprintf(stderr, "usage: behind_tap HERE NAMESPACE THERE\n");
		return 2;
	}
	fds[0].fd = tap_open(argv[1]);
	namespace = open(argv[2], O_RDONLY);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0)
		die(argv[2]);
	fds[1].fd = tap_open(argv[3]);
	fds[2].fd = STDIN_FILENO;
	puts("ready");
	fflush(stdout);
	while (!fds[2].revents) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents)
			carry(fds[0].fd, fds[1].fd);
		if (fds[1].revents)
			carry(fds[1].fd, fds[0].fd);
	}
	return 0;
}

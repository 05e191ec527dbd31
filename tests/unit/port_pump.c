// Forwards packets between two ports given on the command line, as a worker would: polls, arms,
// sleeps, wakes. A helper for trying drivers by hand and from tests:
//   port_pump [-t SECONDS] [-m MTU] [-q QUEUES] [-s] DEVICE DEVICE
// DEVICE: vhost:PATH, vhost-server:PATH, tap:NAME[@NETNS], netdev:NAME, packet:NAME, xdp:NAME,
// pci:ADDRESS or devargs:ARGS; packet and xdp may have +VTEP behind them, to be opened as an
// uplink. -s prints counters each second.

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "base/log.h"
#include "port/landing.h"
#include "port/offload.h"
#include "port/port.h"

struct side {
	struct port *port;
	uint64_t received;
	uint64_t sent;
	uint64_t dropped;
};

static volatile sig_atomic_t stop;

static void stop_set(int signal_number)
{
	stop = 1;
}

static bool kind_parse(char *text, struct port_device *device)
{
	static const struct {
		const char *prefix;
		enum port_device_kind kind;
		enum port_netdev_method method;
		bool server;
	} kinds[] = {
		{"vhost:", PORT_DEVICE_VHOST_USER, 0, false},
		{"vhost-server:", PORT_DEVICE_VHOST_USER, 0, true},
		{"tap:", PORT_DEVICE_TAP, 0, false},
		{"netdev:", PORT_DEVICE_NETDEV, PORT_NETDEV_AUTO, false},
		{"packet:", PORT_DEVICE_NETDEV, PORT_NETDEV_AF_PACKET, false},
		{"xdp:", PORT_DEVICE_NETDEV, PORT_NETDEV_AF_XDP, false},
		{"pci:", PORT_DEVICE_PCI, 0, false},
		{"devargs:", PORT_DEVICE_DEVARGS, 0, false},
	};
	size_t i, length;
	char *mark;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		length = strlen(kinds[i].prefix);
		if (strncmp(text, kinds[i].prefix, length) == 0)
			break;
	}
	if (i == sizeof(kinds) / sizeof(kinds[0]))
		return false;
	text += length;
	device->kind = kinds[i].kind;
	device->method = kinds[i].method;
	device->server = kinds[i].server;
	mark = device->kind == PORT_DEVICE_TAP ? strchr(text, '@') : NULL;
	if (mark) {
		*mark = 0;
		snprintf(device->netns, sizeof(device->netns), "%s", mark + 1);
	}
	mark = device->kind == PORT_DEVICE_NETDEV ? strchr(text, '+') : NULL;
	if (mark) {
		*mark = 0;
		device->uplink = true;
		if (!ip_parse(mark + 1, &device->vtep))
			return false;
	}
	snprintf(device->name, sizeof(device->name), "%s", text);
	return true;
}

// Finishes what the other side does not, but cuts nothing.
static uint16_t finish(struct side *to, struct rte_mbuf **packets, uint16_t count)
{
	uint16_t i, kept = 0;

	for (i = 0; i < count; i++) {
		if (offload_suffices(packets[i]->ol_flags, to->port->offloads) ||
		    (!(packets[i]->ol_flags & PACKET_SEGMENTATION) &&
		     packet_complete_checksum(packets[i])))
			packets[kept++] = packets[i];
		else
			rte_pktmbuf_free(packets[i]);
	}
	to->dropped += (uint64_t)(count - kept);
	return kept;
}

static uint16_t pump(struct side *from, struct side *to)
{
	struct rte_mbuf *packets[PORT_BURST];
	uint16_t queue, count, sent, total = 0;

	for (queue = 0; queue < from->port->queues; queue++) {
		count = from->port->driver->receive(from->port, queue, packets, PORT_BURST);
		if (count == 0)
			continue;
		from->received += count;
		total += count;
		count = finish(to, packets, count);
		sent = to->port->driver->send(to->port, queue % to->port->queues, packets, count);
		rte_pktmbuf_free_bulk(packets + sent, count - sent);
		to->sent += sent;
		to->dropped += count - sent;
	}
	return total;
}

// Sleeps until a port has something, at most 200 ms. `wake_fd` is the ports' eventfd.
static void sleep_until_work(struct side sides[2], struct rte_rcu_qsbr *workers, int wake_fd)
{
	struct pollfd fds[2 * PORT_QUEUES_MAX + 1];
	bool work = false, short_steps = false;
	uint64_t counter;
	nfds_t count = 0;
	struct port *port;
	uint16_t queue;
	int i, fd;

	fds[count++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	for (i = 0; i < 2; i++) {
		port = sides[i].port;
		for (queue = 0; queue < port->queues; queue++) {
			if (!port->driver->arm(port, queue, &fd)) {
				if (port->needs_polling)
					short_steps = true;
				else
					work = true;
			} else if (fd >= 0) {
				fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
			}
		}
	}
	if (!work) {
		rte_rcu_qsbr_thread_offline(workers, 0);
		poll(fds, count, short_steps ? 1 : 200);
		rte_rcu_qsbr_thread_online(workers, 0);
	}
	if (read(wake_fd, &counter, sizeof(counter)) < 0 && errno != EAGAIN)
		perror("eventfd");
	for (i = 0; i < 2; i++)
		for (queue = 0; queue < sides[i].port->queues; queue++)
			sides[i].port->driver->disarm(sides[i].port, queue);
}

// Ports have a control thread of their own.
static void *control(void *base)
{
	while (!stop)
		event_base_loop(base, EVLOOP_ONCE);
	return NULL;
}

static void control_tick(evutil_socket_t fd, short what, void *context)
{
}

static void report(const struct side sides[2])
{
	int i;

	for (i = 0; i < 2; i++)
		printf("%s %s rx %lu tx %lu dropped %lu errors %lu/%lu%s", sides[i].port->name,
		       sides[i].port->driver->up(sides[i].port) ? "up" : "down", sides[i].received,
		       sides[i].sent, sides[i].dropped, sides[i].port->receive_errors,
		       sides[i].port->send_errors, i ? "\n" : "; ");
	fflush(stdout);
}

static void run(struct side sides[2], struct rte_rcu_qsbr *workers, int wake_fd, int seconds,
		bool statistics)
{
	time_t begin = time(NULL), last = begin, now;
	unsigned int idle = 0;

	while (!stop) {
		rte_rcu_qsbr_quiescent(workers, 0);
		if (pump(&sides[0], &sides[1]) + pump(&sides[1], &sides[0]))
			idle = 0;
		else if (++idle > 64)
			sleep_until_work(sides, workers, wake_fd);
		now = time(NULL);
		if (seconds && now - begin >= seconds)
			break;
		if (statistics && now != last)
			report(sides);
		last = now;
	}
}

int main(int argc, char **argv)
{
	char *eal[] = {argv[0],
		       (char[]){"--no-pci"},
		       (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},
		       (char[]){"-m"},
		       (char[]){"128"},
		       (char[]){"--no-telemetry"},
		       (char[]){"--log-level=4"}};
	const struct timeval tick = {.tv_usec = 50000};
	struct port_environment environment = {.base = event_base_new()};
	struct port_device device = {.mtu = 1500, .queues = 1, .mode = PORT_MODE_NONE};
	struct side sides[2] = {0};
	static struct port_landing landing;
	struct event *ticks;
	pthread_t thread;
	struct error err;
	int option, i, seconds = 0, wake_fd, queue, status = 1;
	bool statistics = false;

	while ((option = getopt(argc, argv, "t:m:q:s")) != -1) {
		if (option == 't')
			seconds = atoi(optarg);
		else if (option == 'm')
			device.mtu = (uint16_t)atoi(optarg);
		else if (option == 'q')
			device.queues = (uint16_t)atoi(optarg);
		else if (option == 's')
			statistics = true;
		else
			return 2;
	}
	if (argc - optind != 2)
		return 2;
	signal(SIGINT, stop_set);
	signal(SIGTERM, stop_set);
	if (rte_eal_init(8, eal) < 0) {
		fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	environment.pool = rte_pktmbuf_pool_create("packets", 16383, 256, 0,
						   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	environment.workers = calloc(1, rte_rcu_qsbr_get_memsize(1));
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ticks = event_new(environment.base, -1, EV_PERSIST, control_tick, NULL);
	if (!environment.pool || !environment.workers || wake_fd < 0 || !ticks ||
	    event_add(ticks, &tick) < 0)
		return 1;
	rte_rcu_qsbr_init(environment.workers, 1);
	rte_rcu_qsbr_thread_register(environment.workers, 0);
	for (i = 0; i < 2; i++) {
		if (!kind_parse(argv[optind + i], &device)) {
			fprintf(stderr, "%s: not a device\n", argv[optind + i]);
			goto out;
		}
		if (port_open(i ? "b" : "a", &device, &environment, &sides[i].port, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			goto out;
		}
		for (queue = 0; queue < PORT_QUEUES_MAX; queue++) {
			sides[i].port->landings[queue] = &landing;
			__atomic_store_n(&sides[i].port->wake_fds[queue], wake_fd,
					 __ATOMIC_RELEASE);
		}
	}
	printf("ready\n");
	fflush(stdout);
	rte_rcu_qsbr_thread_online(environment.workers, 0);
	if (pthread_create(&thread, NULL, control, environment.base) != 0)
		goto out;
	run(sides, environment.workers, wake_fd, seconds, statistics);
	report(sides);
	rte_rcu_qsbr_thread_offline(environment.workers, 0);
	stop = 1;
	pthread_join(thread, NULL);
	status = 0;
out:
	rte_rcu_qsbr_thread_offline(environment.workers, 0);
	for (i = 0; i < 2; i++)
		port_close(sides[i].port);
	landing_free(&landing);
	// All mbufs must have come back.
	if (rte_mempool_in_use_count(environment.pool) != 0) {
		fprintf(stderr, "%u mbufs leaked\n", rte_mempool_in_use_count(environment.pool));
		status = 1;
	}
	event_free(ticks);
	event_base_free(environment.base);
	rte_mempool_free(environment.pool);
	free(environment.workers);
	close(wake_fd);
	rte_eal_cleanup();
	return status;
}

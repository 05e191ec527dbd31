// Any messages to a vhost-user port, in any pieces and with any descriptors, between what its
// workers do and what the guest changes in its memory. The input is a sequence of steps: a byte
// says which, the next ones what with.

#include <event2/event.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "fuzz_packets.h"
#include "port/driver.h"
#include "port/vhost_user/features.h"
#include "port/vhost_user/message.h"

#define MEMORY_SIZE  (1U << 18)
#define MEMORY_GUEST UINT64_C(0x100000)
#define MEMORY_USER  UINT64_C(0x7f0000000000)
#define QUEUES	     2

static struct port_environment environment;
static struct port *port;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int files[4]; // memory, a piece of memory, an eventfd, no such thing
static uint8_t *memory;

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(environment.base, EVLOOP_NONBLOCK);
}

static void begin(void)
{
	struct port_device device = {.kind = PORT_DEVICE_VHOST_USER,
				     .server = true,
				     .mode = PORT_MODE_NONE,
				     .queues = QUEUES,
				     .mtu = 1500};
	struct error err;

	log_set_level(LOG_LEVEL_ERROR);
	environment.pool = packets_open(255);
	environment.base = event_base_new();
	snprintf(device.name, sizeof(device.name), "/tmp/fuzz_vhost_user.%d", getpid());
	memcpy(address.sun_path, device.name, sizeof(address.sun_path) - 1);
	require(port_open("port", &device, &environment, &port, &err) == 0);
	files[0] = memfd_create("memory", MFD_CLOEXEC);
	files[1] = memfd_create("piece", MFD_CLOEXEC);
	files[2] = eventfd(0, EFD_CLOEXEC);
	require(ftruncate(files[0], MEMORY_SIZE) == 0 && ftruncate(files[1], 4096) == 0);
	memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, files[0], 0);
	files[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t next(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

static size_t take(struct input *input, void *to, size_t size)
{
	size = RTE_MIN(size, input->size);
	memcpy(to, input->data, size);
	input->data += size;
	input->size -= size;
	return size;
}

static void say(int fd, const void *data, size_t size, const int *fds, uint32_t count)
{
	struct iovec part = {(void *)(uintptr_t)data, size};
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = {.header = {CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	// It may have been sent away.
	(void)!sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	turn();
	while (recv(fd, (uint8_t[512]){0}, 512, MSG_DONTWAIT) > 0)
		;
}

static void message(int fd, uint32_t request, const void *payload, uint32_t size, int file)
{
	struct {
		struct vhost_message_header header;
		uint8_t payload[256];
	} whole = {{request, VHOST_FLAG_VERSION, size}};

	memcpy(whole.payload, payload, size);
	say(fd, &whole, sizeof(whole.header) + size, &file, file >= 0);
}

static void number(int fd, uint32_t request, uint64_t value, int file)
{
	message(fd, request, &value, sizeof(value), file);
}

// What a front-end does, so that there are rings.
static void ring_begin(int fd, uint32_t index, uint16_t size)
{
	uint64_t user = MEMORY_USER + index * 0x2000;
	struct {
		uint32_t index, flags;
		uint64_t descriptors, used, available, log;
	} where = {index, 0, user, user + 0x1000, user + 0x1800, 0};

	number(fd, VHOST_SET_VRING_CALL, index, files[2]);
	number(fd, VHOST_SET_VRING_NUM, index | (uint64_t)size << 32, -1);
	message(fd, VHOST_SET_VRING_ADDR, &where, sizeof(where), -1);
	number(fd, VHOST_SET_VRING_KICK, index, files[2]);
	number(fd, VHOST_SET_VRING_ENABLE, index | 1ULL << 32, -1);
}

static void memory_begin(int fd, uint64_t features)
{
	struct {
		uint32_t count, padding;
		struct vhost_message_region region;
	} table = {1, 0, {MEMORY_GUEST, MEMORY_SIZE, MEMORY_USER, 0}};

	number(fd, VHOST_SET_FEATURES, features | FEATURE(FEATURE_PROTOCOL), -1);
	message(fd, VHOST_SET_MEM_TABLE, &table, sizeof(table), files[0]);
}

static void work(uint16_t queue)
{
	struct rte_mbuf *packets[4];
	uint16_t count, sent;
	int fd;

	// What it sends comes back to it.
	count = port->driver->receive(port, queue, packets, RTE_DIM(packets));
	sent = port->driver->send(port, queue, packets, count);
	rte_pktmbuf_free_bulk(packets + sent, (uint32_t)count - sent);
	if (rte_pktmbuf_alloc_bulk(environment.pool, packets, 2) == 0) {
		rte_pktmbuf_append(packets[0], 60);
		rte_pktmbuf_append(packets[1], 1500);
		count = port->driver->send(port, queue, packets, 2);
		rte_pktmbuf_free_bulk(packets + count, 2U - count);
	}
	port->driver->arm(port, queue, &fd);
	port->driver->disarm(port, queue);
}

static void step(int fd, struct input *input)
{
	uint8_t what = next(input), some[268] = {0};
	int fds[4];
	uint32_t count = 0, size;

	switch (what % 8) {
	case 0:
	case 1: // a message, with up to three descriptors
		some[0] = next(input) % 48;
		some[4] = VHOST_FLAG_VERSION | (next(input) & VHOST_FLAG_NEED_REPLY);
		some[8] = next(input);
		for (uint8_t which = next(input); count < which / 64U; count++)
			fds[count] = files[(which >> 2 * count) % 4];
		size = (uint32_t)take(input, some + 12, some[8]);
		say(fd, some, 12 + size, fds, count);
		break;
	case 2: // any bytes
		size = (uint32_t)take(input, some, next(input));
		say(fd, some, size, fds, 0);
		break;
	case 3:
		memory_begin(fd, (uint64_t)next(input) << 28 | (uint64_t)next(input) << 15);
		break;
	case 4:
		ring_begin(fd, next(input) % (2 * QUEUES), (uint16_t)(1U << next(input) % 9));
		break;
	case 5: // the guest writes into its memory
		size = (uint32_t)next(input) << 8;
		size |= next(input);
		take(input, memory + size, next(input));
		break;
	default:
		work(what / 8 % QUEUES);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	int fd;

	if (!port)
		begin();
	memset(memory, 0, 1 << 16);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	turn();
	while (input.size)
		step(fd, &input);
	close(fd);
	turn();
	require(!port->driver->up(port));
	require(rte_mempool_in_use_count(environment.pool) == 0);
	return 0;
}

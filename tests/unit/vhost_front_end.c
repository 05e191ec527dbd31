#include "vhost_front_end.h"

#include <dirent.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "port/vhost_user/ring/call.h"

#define DESCRIPTORS 0x0000
#define AVAILABLE   0x0400
#define USED	    0x0800
#define RING_ROOM   0x1000
#define BUFFERS	    0x10000
#define BUFFER_ROOM 0x800

struct port_environment front_end_environment;

struct port *front_end_port(const char *path, bool server, uint16_t queues)
{
	struct port_device device = {.kind = PORT_DEVICE_VHOST_USER,
				     .server = server,
				     .mode = PORT_MODE_NONE,
				     .queues = queues,
				     .mtu = 1500};
	struct port *port;
	struct error err;

	snprintf(device.name, sizeof(device.name), "%s", path);
	if (port_open("port", &device, &front_end_environment, &port, &err) < 0)
		fail_msg("%s", err.text);
	return port;
}

void front_end_turn(void)
{
	// What one turn brings up is done in the next.
	for (int i = 0; i < 4; i++)
		event_base_loop(front_end_environment.base, EVLOOP_NONBLOCK);
}

void front_end_open(struct front_end *end, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(connected, (struct sockaddr *)&address, sizeof(address)), 0);
	front_end_take(end, connected);
}

void front_end_take(struct front_end *end, int connected)
{
	memset(end, 0, sizeof(*end));
	end->socket = connected;
	end->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(end->memory_fd, MEMORY_SIZE), 0);
	end->memory =
		mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, end->memory_fd, 0);
	assert_ptr_not_equal(end->memory, MAP_FAILED);
	for (int i = 0; i < RINGS_TOTAL; i++) {
		end->kicks[i] = eventfd(0, EFD_CLOEXEC);
		end->calls[i] = eventfd(0, EFD_CLOEXEC);
	}
	front_end_turn();
}

void front_end_close(struct front_end *end)
{
	close(end->socket);
	close(end->memory_fd);
	munmap(end->memory, MEMORY_SIZE);
	for (int i = 0; i < RINGS_TOTAL; i++) {
		close(end->kicks[i]);
		close(end->calls[i]);
	}
	front_end_turn();
}

bool front_end_connected(struct front_end *end)
{
	char byte;

	front_end_turn();
	return recv(end->socket, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void front_end_say(struct front_end *end, uint32_t request, uint32_t flags, const void *payload,
		   uint32_t size, int fd)
{
	struct vhost_message_header header = {request, VHOST_FLAG_VERSION | flags, size};
	struct iovec parts[2] = {{&header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(end->socket, &message, MSG_NOSIGNAL), sizeof(header) + size);
	front_end_turn();
}

void front_end_say_number(struct front_end *end, uint32_t request, uint64_t number, int fd)
{
	front_end_say(end, request, 0, &number, sizeof(number), fd);
}

void front_end_say_ring(struct front_end *end, uint32_t request, uint32_t index, uint32_t number)
{
	const uint32_t payload[2] = {index, number};

	front_end_say(end, request, 0, payload, sizeof(payload), -1);
}

int front_end_answer(struct front_end *end, uint32_t *request, union vhost_payload *payload)
{
	struct vhost_message_header header;

	front_end_turn();
	if (recv(end->socket, &header, sizeof(header), MSG_DONTWAIT) != sizeof(header))
		return -1;
	assert_int_equal(header.flags, VHOST_FLAG_VERSION | VHOST_FLAG_REPLY);
	assert_true(header.size <= sizeof(*payload));
	assert_int_equal(recv(end->socket, payload, header.size, MSG_DONTWAIT), header.size);
	*request = header.request;
	return (int)header.size;
}

uint64_t front_end_ask(struct front_end *end, uint32_t request, const void *payload, uint32_t size,
		       int fd)
{
	union vhost_payload answer;
	uint32_t answered;

	front_end_say(end, request, VHOST_FLAG_NEED_REPLY, payload, size, fd);
	assert_int_equal(front_end_answer(end, &answered, &answer), sizeof(uint64_t));
	assert_int_equal(answered, request);
	return answer.number;
}

void front_end_share(struct front_end *end)
{
	struct {
		uint32_t count, padding;
		struct vhost_message_region region;
	} table = {1, 0, {MEMORY_GUEST, MEMORY_SIZE, MEMORY_USER, 0}};

	front_end_say(end, VHOST_SET_MEM_TABLE, 0, &table, sizeof(table), end->memory_fd);
}

void front_end_ring(struct front_end *end, uint32_t index, uint32_t base)
{
	uint64_t user = MEMORY_USER + index * RING_ROOM;
	struct {
		uint32_t index, flags;
		uint64_t descriptors, used, available, log;
	} address = {index, 0, user + DESCRIPTORS, user + USED, user + AVAILABLE, 0};

	front_end_say_number(end, VHOST_SET_VRING_CALL, index, end->calls[index]);
	front_end_say_ring(end, VHOST_SET_VRING_NUM, index, RING_SIZE);
	front_end_say_ring(end, VHOST_SET_VRING_BASE, index, base);
	front_end_say(end, VHOST_SET_VRING_ADDR, 0, &address, sizeof(address), -1);
	front_end_say_number(end, VHOST_SET_VRING_KICK, index, end->kicks[index]);
	front_end_say_ring(end, VHOST_SET_VRING_ENABLE, index, 1);
}

void front_end_start(struct front_end *end, uint64_t features, uint32_t rings)
{
	front_end_say_number(end, VHOST_SET_FEATURES, features, -1);
	front_end_share(end);
	for (uint32_t i = 0; i < rings; i++)
		front_end_ring(end, i, 0);
}

void front_end_buffer(struct front_end *end, uint32_t index, uint32_t size, bool write)
{
	uint8_t *ring = end->memory + index * RING_ROOM;
	struct vring_desc *descriptors = (struct vring_desc *)(ring + DESCRIPTORS);
	struct vring_avail *available = (struct vring_avail *)(ring + AVAILABLE);
	uint16_t place = available->idx % RING_SIZE;

	descriptors[place] = (struct vring_desc){
		.addr = MEMORY_GUEST + (uint64_t)(front_end_data(end, index, place) - end->memory),
		.len = size,
		.flags = write ? VRING_DESC_F_WRITE : 0,
	};
	available->ring[place] = place;
	__atomic_store_n(&available->idx, available->idx + 1, __ATOMIC_RELEASE);
}

uint16_t front_end_used(const struct front_end *end, uint32_t index)
{
	return ((const struct vring_used *)(end->memory + index * RING_ROOM + USED))->idx;
}

uint8_t *front_end_data(const struct front_end *end, uint32_t index, uint32_t number)
{
	return end->memory + BUFFERS + (index * RING_SIZE + number % RING_SIZE) * BUFFER_ROOM;
}

struct rte_mbuf *front_end_packet(uint32_t size)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(front_end_environment.pool);

	memset(rte_pktmbuf_append(packet, (uint16_t)size), 0x5a, size);
	return packet;
}

static uint32_t descriptors_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int front_end_tests_run(const struct CMUnitTest *tests, size_t count)
{
	char *eal[] = {(char[]){"test"},	   (char[]){"--no-pci"},     (char[]){"--no-huge"},
		       (char[]){"--no-shconf"},	   (char[]){"-m"},	     (char[]){"32"},
		       (char[]){"--no-telemetry"}, (char[]){"--log-level=4"}};
	uint32_t descriptors;
	int result;

	if (rte_eal_init((int)RTE_DIM(eal), eal) < 0)
		return 1;
	front_end_environment.pool =
		rte_pktmbuf_pool_create("packets", 511, 0, 0, 2048 + 128, SOCKET_ID_ANY);
	front_end_environment.base = event_base_new();
	// What a thread keeps once it has called a guest.
	ring_signal(-1);
	descriptors = descriptors_count();
	result = _cmocka_run_group_tests("vhost_user", tests, count, NULL, NULL);
	if (descriptors_count() != descriptors) {
		print_error("%u descriptors, %u before\n", descriptors_count(), descriptors);
		result = 1;
	}
	if (rte_mempool_in_use_count(front_end_environment.pool)) {
		print_error("%u packets leaked\n",
			    rte_mempool_in_use_count(front_end_environment.pool));
		result = 1;
	}
	event_base_free(front_end_environment.base);
	rte_eal_cleanup();
	return result;
}

// The front-end of a vhost-user port in the same process: says whatever a test wants said, and has
// rings in memory of its own. Real socket, real port; the test runs the port's event loop.

#pragma once

#include "test.h"

#include <event2/event.h>
#include <linux/virtio_ring.h>

#include <rte_mbuf.h>

#include "port/driver.h"
#include "port/vhost_user/features.h"
#include "port/vhost_user/message.h"

#define MEMORY_SIZE  (1U << 20)
#define MEMORY_GUEST UINT64_C(0x100000)
#define MEMORY_USER  UINT64_C(0x7f0000000000)
#define RING_SIZE    8
#define RINGS_TOTAL  8 // at most
#define MODERN	     (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(FEATURE_PROTOCOL))

struct front_end {
	int socket;
	int memory_fd;
	uint8_t *memory;
	int kicks[RINGS_TOTAL];
	int calls[RINGS_TOTAL];
};

extern struct port_environment front_end_environment;

// Opens a port with this many queues at `path`.
struct port *front_end_port(const char *path, bool server, uint16_t queues);

// All that the port has to do now.
void front_end_turn(void);

// Connects, with memory that is not shared yet.
void front_end_open(struct front_end *end, const char *path);
// The same with a socket that is connected, and is the front-end's now.
void front_end_take(struct front_end *end, int connected);
void front_end_close(struct front_end *end);

// Is it still connected? What was not read is lost.
bool front_end_connected(struct front_end *end);

// Sends a message. `fd`: -1, or what comes with it.
void front_end_say(struct front_end *end, uint32_t request, uint32_t flags, const void *payload,
		   uint32_t size, int fd);
void front_end_say_number(struct front_end *end, uint32_t request, uint64_t number, int fd);
void front_end_say_ring(struct front_end *end, uint32_t request, uint32_t index, uint32_t number);

// Waits for nothing: an answer must be there after the port's turn. Its size, or -1 if there is
// none.
int front_end_answer(struct front_end *end, uint32_t *request, union vhost_payload *payload);

// Sends it and returns the number that it is answered with.
uint64_t front_end_ask(struct front_end *end, uint32_t request, const void *payload, uint32_t size,
		       int fd);

// The whole way to rings in use: features, memory, and for each ring size, addresses, descriptors
// and that it is enabled.
void front_end_start(struct front_end *end, uint64_t features, uint32_t rings);
void front_end_share(struct front_end *end);
void front_end_ring(struct front_end *end, uint32_t index, uint32_t base);

// Gives the device a buffer of `size` bytes in a ring, for what it is there for.
void front_end_buffer(struct front_end *end, uint32_t index, uint32_t size, bool write);
// Buffers that it gave back, ever (modulo 65536).
uint16_t front_end_used(const struct front_end *end, uint32_t index);
// Where the buffer of this number (modulo the ring's size) is.
uint8_t *front_end_data(const struct front_end *end, uint32_t index, uint32_t number);

struct rte_mbuf *front_end_packet(uint32_t size);

// Starts DPDK, runs the tests, and looks whether a packet buffer or descriptor is missing.
int front_end_tests_run(const struct CMUnitTest *tests, size_t count);

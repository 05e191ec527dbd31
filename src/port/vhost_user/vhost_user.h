// A vhost-user port's state, and what its parts offer each other.
//
// Threads: all of this is the control thread's, but for what the workers load: the rings of the
// queues and what hangs on them. Those are constant while a worker can see them: whoever changes
// anything about a ring takes it out of the workers' sight and waits for their quiescent state
// (guest.c), and no worker ever waits for anybody.

#pragma once

#include <sys/queue.h>

#include "base/rate_limit.h"
#include "port/driver.h"
#include "port/vhost_user/memory.h"
#include "port/vhost_user/message.h"
#include "port/vhost_user/ring.h"

struct event;
struct port_parts;

// Connections to one socket at a time. More than one comes up when the other end starts anew before
// its old connection is seen to be closed; the newest one that is ready carries the traffic. Who is
// not ready makes room for who comes.
#define GUESTS_MAX 4
#define RINGS_MAX  (2 * PORT_QUEUES_MAX)

// One virtqueue, as messages describe it. Even ones are what the guest receives by.
struct vhost_vring {
	uint32_t size; // in descriptors; 0: not said
	uint32_t base;
	bool has_address;
	uint64_t descriptors, used, available; // the front-end's own addresses
	int kick_fd, call_fd;		       // -1: none
	bool started; // from the kick's descriptor on until its base is asked for
	bool enabled;
	bool failed;  // it can't be opened as it is: said once
	bool broken;  // likewise, what the guest did to it
	bool open;    // `ring` is in order
	bool visible; // to workers
	struct vhost_ring ring;
};

// The other end of one connection.
struct vhost_guest {
	struct vhost_port *port;
	TAILQ_ENTRY(vhost_guest) entry;
	// connection.c
	int socket;
	struct event *readable, *writable;
	struct vhost_message message;
	uint8_t reply[sizeof(struct vhost_message_header) + sizeof(union vhost_payload)];
	uint32_t reply_size, reply_sent;
	// What is negotiated.
	uint64_t features;
	uint64_t protocol_features;
	uint64_t status;
	bool running;	 // can send and receive
	uint64_t serial; // order in which they became so
	struct vhost_memory memory;
	struct vhost_log log;
	void *log_map;
	size_t log_map_size;
	int log_fd; // as a region's
	uint64_t log_offset;
	struct vhost_vring vrings[RINGS_MAX];
};

struct vhost_queue {
	// For workers; NULL: none.
	struct vhost_ring *receive;
	struct vhost_ring *send;
	// Whose kicks were asked for by arm. The worker's.
	struct vhost_ring *armed;
	// Collects the kicks, edge-triggered: the eventfds in it are never read, as they may block.
	int epoll_fd;
	struct vhost_ring_errors errors;
};

struct vhost_port {
	struct port port;
	char path[108];
	bool server;
	bool uplink;
	const struct port_environment *environment;
	uint64_t serials;
	struct vhost_guest *active; // any thread may ask whether there is one
	// A MAC address to be announced, in the low 48 bits, and that there is one in the next.
	uint64_t announcement;
	TAILQ_HEAD(, vhost_guest) guests; // the oldest first
	uint32_t guest_count;
	struct rate_limit said; // of what a guest does at will
	struct rate_limit comings;
	// socket.c: what was made, so that nothing else is removed
	int listener;
	struct event *acceptable;
	bool accepting;
	uint64_t socket_device, socket_inode;
	// client.c
	int watch; // inotify
	struct event *watched, *again;
	// Milliseconds from the last try to the next, and from the last connection to it.
	uint32_t patience, pause;
	struct vhost_queue queues[PORT_QUEUES_MAX];
};

#define ANNOUNCEMENT (UINT64_C(1) << 48)

// connection.c

// Somebody is at the other end of the socket, which is the port's now. NULL: refused, and closed.
struct vhost_guest *vhost_connection_open(struct vhost_port *port, int socket);

void vhost_connections_close(struct vhost_port *port);

// guest.c

// Takes rings out of the workers' sight, waits until none uses them, and closes them; all may be
// changed then. To be settled afterwards.
void vhost_guest_pause(struct vhost_guest *guest, uint32_t first, uint32_t count);

// Opens what can be opened, and shows it to the workers if the guest has the port. -1: a ring that
// is started can't be opened as it is described.
int vhost_guest_settle(struct vhost_guest *guest, struct error *err);

// Forgets what is said of a ring but for its call descriptor. Paused.
void vhost_vring_reset(struct vhost_vring *vring);

// Guests can't fill the log: false if something was said of this port's in this second.
bool vhost_may_log(struct vhost_port *port);

// Gives all back that it has. It must not be the active one's any more when this returns.
void vhost_guest_end(struct vhost_guest *guest);

// The newest guest that is ready gets the port.
void vhost_guests_choose(struct vhost_port *port);

// Logs of what guests did to their rings, once each. False: a guest's memory has gone.
bool vhost_guests_check(struct vhost_port *port);

// request.c

// What to answer: nothing, or the message's payload as changed, of `header.size` bytes.
enum vhost_answer {
	VHOST_DONE,
	VHOST_REPLY,
	VHOST_REFUSED, // `err` says why
};

enum vhost_answer vhost_request_handle(struct vhost_guest *guest, struct vhost_message *message,
				       struct error *err);

// mapping.c

// Maps what a message describes. The descriptor stays the caller's.
int vhost_region_map(struct vhost_region *region, const struct vhost_message_region *from, int fd,
		     struct error *err);
void vhost_region_unmap(struct vhost_region *region);
void vhost_memory_unmap(struct vhost_memory *memory);

int vhost_log_map(struct vhost_guest *guest, uint64_t size, uint64_t offset, int fd,
		  struct error *err);
void vhost_log_unmap(struct vhost_guest *guest);

// socket.c

// Makes the socket with the permissions and the user and group that the device has, and listens.
int vhost_socket_open(struct vhost_port *port, const struct port_device *device, struct error *err);
void vhost_socket_close(struct vhost_port *port);

// One that another process has made here, and that listens.
int vhost_socket_adopt(struct vhost_port *port, int fd, struct error *err);

// Goes on where accepting had to pause.
void vhost_socket_check(struct vhost_port *port);

// hand_over.c: as port.h has them
bool vhost_hand_over(struct port *base, struct port_parts *parts);
void vhost_hand_over_undo(struct port *base);
// Of a port that is open but for its socket.
int vhost_take_over(struct vhost_port *port, struct port_parts *parts, struct error *err);

// client.c

// Looks for a workload's socket until there is a connection.
int vhost_client_open(struct vhost_port *port, struct error *err);
void vhost_client_close(struct vhost_port *port);

// A second has gone by.
void vhost_client_check(struct vhost_port *port);
// The connection has ended. `served`: it could send and receive.
void vhost_client_ended(struct vhost_port *port, bool served);

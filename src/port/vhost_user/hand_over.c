// A vhost-user port in the hands of the process that takes our place. Of each connection there is
// the socket, and what its front-end would say to bring its rings to where they are: the messages
// of the protocol, so that both processes need to agree on nothing else. Neither the front-end nor
// the guest notices.

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port/parts.h"
#include "port/vhost_user/features.h"
#include "port/vhost_user/vhost_user.h"

// ---- giving

struct giving {
	struct port_parts *parts;
	bool complete; // there was memory
};

static void say(struct giving *giving, uint32_t request, const void *payload, uint32_t size,
		const int *fds, uint32_t fd_count)
{
	struct vhost_message message = {
		.header = {.request = request, .flags = VHOST_FLAG_VERSION, .size = size}};
	uint32_t whole = sizeof(message.header) + size;
	uint8_t bytes[sizeof(message.header) + sizeof(message.payload)];

	memcpy(bytes, &message.header, sizeof(message.header));
	memcpy(bytes + sizeof(message.header), payload, size);
	giving->complete &=
		port_parts_add(giving->parts, PORT_PART_MESSAGE, bytes, whole, fds, fd_count);
}

static void say_number(struct giving *giving, uint32_t request, uint64_t number)
{
	say(giving, request, &number, sizeof(number), NULL, 0);
}

static void say_of_ring(struct giving *giving, uint32_t request, uint32_t index, uint32_t number)
{
	uint32_t payload[2] = {index, number};

	say(giving, request, payload, sizeof(payload), NULL, 0);
}

static void say_fd(struct giving *giving, uint32_t request, uint32_t index, int fd)
{
	uint64_t number = index | (fd < 0 ? VHOST_VRING_NO_FD : 0);

	say(giving, request, &number, sizeof(number), &fd, fd >= 0);
}

static void memory_say(struct giving *giving, const struct vhost_memory *memory)
{
	union vhost_payload payload = {.memory.count = memory->count};
	int fds[VHOST_REGIONS_MAX];

	for (uint32_t i = 0; i < memory->count; i++) {
		payload.memory.regions[i] = (struct vhost_message_region){
			.guest = memory->regions[i].guest,
			.size = memory->regions[i].size,
			.user = memory->regions[i].user,
			.offset = memory->regions[i].offset,
		};
		fds[i] = memory->regions[i].fd;
	}
	say(giving, VHOST_SET_MEM_TABLE, &payload,
	    8 + memory->count * (uint32_t)sizeof(struct vhost_message_region), fds, memory->count);
}

static void log_say(struct giving *giving, const struct vhost_guest *guest)
{
	uint64_t payload[2] = {guest->log.size, guest->log_offset};

	if (guest->log_map)
		say(giving, VHOST_SET_LOG_BASE, payload, sizeof(payload), &guest->log_fd, 1);
}

static void ring_say(struct giving *giving, uint32_t index, const struct vhost_vring *vring)
{
	union vhost_payload payload = {
		.address = {.index = index,
			    .descriptors = vring->descriptors,
			    .used = vring->used,
			    .available = vring->available},
	};

	if (vring->size)
		say_of_ring(giving, VHOST_SET_VRING_NUM, index, vring->size);
	if (vring->has_address)
		say(giving, VHOST_SET_VRING_ADDR, &payload, sizeof(payload.address), NULL, 0);
	say_of_ring(giving, VHOST_SET_VRING_BASE, index, vring->base);
	if (vring->call_fd >= 0)
		say_fd(giving, VHOST_SET_VRING_CALL, index, vring->call_fd);
	if (vring->started)
		say_fd(giving, VHOST_SET_VRING_KICK, index, vring->kick_fd);
	if (vring->enabled)
		say_of_ring(giving, VHOST_SET_VRING_ENABLE, index, 1);
}

// What can't be given is left to the front-end, which connects anew.
static bool can_be_given(const struct vhost_guest *guest)
{
	for (uint32_t i = 0; i < guest->memory.count; i++)
		if (guest->memory.regions[i].fd < 0)
			return false;
	// Half of a message has come, or half of an answer has gone.
	return !guest->message.filled && guest->reply_sent == guest->reply_size &&
	       (!guest->log_map || guest->log_fd >= 0);
}

static void guest_give(struct giving *giving, struct vhost_guest *guest)
{
	vhost_guest_pause(guest, 0, RINGS_MAX);
	giving->complete &=
		port_parts_add(giving->parts, PORT_PART_CONNECTION, NULL, 0, &guest->socket, 1);
	say_number(giving, VHOST_SET_PROTOCOL_FEATURES, guest->protocol_features);
	say_number(giving, VHOST_SET_FEATURES, guest->features);
	memory_say(giving, &guest->memory);
	log_say(giving, guest);
	for (uint32_t i = 0; i < 2U * guest->port->port.queues; i++)
		ring_say(giving, i, &guest->vrings[i]);
	// It has the device reset if it is 0.
	if (guest->status)
		say_number(giving, VHOST_SET_STATUS, guest->status);
}

bool vhost_hand_over(struct port *base, struct port_parts *parts)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct giving giving = {.parts = parts, .complete = true};
	struct vhost_guest *guest;

	if (port->listener >= 0)
		giving.complete =
			port_parts_add(parts, PORT_PART_LISTENER, NULL, 0, &port->listener, 1);
	// The one that has the port is the last, and so gets it again.
	TAILQ_FOREACH(guest, &port->guests, entry)
	if (guest != port->active && can_be_given(guest))
		guest_give(&giving, guest);
	if (port->active && can_be_given(port->active))
		guest_give(&giving, port->active);
	return giving.complete;
}

void vhost_hand_over_undo(struct port *base)
{
	struct vhost_port *port = (struct vhost_port *)base;
	struct vhost_guest *guest;
	struct error ignored;

	TAILQ_FOREACH(guest, &port->guests, entry)
	vhost_guest_settle(guest, &ignored);
}

// ---- taking

static int message_take(struct vhost_guest *guest, struct port_part *part, struct error *err)
{
	struct vhost_message message = {0};
	uint32_t header = sizeof(message.header);
	int result = 0;

	if (part->size < header || part->size > header + sizeof(message.payload))
		return error_set(err, "a message of %u bytes", part->size);
	memcpy(&message.header, part->data, header);
	memcpy(&message.payload, part->data + header, part->size - header);
	if (message.header.size != part->size - header)
		return error_set(err, "a message of %u bytes with %u", message.header.size,
				 part->size - header);
	message.fd_count = RTE_MIN(part->fd_count, (uint32_t)VHOST_REGIONS_MAX);
	memcpy(message.fds, part->fds, message.fd_count * sizeof(int));
	part->fd_count = 0;
	if (vhost_request_handle(guest, &message, err) == VHOST_REFUSED)
		result = error_prefix(err, "%s", vhost_request_name(message.header.request));
	vhost_message_clear(&message);
	return result;
}

int vhost_take_over(struct vhost_port *port, struct port_parts *parts, struct error *err)
{
	struct port_part *part = port_parts_take(parts, PORT_PART_LISTENER);

	if (part && vhost_socket_adopt(port, port_part_fd(part), err) < 0)
		return -1;
	while ((part = port_parts_take(parts, PORT_PART_CONNECTION)) != NULL) {
		struct vhost_guest *guest = vhost_connection_open(port, port_part_fd(part));

		if (!guest)
			return error_set(err, "%s: no memory", port->path);
		while ((part = port_parts_take(parts, PORT_PART_MESSAGE)) != NULL)
			if (message_take(guest, part, err) < 0)
				return error_prefix(err, "%s", port->path);
	}
	return 0;
}

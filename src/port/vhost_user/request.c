// What each message of a front-end does (QEMU, docs/interop/vhost-user.rst). Whatever concerns a
// ring that workers may see is changed between vhost_guest_pause and vhost_guest_settle.

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "port/vhost_user/features.h"
#include "port/vhost_user/vhost_user.h"

#define RING_SIZE_MAX 32768 // virtio 1.2 sections 2.7 and 2.8
#define MTU_MIN	      68    // virtio 1.2 section 5.1.4.1

static int number_answer(struct vhost_message *message, uint64_t number)
{
	message->payload.number = number;
	message->header.size = sizeof(number);
	return VHOST_REPLY;
}

// ---- features

static bool any_started(const struct vhost_guest *guest)
{
	for (uint32_t i = 0; i < RINGS_MAX; i++)
		if (guest->vrings[i].started)
			return true;
	return false;
}

static int features_set(struct vhost_guest *guest, uint64_t features, struct error *err)
{
	uint64_t change = guest->features ^ features;
	uint64_t strange = features & ~vhost_features(guest->port->uplink);

	if (strange)
		return error_set(err, "features that were not offered: 0x%llx",
				 (unsigned long long)strange);
	// At the begin and end of a live migration this one changes under traffic.
	if (change & ~FEATURE(FEATURE_LOG_ALL) && any_started(guest))
		return error_set(err, "other features while rings are in use");
	if (!change)
		return 0;
	vhost_guest_pause(guest, 0, RINGS_MAX);
	guest->features = features;
	return vhost_guest_settle(guest, err);
}

static int protocol_features_set(struct vhost_guest *guest, uint64_t features, struct error *err)
{
	if (features & ~vhost_protocol_features)
		return error_set(err, "protocol features that were not offered: 0x%llx",
				 (unsigned long long)(features & ~vhost_protocol_features));
	vhost_guest_pause(guest, 0, RINGS_MAX);
	guest->protocol_features = features;
	return vhost_guest_settle(guest, err);
}

// All rings stop. Memory, and what is negotiated of the protocol, stay.
static int device_reset(struct vhost_guest *guest, struct error *err)
{
	vhost_guest_pause(guest, 0, RINGS_MAX);
	for (uint32_t i = 0; i < RINGS_MAX; i++) {
		// Not what the front-end has enabled: it does not repeat that for a guest's reset.
		bool enabled = guest->vrings[i].enabled &&
			       guest->message.header.request == VHOST_SET_STATUS;

		vhost_vring_reset(&guest->vrings[i]);
		guest->vrings[i].enabled = enabled;
	}
	guest->status = 0;
	return vhost_guest_settle(guest, err);
}

static int status_set(struct vhost_guest *guest, uint64_t status, struct error *err)
{
	if (!(status & 0xff))
		return device_reset(guest, err);
	vhost_guest_pause(guest, 0, RINGS_MAX);
	guest->status = status & 0xff;
	return vhost_guest_settle(guest, err);
}

static int mtu_set(const struct vhost_guest *guest, uint64_t mtu, struct error *err)
{
	uint16_t largest = guest->port->port.mtu;

	if (mtu < MTU_MIN || mtu > (largest ? largest : UINT16_MAX))
		return error_set(err, "an MTU of %llu, the port has %u", (unsigned long long)mtu,
				 largest);
	return 0;
}

// ---- memory

static bool overlaps(uint64_t start, uint64_t size, uint64_t other, uint64_t other_size)
{
	return start < other + other_size && other < start + size;
}

// Rings that lie in what is missing now wait for what comes next: a front-end that changes its
// memory takes regions away before it adds others in their place.
static int memory_settle(struct vhost_guest *guest)
{
	struct error ignored;

	vhost_guest_settle(guest, &ignored);
	return 0;
}

static bool region_overlaps(const struct vhost_region *region,
			    const struct vhost_message_region *other)
{
	return overlaps(region->guest, region->size, other->guest, other->size) ||
	       overlaps(region->user, region->size, other->user, other->size);
}

static void region_drop(struct vhost_memory *memory, uint32_t index)
{
	vhost_region_unmap(&memory->regions[index]);
	memory->regions[index] = memory->regions[--memory->count];
}

static int memory_set(struct vhost_guest *guest, struct vhost_message *message, struct error *err)
{
	uint32_t count = message->payload.memory.count, i, j;
	struct vhost_memory memory = {0}, old;

	if (count > VHOST_REGIONS_MAX ||
	    message->header.size < 8 + count * sizeof(struct vhost_message_region))
		return error_set(err, "%u regions in %u bytes", count, message->header.size);
	if (message->fd_count != count)
		return error_set(err, "%u file descriptors for %u regions", message->fd_count,
				 count);
	for (i = 0; i < count; i++) {
		const struct vhost_message_region *from = &message->payload.memory.regions[i];

		for (j = 0; j < i; j++)
			if (region_overlaps(&memory.regions[j], from))
				break;
		if (j < i ? error_set(err, "overlaps region %u", j)
			  : vhost_region_map(&memory.regions[i], from, message->fds[i], err)) {
			vhost_memory_unmap(&memory);
			return error_prefix(err, "region %u", i);
		}
		memory.count++;
	}
	vhost_guest_pause(guest, 0, RINGS_MAX);
	old = guest->memory;
	guest->memory = memory;
	vhost_memory_unmap(&old);
	return memory_settle(guest);
}

// What is in its place goes: QEMU 7.2 adds each region once for each queue pair, and one of them
// may do so while others have not yet removed what was there before.
static int region_insert(struct vhost_guest *guest, const struct vhost_message *message,
			 struct error *err)
{
	const struct vhost_message_region *from = &message->payload.slot.region;
	struct vhost_memory *memory = &guest->memory;
	uint32_t i, kept = 0;
	struct vhost_region region;

	if (message->fd_count != 1)
		return error_set(err, "no file descriptor");
	for (i = 0; i < memory->count; i++)
		kept += !region_overlaps(&memory->regions[i], from);
	if (kept == VHOST_REGIONS_MAX)
		return error_set(err, "more than %d regions", VHOST_REGIONS_MAX);
	if (vhost_region_map(&region, from, message->fds[0], err) < 0)
		return -1;
	vhost_guest_pause(guest, 0, RINGS_MAX);
	for (i = memory->count; i-- > 0;)
		if (region_overlaps(&memory->regions[i], from))
			region_drop(memory, i);
	memory->regions[memory->count++] = region;
	return memory_settle(guest);
}

// One that is not there may have gone with what took its place.
static int region_remove(struct vhost_guest *guest, const struct vhost_message *message)
{
	const struct vhost_message_region *wanted = &message->payload.slot.region;
	struct vhost_memory *memory = &guest->memory;

	for (uint32_t i = 0; i < memory->count; i++) {
		const struct vhost_region *region = &memory->regions[i];

		if (region->guest != wanted->guest || region->user != wanted->user ||
		    region->size != wanted->size)
			continue;
		vhost_guest_pause(guest, 0, RINGS_MAX);
		region_drop(memory, i);
		return memory_settle(guest);
	}
	return 0;
}

static int log_set(struct vhost_guest *guest, struct vhost_message *message, struct error *err)
{
	struct error other;
	int result;

	if (!(guest->protocol_features & FEATURE(PROTOCOL_LOG_SHMFD)) ||
	    message->header.size < sizeof(message->payload.log) || message->fd_count != 1)
		return error_set(err, "a log that is not shared");
	vhost_guest_pause(guest, 0, RINGS_MAX);
	vhost_log_unmap(guest);
	result = vhost_log_map(guest, message->payload.log.size, message->payload.log.offset,
			       message->fds[0], err);
	return vhost_guest_settle(guest, result < 0 ? &other : err) < 0 ? -1 : result;
}

// ---- rings

static struct vhost_vring *vring_find(struct vhost_guest *guest, uint32_t index, struct error *err)
{
	if (index < 2U * guest->port->port.queues)
		return &guest->vrings[index];
	error_set(err, "ring %u of %u", index, 2U * guest->port->port.queues);
	return NULL;
}

static int ring_address_set(struct vhost_guest *guest, const struct vhost_message *message,
			    struct error *err)
{
	uint32_t index = message->payload.address.index;
	struct vhost_vring *vring = vring_find(guest, index, err);

	if (!vring)
		return -1;
	vhost_guest_pause(guest, index, 1);
	vring->descriptors = message->payload.address.descriptors;
	vring->used = message->payload.address.used;
	vring->available = message->payload.address.available;
	vring->has_address = true;
	return vhost_guest_settle(guest, err);
}

// Only an eventfd can be used by workers that must not wait.
static bool is_eventfd(int fd)
{
	char path[32], target[32] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, target, sizeof(target) - 1) > 0 &&
	       strcmp(target, "anon_inode:[eventfd]") == 0;
}

// SET_VRING_KICK, _CALL and _ERR.
static int ring_fd_set(struct vhost_guest *guest, struct vhost_message *message, struct error *err)
{
	uint32_t index = message->payload.number & VHOST_VRING_MASK;
	struct vhost_vring *vring = vring_find(guest, index, err);
	int fd = -1, *place;

	if (!vring)
		return -1;
	if (!(message->payload.number & VHOST_VRING_NO_FD)) {
		if (!message->fd_count)
			return error_set(err, "no file descriptor");
		if (!is_eventfd(message->fds[0]))
			return error_set(err, "not an eventfd");
		// Nobody to be told of errors: what is broken is in the log here.
		if (message->header.request == VHOST_SET_VRING_ERR)
			return 0;
		fd = vhost_message_fd(message);
	} else if (message->header.request == VHOST_SET_VRING_ERR) {
		return 0;
	}
	vhost_guest_pause(guest, index, 1);
	place = &vring->kick_fd;
	if (message->header.request == VHOST_SET_VRING_CALL) {
		place = &vring->call_fd;
		// The other end holds the same description open, and has it so itself.
		if (fd >= 0)
			fcntl(fd, F_SETFL, O_NONBLOCK);
	} else {
		vring->started = true;
	}
	if (*place >= 0)
		close(*place);
	*place = fd;
	return vhost_guest_settle(guest, err);
}

static int ring_size_set(struct vhost_guest *guest, const struct vhost_message *message,
			 struct error *err)
{
	uint32_t index = message->payload.ring.index, size = message->payload.ring.number;
	struct vhost_vring *vring = vring_find(guest, index, err);

	if (!vring)
		return -1;
	if (!size || size > RING_SIZE_MAX)
		return error_set(err, "a ring of %u descriptors", size);
	vhost_guest_pause(guest, index, 1);
	vring->size = size;
	return vhost_guest_settle(guest, err);
}

static int ring_base_set(struct vhost_guest *guest, const struct vhost_message *message,
			 struct error *err)
{
	uint32_t index = message->payload.ring.index;
	struct vhost_vring *vring = vring_find(guest, index, err);

	if (!vring)
		return -1;
	vhost_guest_pause(guest, index, 1);
	vring->base = message->payload.ring.number;
	return vhost_guest_settle(guest, err);
}

static int ring_enable_set(struct vhost_guest *guest, const struct vhost_message *message,
			   struct error *err)
{
	uint32_t index = message->payload.ring.index;
	struct vhost_vring *vring = vring_find(guest, index, err);

	if (!vring)
		return -1;
	if (vring->enabled == (message->payload.ring.number != 0))
		return 0;
	vhost_guest_pause(guest, index, 1);
	vring->enabled = message->payload.ring.number;
	return vhost_guest_settle(guest, err);
}

// Stops the ring.
static int ring_base_get(struct vhost_guest *guest, struct vhost_message *message,
			 struct error *err)
{
	uint32_t index = message->payload.ring.index, base;
	struct vhost_vring *vring = vring_find(guest, index, err);

	if (!vring)
		return -1;
	vhost_guest_pause(guest, index, 1);
	base = vring->base;
	// All that was taken has been given back: the two places of a packed ring are one.
	if (guest->features & FEATURE(VIRTIO_F_RING_PACKED))
		base = (base & 0xffff) | base << 16;
	vring->started = false;
	if (vring->kick_fd >= 0)
		close(vring->kick_fd);
	vring->kick_fd = -1;
	message->payload.ring.number = base;
	message->header.size = sizeof(message->payload.ring);
	if (vhost_guest_settle(guest, err) < 0)
		return -1;
	return VHOST_REPLY;
}

static int announce(struct vhost_guest *guest, const struct vhost_message *message)
{
	struct vhost_port *port = guest->port;
	uint64_t mac = 0;

	memcpy(&mac, &message->payload, 6);
	__atomic_store_n(&port->announcement, mac | ANNOUNCEMENT, __ATOMIC_RELEASE);
	port_wake(&port->port);
	return 0;
}

// A result below 0 is a refusal, others are an enum vhost_answer.
static int handle(struct vhost_guest *guest, struct vhost_message *message, struct error *err)
{
	switch (message->header.request) {
	case VHOST_GET_FEATURES:
		return number_answer(message, vhost_features(guest->port->uplink));
	case VHOST_SET_FEATURES:
		return features_set(guest, message->payload.number, err);
	case VHOST_GET_PROTOCOL_FEATURES:
		return number_answer(message, vhost_protocol_features);
	case VHOST_SET_PROTOCOL_FEATURES:
		return protocol_features_set(guest, message->payload.number, err);
	case VHOST_GET_QUEUE_NUM:
		return number_answer(message, guest->port->port.queues);
	case VHOST_SET_OWNER:
	case VHOST_SET_LOG_FD:
		return 0;
	case VHOST_RESET_OWNER:
	case VHOST_RESET_DEVICE:
		return device_reset(guest, err);
	case VHOST_SET_STATUS:
		return status_set(guest, message->payload.number, err);
	case VHOST_GET_STATUS:
		return number_answer(message, guest->status);
	case VHOST_NET_SET_MTU:
		return mtu_set(guest, message->payload.number, err);
	case VHOST_SEND_RARP:
		return announce(guest, message);
	case VHOST_SET_MEM_TABLE:
		return memory_set(guest, message, err);
	case VHOST_GET_MAX_MEM_SLOTS:
		return number_answer(message, VHOST_REGIONS_MAX);
	case VHOST_ADD_MEM_REG:
		return region_insert(guest, message, err);
	case VHOST_REM_MEM_REG:
		return region_remove(guest, message);
	case VHOST_SET_LOG_BASE:
		// It has an answer of its own.
		return log_set(guest, message, err) < 0 ? -1 : number_answer(message, 0);
	case VHOST_SET_VRING_NUM:
		return ring_size_set(guest, message, err);
	case VHOST_SET_VRING_ADDR:
		return ring_address_set(guest, message, err);
	case VHOST_SET_VRING_BASE:
		return ring_base_set(guest, message, err);
	case VHOST_GET_VRING_BASE:
		return ring_base_get(guest, message, err);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return ring_fd_set(guest, message, err);
	case VHOST_SET_VRING_ENABLE:
		return ring_enable_set(guest, message, err);
	default:
		return error_set(err, "no such request: %u", message->header.request);
	}
}

enum vhost_answer vhost_request_handle(struct vhost_guest *guest, struct vhost_message *message,
				       struct error *err)
{
	int result = vhost_message_check(message, err);

	if (result == 0)
		result = handle(guest, message, err);
	return result < 0 ? VHOST_REFUSED : (enum vhost_answer)result;
}

// A guest's rings: from what messages said of them to what workers use, and back.

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "base/log.h"
#include "port/bus_error.h"
#include "port/vhost_user/features.h"
#include "port/vhost_user/vhost_user.h"

#define STATUS_DRIVER_OK 4 // virtio 1.2 section 2.1

// Lines about a port's guests that come and go: so many at once, and one a second.
#define COMINGS 32

// Where workers find a ring.
static struct vhost_ring **slot_of(struct vhost_guest *guest, uint32_t index)
{
	struct vhost_queue *queue = &guest->port->queues[index / 2];

	return index % 2 ? &queue->receive : &queue->send;
}

// ---- out of sight

static void kick_ignore(struct vhost_guest *guest, uint32_t index)
{
	// The guest holds the same file description open, so closing alone would not take it out.
	if (index % 2 && guest->vrings[index].kick_fd >= 0)
		epoll_ctl(guest->port->queues[index / 2].epoll_fd, EPOLL_CTL_DEL,
			  guest->vrings[index].kick_fd, NULL);
}

// Afterwards no worker uses the rings.
static void rings_hide(struct vhost_guest *guest, uint32_t first, uint32_t count)
{
	const struct port_environment *environment = guest->port->environment;
	bool hidden = false;

	for (uint32_t i = first; i < first + count; i++) {
		if (!guest->vrings[i].visible)
			continue;
		__atomic_store_n(slot_of(guest, i), NULL, __ATOMIC_RELEASE);
		kick_ignore(guest, i);
		guest->vrings[i].visible = false;
		hidden = true;
	}
	if (hidden && environment->workers)
		rte_rcu_qsbr_synchronize(environment->workers, RTE_QSBR_THRID_INVALID);
}

void vhost_guest_pause(struct vhost_guest *guest, uint32_t first, uint32_t count)
{
	rings_hide(guest, first, count);
	for (uint32_t i = first; i < first + count; i++) {
		struct vhost_vring *vring = &guest->vrings[i];

		// A broken ring's place means nothing: what the guest says next counts.
		if (vring->open && !vhost_ring_broken(&vring->ring))
			vring->base = vhost_ring_base(&vring->ring);
		vring->open = false;
		vring->failed = false;
	}
}

// ---- in order again

// Is it to be used as soon as it is enabled?
static bool is_started(const struct vhost_guest *guest, const struct vhost_vring *vring)
{
	return vring->started && vring->size && vring->has_address &&
	       (!(guest->protocol_features & FEATURE(PROTOCOL_STATUS)) ||
		guest->status & STATUS_DRIVER_OK);
}

static bool is_enabled(const struct vhost_guest *guest, const struct vhost_vring *vring)
{
	return vring->enabled || !(guest->features & FEATURE(FEATURE_PROTOCOL));
}

static int ring_open(struct vhost_guest *guest, struct vhost_vring *vring, struct error *err)
{
	const struct vhost_memory *memory = &guest->memory;
	bool packed = guest->features & FEATURE(VIRTIO_F_RING_PACKED);
	uint64_t size = vring->size;
	struct vhost_ring_setup setup = {
		.memory = memory,
		.features = guest->features,
		.size = (uint16_t)vring->size,
		.base = packed ? vring->base & 0xffff : vring->base,
		.call_fd = vring->call_fd,
	};

	setup.descriptors = vhost_memory_at_user(memory, vring->descriptors, 16 * size);
	setup.driver = vhost_memory_at_user(memory, vring->available, packed ? 4 : 4 + 2 * size);
	setup.device = vhost_memory_at_user(memory, vring->used, packed ? 4 : 4 + 8 * size);
	if (!setup.descriptors || !setup.driver || !setup.device)
		return error_set(err, "not in the workload's memory");
	// Some front-ends share it only after the rings have begun.
	if (guest->features & FEATURE(FEATURE_LOG_ALL) && guest->log.bits)
		setup.log = &guest->log;
	return vhost_ring_open(&vring->ring, &setup, err);
}

static void rings_open(struct vhost_guest *guest, struct error *problem, int *result)
{
	for (uint32_t i = 0; i < 2U * guest->port->port.queues; i++) {
		struct vhost_vring *vring = &guest->vrings[i];

		if (vring->open || vring->failed || !is_started(guest, vring) ||
		    !is_enabled(guest, vring))
			continue;
		vring->open = ring_open(guest, vring, problem) == 0;
		vring->failed = !vring->open;
		vring->broken = false;
		if (vring->open)
			continue;
		error_prefix(problem, "ring %u", i);
		*result = -1;
	}
}

// A guest comes up when it can send and receive, and goes when one of these is stopped.
static void running_find(struct vhost_guest *guest)
{
	bool open[2] = {false, false}, started[2] = {false, false};
	struct vhost_port *port = guest->port;
	bool was = guest->running;

	for (uint32_t i = 0; i < 2U * port->port.queues; i++) {
		open[i % 2] |= guest->vrings[i].open;
		started[i % 2] |= is_started(guest, &guest->vrings[i]);
	}
	guest->running = was ? started[0] && started[1] : open[0] && open[1];
	if (guest->running == was)
		return;
	if (guest->running)
		guest->serial = ++port->serials;
	// Another process has it, and it has noticed nothing. One that comes and goes all the time
	// is not to fill a disk.
	if (port->port.handed_over ||
	    !rate_limit_take(&port->comings, rte_get_tsc_cycles(), rte_get_tsc_hz(), COMINGS))
		return;
	log_info(guest->running ? "workload connected" : "workload disconnected",
		 log_text("port", port->port.name), log_text("device", port->path));
}

int vhost_guest_settle(struct vhost_guest *guest, struct error *err)
{
	int result = 0;

	rings_open(guest, err, &result);
	running_find(guest);
	vhost_guests_choose(guest->port);
	return result;
}

// ---- in sight

static void kick_watch(struct vhost_guest *guest, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	const struct vhost_port *port = guest->port;

	if (guest->vrings[index].kick_fd < 0 ||
	    epoll_ctl(port->queues[index / 2].epoll_fd, EPOLL_CTL_ADD, guest->vrings[index].kick_fd,
		      &event) == 0)
		return;
	log_error("cannot watch for kicks", log_text("port", port->port.name),
		  log_text("device", port->path), log_text("reason", strerror(errno)));
}

static void rings_show(struct vhost_guest *guest)
{
	struct port *port = &guest->port->port;
	uint32_t send_queues = 0;
	bool silent = false;

	for (uint32_t i = 0; i < 2U * port->queues; i++) {
		struct vhost_vring *vring = &guest->vrings[i];

		if (vring->open && !vring->visible) {
			vring->visible = true;
			if (i % 2)
				kick_watch(guest, i);
			__atomic_store_n(slot_of(guest, i), &vring->ring, __ATOMIC_RELEASE);
		}
		if (vring->visible && i % 2 == 0)
			send_queues |= 1U << i / 2;
		// It wants to be looked at all the time.
		silent |= vring->visible && i % 2 && vring->kick_fd < 0;
	}
	__atomic_store_n(&port->needs_polling, silent, __ATOMIC_RELAXED);
	__atomic_store_n(&port->offloads, vhost_features_offloads(guest->features),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&port->send_queues, send_queues, __ATOMIC_RELAXED);
}

void vhost_guests_choose(struct vhost_port *port)
{
	struct vhost_guest *best = NULL, *guest;

	TAILQ_FOREACH(guest, &port->guests, entry)
	if (guest->running && (!best || guest->serial > best->serial))
		best = guest;
	// None shows rings, unless it has the port.
	TAILQ_FOREACH(guest, &port->guests, entry)
	if (guest != best)
		rings_hide(guest, 0, RINGS_MAX);
	if (best) {
		rings_show(best);
	} else {
		__atomic_store_n(&port->port.offloads, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&port->port.send_queues, UINT32_MAX, __ATOMIC_RELAXED);
	}
	if (port->active != best && port->uplink)
		port_changed(port->environment);
	__atomic_store_n(&port->active, best, __ATOMIC_RELEASE);
	port_wake(&port->port);
}

// ----

void vhost_vring_reset(struct vhost_vring *vring)
{
	int call_fd = vring->call_fd;

	if (vring->kick_fd >= 0)
		close(vring->kick_fd);
	memset(vring, 0, sizeof(*vring));
	vring->kick_fd = -1;
	vring->call_fd = call_fd;
}

void vhost_guest_end(struct vhost_guest *guest)
{
	vhost_guest_pause(guest, 0, RINGS_MAX);
	for (uint32_t i = 0; i < RINGS_MAX; i++) {
		vhost_vring_reset(&guest->vrings[i]);
		if (guest->vrings[i].call_fd >= 0)
			close(guest->vrings[i].call_fd);
		guest->vrings[i].call_fd = -1;
	}
	running_find(guest);
	vhost_guests_choose(guest->port);
	vhost_memory_unmap(&guest->memory);
	vhost_log_unmap(guest);
}

bool vhost_may_log(struct vhost_port *port)
{
	return rate_limit_take(&port->said, rte_get_tsc_cycles(), rte_get_tsc_hz(), 1);
}

bool vhost_guests_check(struct vhost_port *port)
{
	const struct vhost_guest *guest;
	bool whole = true;

	TAILQ_FOREACH(guest, &port->guests, entry)
	{
		for (uint32_t i = 0; i < guest->memory.count; i++)
			whole &= !bus_error_hit(guest->memory.regions[i].map,
						guest->memory.regions[i].map_size);
		if (guest->log_map)
			whole &= !bus_error_hit(guest->log_map, guest->log_map_size);
	}
	for (uint32_t i = 0; port->active && i < 2U * port->port.queues; i++) {
		struct vhost_vring *vring = &port->active->vrings[i];
		const char *reason = vring->visible ? vhost_ring_broken(&vring->ring) : NULL;
		struct error err;

		// Its memory is not there, and nothing has come in its place.
		if (vring->failed && ring_open(port->active, vring, &err) < 0)
			reason = err.text;
		if (!reason || vring->broken)
			continue;
		vring->broken = true;
		log_warning(vring->failed ? "ring of a workload not usable"
					  : "a workload has broken its ring",
			    log_text("port", port->port.name), log_text("device", port->path),
			    log_number("ring", i), log_text("reason", reason));
	}
	return whole;
}

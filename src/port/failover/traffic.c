// Workers: what several devices receive, and which of them sends.

#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "port/failover/private.h"

// A device that takes nothing for so long does not work.
#define STUCK_MS 100

static struct port *member_port(const struct failover_member *member)
{
	return atomic_load_explicit(&member->port, memory_order_acquire);
}

// The lower the better.
static unsigned int rank(const struct failover_member *member, const struct port *port)
{
	uint32_t bits = atomic_load(&member->bits);

	if (!port || bits & MEMBER_DRAINED || atomic_load(&member->place) == MEMBER_UNWANTED)
		return 3;
	if (!(bits & MEMBER_LINK) || bits & MEMBER_FAILED)
		return 2;
	return bits & MEMBER_HELD ? 1 : 0;
}

struct port *failover_choose(struct failover_port *port)
{
	struct port *best, *before;

	// Two may choose at a time, each by what it knows. Whoever writes last looks once more.
	do {
		unsigned int best_rank = 3;
		uint16_t best_place = MEMBER_UNWANTED;

		best = &port->port;
		for (uint16_t i = 0; i < port->count; i++) {
			struct port *candidate = member_port(&port->members[i]);
			unsigned int its = rank(&port->members[i], candidate);
			uint16_t place = atomic_load(&port->members[i].place);

			if (its < best_rank ||
			    (its == best_rank && its < 3 && place < best_place)) {
				best_rank = its;
				best_place = place;
				best = candidate;
			}
		}
		before = atomic_exchange(&port->port.sender, best);
		if (before != best)
			atomic_fetch_add(&port->port.moves, 1);
	} while (before != best);
	return best;
}

static struct port *failover_refused(struct port *base, struct port *sender)
{
	struct failover_port *port = (struct failover_port *)base;
	uint64_t now = rte_rdtsc();

	if (sender->driver->up(sender)) {
		uint64_t stuck = __atomic_load_n(&sender->stuck, __ATOMIC_RELAXED);

		if (!stuck)
			__atomic_store_n(&sender->stuck, now, __ATOMIC_RELAXED);
		if (!stuck || now - stuck < rte_get_tsc_hz() / 1000 * STUCK_MS)
			return sender;
	}
	for (uint16_t i = 0; i < port->count; i++)
		if (member_port(&port->members[i]) == sender &&
		    !(atomic_fetch_or(&port->members[i].bits, MEMBER_FAILED) & MEMBER_FAILED))
			port_changed(port->environment);
	return failover_choose(port);
}

static uint16_t failover_receive(struct port *base, uint16_t queue, struct rte_mbuf **packets,
				 uint16_t count)
{
	struct failover_port *port = (struct failover_port *)base;
	uint16_t index = port->first[queue], total = 0;

	for (uint16_t i = 0; i < port->count && total < count; i++) {
		struct failover_member *member = &port->members[index];
		struct port *device = member_port(member);
		uint16_t received = 0;

		if (device && queue < device->queues)
			received = device->driver->receive(device, queue, packets + total,
							   count - total);
		if (received)
			__atomic_store_n(&member->received[queue],
					 member->received[queue] + received, __ATOMIC_RELAXED);
		total += received;
		index = index + 1 < port->count ? index + 1 : 0;
	}
	// Who filled the burst is the last one in the next.
	port->first[queue] = index;
	return total;
}

// Only where there is no device that could.
static uint16_t failover_send(struct port *base, uint16_t queue, struct rte_mbuf **packets,
			      uint16_t count)
{
	return 0;
}

// Keeps in the queue's descriptor what a device wakes by.
static bool fd_keep(struct failover_port *port, uint16_t queue, int *kept, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (*kept == fd)
		return true;
	if (*kept >= 0)
		epoll_ctl(port->epoll_fds[queue], EPOLL_CTL_DEL, *kept, NULL);
	*kept = -1;
	if (fd < 0)
		return true;
	if (epoll_ctl(port->epoll_fds[queue], EPOLL_CTL_ADD, fd, &event) < 0)
		return false;
	*kept = fd;
	return true;
}

static bool failover_arm(struct port *base, uint16_t queue, int *fd)
{
	struct failover_port *port = (struct failover_port *)base;
	bool work = false, polled = false;

	for (uint16_t i = 0; i < port->count; i++) {
		struct failover_member *member = &port->members[i];
		struct port *device = member_port(member);
		bool armed;
		int own = -1;

		if (!device || queue >= device->queues)
			continue;
		armed = device->driver->arm(device, queue, &own);
		if (!armed && own < 0 && __atomic_load_n(&device->needs_polling, __ATOMIC_RELAXED))
			polled = true;
		else if (!armed)
			work = true;
		else if (!fd_keep(port, queue, &member->armed_fds[queue], own))
			polled = true;
	}
	__atomic_store_n(&base->needs_polling, polled, __ATOMIC_RELAXED);
	*fd = work || !polled ? port->epoll_fds[queue] : -1;
	return !work && !polled;
}

static void failover_disarm(struct port *base, uint16_t queue)
{
	struct failover_port *port = (struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		struct port *device = member_port(&port->members[i]);

		if (device && queue < device->queues)
			device->driver->disarm(device, queue);
	}
}

static bool failover_up(const struct port *base)
{
	const struct failover_port *port = (const struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++)
		if (rank(&port->members[i], member_port(&port->members[i])) <= 1)
			return true;
	return false;
}

static void failover_assigned(struct port *base, uint16_t queue)
{
	struct failover_port *port = (struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		struct port *device = member_port(&port->members[i]);

		if (!device)
			continue;
		device->wake_fds[queue] = base->wake_fds[queue];
		device->landings[queue] = base->landings[queue];
	}
}

static void failover_errors_add(const struct port *base, struct port_errors *errors)
{
	const struct failover_port *port = (const struct failover_port *)base;

	for (uint16_t i = 0; i < port->count; i++) {
		const struct port *device = member_port(&port->members[i]);
		struct port_errors own;

		if (!device)
			continue;
		own = port_errors(device);
		errors->send += own.send;
		errors->receive += own.receive;
		errors->offload += own.offload;
	}
}

const struct port_driver failover_driver = {
	.name = "failover",
	.receive = failover_receive,
	.send = failover_send,
	.arm = failover_arm,
	.disarm = failover_disarm,
	.up = failover_up,
	.check = failover_check,
	.refused = failover_refused,
	.assigned = failover_assigned,
	.errors_add = failover_errors_add,
	.hand_over = failover_hand_over,
	.hand_over_undo = failover_hand_over_undo,
	.settle = failover_settle,
	.close = failover_close,
};

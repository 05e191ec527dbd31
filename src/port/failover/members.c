// The control thread: opens the devices, sees which of them work, and takes those that returned
// into use again.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "port/failover/private.h"
#include "port/interface.h"

// Milliseconds that a device that has failed has to work for before it sends again: longer with
// each time, until it has worked for long.
#define HOLD_FIRST     500
#define HOLD_MAX       60000
#define HOLD_FORGOTTEN 10 // times the last hold

// Of a device that drains: without a packet, and in all.
#define DRAIN_QUIET 200
#define DRAIN_MAX   3000

static uint64_t milliseconds_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static struct port *member_port(const struct failover_member *member)
{
	return atomic_load(&member->port);
}

static bool member_has(const struct failover_member *member, uint32_t bit)
{
	return atomic_load(&member->bits) & bit;
}

static void say(const struct failover_port *port, const char *message,
		const struct failover_member *member, const char *reason)
{
	log_info(message, log_text("port", port->port.name),
		 log_text("device", member->device.name), log_text("reason", reason));
}

// The whole port has what each of its devices has. Its MAC address is that of the device that was
// open first, whichever one sends: neighbours and switches see one station that moves.
static void sizes_set(struct failover_port *port)
{
	static const struct mac_address none;
	uint16_t mtu = 0;

	for (uint16_t i = 0; i < port->count; i++) {
		const struct port *device = member_port(&port->members[i]);

		if (!device)
			continue;
		if (mac_equal(&port->port.mac, &none))
			port->port.mac = device->mac;
		if (!mtu || device->mtu < mtu)
			mtu = device->mtu;
	}
	if (mtu)
		port->port.mtu = mtu;
}

static uint64_t received(const struct failover_member *member)
{
	uint64_t sum = 0;

	for (int i = 0; i < PORT_QUEUES_MAX; i++)
		sum += __atomic_load_n(&member->received[i], __ATOMIC_RELAXED);
	return sum;
}

static bool works(struct port *device)
{
	bool gone = false, link;

	if (!device->interface_index)
		return !port_is_gone(device) && device->driver->up(device);
	link = interface_has_link(device->interface_index, &gone);
	if (gone)
		port_set_gone(device);
	return link && !port_is_gone(device);
}

static void hold(struct failover_member *member, uint64_t now)
{
	if (!member->hold || now - member->works_since > HOLD_FORGOTTEN * member->hold)
		member->hold = HOLD_FIRST;
	else if (member->hold < HOLD_MAX)
		member->hold *= 2;
	member->held_until = now + member->hold;
	member->works_since = now;
	atomic_fetch_or(&member->bits, MEMBER_HELD);
}

void failover_member_opened(struct failover_port *port, struct failover_member *member,
			    struct port *opened)
{
	member->problem[0] = 0;
	memcpy(opened->wake_fds, port->port.wake_fds, sizeof(opened->wake_fds));
	memcpy(opened->landings, port->port.landings, sizeof(opened->landings));
	atomic_store(&member->port, opened);
	sizes_set(port);
	say(port, "device opened", member, "");
}

static bool member_open(struct failover_port *port, struct failover_member *member)
{
	struct port *opened;
	struct error err;

	member->device.mac = port->port.mac;
	if (port_open(port->port.name, &member->device, port->environment, &opened, &err) < 0) {
		if (strcmp(member->problem, err.text) != 0)
			log_warning("port cannot be opened; it is tried again",
				    log_text("port", port->port.name),
				    log_text("device", member->device.name),
				    log_text("reason", err.text));
		snprintf(member->problem, sizeof(member->problem), "%s", err.text);
		return false;
	}
	failover_member_opened(port, member, opened);
	return true;
}

void failover_member_close(struct failover_port *port, struct failover_member *member,
			   const char *reason)
{
	struct port *device = member_port(member);
	struct port_errors errors;

	atomic_store(&member->port, NULL);
	atomic_fetch_and(&member->bits, ~(uint32_t)(MEMBER_LINK | MEMBER_FAILED));
	failover_choose(port);
	// Once for whoever chose by what was before, once for who saw that choice.
	for (int i = 0; i < 2 && port->environment->workers; i++)
		rte_rcu_qsbr_synchronize(port->environment->workers, RTE_QSBR_THRID_INVALID);
	errors = port_errors(device);
	port_count_send_error(&port->port, errors.send);
	port_count_receive_error(&port->port, errors.receive);
	port_count_offload_error(&port->port, errors.offload);
	port_close(device);
	for (int i = 0; i < PORT_QUEUES_MAX; i++)
		member->armed_fds[i] = -1;
	if (port->told == device)
		port->told = &port->port;
	sizes_set(port);
	say(port, "device closed", member, reason);
}

void failover_member_drain(struct failover_member *member)
{
	if (atomic_fetch_or(&member->bits, MEMBER_DRAINED) & MEMBER_DRAINED)
		return;
	member->quiet_since = milliseconds_now();
	member->drain_end = member->quiet_since + DRAIN_MAX;
	member->received_before = received(member);
}

static void drain_go_on(struct failover_port *port, struct failover_member *member, uint64_t now)
{
	uint64_t count = received(member);

	if (count != member->received_before)
		member->quiet_since = now;
	member->received_before = count;
	if (now - member->quiet_since >= DRAIN_QUIET || now >= member->drain_end)
		failover_member_close(port, member,
				      atomic_load(&member->place) == MEMBER_UNWANTED
					      ? "no longer wanted"
					      : "drained");
}

static void member_fail(struct failover_port *port, struct failover_member *member,
			const char *reason)
{
	member->failures++;
	snprintf(member->problem, sizeof(member->problem), "%s", reason);
	log_warning("device has failed", log_text("port", port->port.name),
		    log_text("device", member->device.name), log_text("reason", reason));
}

static void member_look(struct failover_port *port, struct failover_member *member, uint64_t now,
			bool first)
{
	struct port *device = member_port(member);
	bool had = member_has(member, MEMBER_LINK), has, failed;

	if (!device) {
		if (atomic_load(&member->place) == MEMBER_UNWANTED ||
		    member_has(member, MEMBER_DRAINED) || !member_open(port, member))
			return;
		device = member_port(member);
	} else if (device->driver->check) {
		device->driver->check(device);
	}
	has = works(device);
	failed = member_has(member, MEMBER_FAILED);
	if (port_is_gone(device)) {
		if (had)
			member_fail(port, member, "the device has gone");
		failover_member_close(port, member, "the device has gone");
		return;
	}
	if (had && !has)
		member_fail(port, member, "no link");
	else if (had && failed)
		member_fail(port, member, "it does not send");
	if (!has)
		atomic_fetch_and(&member->bits, ~(uint32_t)MEMBER_LINK);
	else if ((!had && !first) || failed)
		hold(member, now);
	if (has) {
		if (!had)
			member->works_since = now;
		member->problem[0] = 0;
		device->stuck = 0;
		atomic_fetch_or(&member->bits, MEMBER_LINK);
	} else if (!had && !member->problem[0]) {
		snprintf(member->problem, sizeof(member->problem), "no link");
	}
	atomic_fetch_and(&member->bits, ~(uint32_t)MEMBER_FAILED);
	if (member_has(member, MEMBER_HELD) && now >= member->held_until)
		atomic_fetch_and(&member->bits, ~(uint32_t)MEMBER_HELD);
	if (member_has(member, MEMBER_DRAINED))
		drain_go_on(port, member, now);
}

// When the next one that is held may be used again.
static void timer_set(struct failover_port *port, uint64_t now)
{
	uint64_t next = 0;

	for (uint16_t i = 0; i < port->count; i++) {
		const struct failover_member *member = &port->members[i];

		if (member_port(member) && member_has(member, MEMBER_HELD) &&
		    member_has(member, MEMBER_LINK) && (!next || member->held_until < next))
			next = member->held_until;
	}
	if (next && port->timer) {
		uint64_t wait = next > now ? next - now : 0;
		struct timeval time = {.tv_sec = (time_t)(wait / 1000),
				       .tv_usec = (suseconds_t)(wait % 1000 * 1000)};

		event_add(port->timer, &time);
	}
}

static const struct failover_member *member_of(const struct failover_port *port,
					       const struct port *device)
{
	for (uint16_t i = 0; i < port->count; i++)
		if (member_port(&port->members[i]) == device)
			return &port->members[i];
	return NULL;
}

void failover_look(struct failover_port *port, bool first)
{
	uint64_t now = milliseconds_now();
	const struct failover_member *member;
	struct port *sender;

	for (uint16_t i = 0; i < port->count; i++)
		member_look(port, &port->members[i], now, first);
	timer_set(port, now);
	sender = failover_choose(port);
	if (sender == port->told)
		return;
	port->told = sender;
	port_wake(&port->port);
	member = member_of(port, sender);
	if (member)
		say(port, "device carries the port's packets", member, "");
	else
		log_warning("no device carries the port's packets",
			    log_text("port", port->port.name));
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	port_changed(((struct failover_port *)context)->environment);
}

void failover_check(struct port *base)
{
	failover_look((struct failover_port *)base, false);
}

void failover_close(struct port *base)
{
	struct failover_port *port = (struct failover_port *)base;

	if (port->timer)
		event_free(port->timer);
	for (uint16_t i = 0; i < port->count; i++) {
		struct port *device = member_port(&port->members[i]);

		if (device)
			device->handed_over = base->handed_over;
		port_close(device);
	}
	for (int i = 0; i < PORT_QUEUES_MAX; i++)
		if (port->epoll_fds[i] >= 0)
			close(port->epoll_fds[i]);
	free(port);
}

void failover_member_begin(struct failover_port *port, uint16_t slot, uint16_t place,
			   const struct port_device *device)
{
	struct failover_member *member = &port->members[slot];

	member->device = *device;
	member->device.member = true;
	for (int queue = 0; queue < PORT_QUEUES_MAX; queue++)
		member->armed_fds[queue] = -1;
	atomic_store(&member->place, place);
	if (slot >= port->count)
		atomic_store(&port->count, slot + 1);
}

int failover_port_open(const char *name, const struct port_device *device,
		       const struct port_environment *environment, struct port_parts *parts,
		       struct port **result, struct error *err)
{
	struct failover_port *port;

	if (device->member_count < 1 || device->member_count > PORT_MEMBERS_MAX)
		return error_set(err, "%u devices: must be 1 to %d", device->member_count,
				 PORT_MEMBERS_MAX);
	port = calloc(1, sizeof(*port));
	if (!port)
		return error_errno(err, "%s", device->name);
	port_init(&port->port, &failover_driver, name, device->queues);
	port->environment = environment;
	port->told = &port->port;
	port->wanted = device->member_count;
	for (int i = 0; i < PORT_QUEUES_MAX; i++)
		port->epoll_fds[i] = -1;
	for (uint16_t i = 0; i < port->wanted; i++)
		failover_member_begin(port, i, i, &device->members[i]);
	for (uint16_t i = 0; i < device->queues; i++) {
		port->epoll_fds[i] = epoll_create1(EPOLL_CLOEXEC);
		if (port->epoll_fds[i] < 0) {
			error_errno(err, "%s: epoll", device->name);
			failover_close(&port->port);
			return -1;
		}
	}
	if (environment->base)
		port->timer = evtimer_new(environment->base, on_timer, port);
	if (parts && failover_take_over(port, parts, err) < 0) {
		port->port.handed_over = true;
		failover_close(&port->port);
		return -1;
	}
	// One that can't be opened yet is no error: it is looked at again.
	failover_look(port, true);
	*result = &port->port;
	return 0;
}

// ---- for control

static const struct failover_port *failover_of(const struct port *port)
{
	return port && port->driver == &failover_driver ? (const struct failover_port *)port : NULL;
}

const char *failover_state_name(enum failover_state state)
{
	static const char *const names[] = {
		[FAILOVER_CARRIES] = "carries",	  [FAILOVER_STANDBY] = "standby",
		[FAILOVER_HELD] = "held",	  [FAILOVER_DOWN] = "down",
		[FAILOVER_DRAINING] = "draining", [FAILOVER_DRAINED] = "drained",
		[FAILOVER_MISSING] = "missing",
	};

	return names[state];
}

uint16_t failover_count(const struct port *base)
{
	const struct failover_port *port = failover_of(base);

	return port ? port->wanted : 0;
}

static uint16_t slot_of(const struct failover_port *port, uint16_t place)
{
	uint16_t slot = 0;

	while (atomic_load(&port->members[slot].place) != place)
		slot++;
	return slot;
}

static enum failover_state state_of(const struct failover_port *port,
				    const struct failover_member *member)
{
	const struct port *device = member_port(member);
	uint32_t bits = atomic_load(&member->bits);

	if (bits & MEMBER_DRAINED)
		return device ? FAILOVER_DRAINING : FAILOVER_DRAINED;
	if (!device)
		return FAILOVER_MISSING;
	if (!(bits & MEMBER_LINK) || bits & MEMBER_FAILED)
		return FAILOVER_DOWN;
	if (device == atomic_load(&port->port.sender))
		return FAILOVER_CARRIES;
	return bits & MEMBER_HELD ? FAILOVER_HELD : FAILOVER_STANDBY;
}

void failover_view(const struct port *base, uint16_t index, struct failover_view *view)
{
	const struct failover_port *port = failover_of(base);
	const struct failover_member *member = &port->members[slot_of(port, index)];

	*view = (struct failover_view){
		.name = member->device.name,
		.state = state_of(port, member),
		.problem = member->problem,
		.failures = member->failures,
	};
}

int failover_find(const struct port *base, const char *name)
{
	const struct failover_port *port = failover_of(base);

	for (uint16_t i = 0; port && i < port->wanted; i++) {
		const struct port_device *its = &port->members[slot_of(port, i)].device;
		const char *device = its->name;
		size_t length = strcspn(device, ",");

		if (strcmp(device, name) == 0 ||
		    (its->kind == PORT_DEVICE_DEVARGS && strlen(name) == length &&
		     memcmp(device, name, length) == 0))
			return i;
	}
	return -1;
}

int failover_drain(struct port *base, uint16_t index, struct error *err)
{
	struct failover_port *port = (struct failover_port *)base;
	struct failover_member *member = &port->members[slot_of(port, index)];
	bool other = false;

	if (member_has(member, MEMBER_DRAINED))
		return 0;
	failover_look(port, false);
	for (uint16_t i = 0; i < port->count; i++) {
		enum failover_state state = state_of(port, &port->members[i]);

		other |= &port->members[i] != member &&
			 (state == FAILOVER_CARRIES || state == FAILOVER_STANDBY ||
			  state == FAILOVER_HELD);
	}
	if (!other)
		return error_set(err, "no other device of the %s works", port->port.name);
	member->problem[0] = 0;
	failover_member_drain(member);
	failover_look(port, false);
	return 0;
}

void failover_undrain(struct port *base, uint16_t index)
{
	struct failover_port *port = (struct failover_port *)base;
	struct failover_member *member = &port->members[slot_of(port, index)];

	// Whoever asks for it need not wait until it has proved itself.
	atomic_fetch_and(&member->bits, ~(uint32_t)(MEMBER_DRAINED | MEMBER_HELD));
	member->hold = 0;
	member_look(port, member, milliseconds_now(), true);
	failover_look(port, false);
}

// The list of devices changes while the port is in use.

#include <string.h>

#include "port/failover/private.h"

static bool is_same(const struct failover_member *member, const struct port_device *device)
{
	struct port_device its = *device;

	its.member = true;
	its.mac = member->device.mac;
	return memcmp(&its, &member->device, sizeof(its)) == 0;
}

// Is it all but the list?
static bool rest_is_same(const struct port_device *from, const struct port_device *to)
{
	struct port_device left = *from, right = *to;

	left.members = right.members = NULL;
	left.member_count = right.member_count = 0;
	memset(left.name, 0, sizeof(left.name));
	memset(right.name, 0, sizeof(right.name));
	return memcmp(&left, &right, sizeof(left)) == 0;
}

// Open still, though no longer in the list.
static bool is_left(const struct failover_member *member)
{
	return atomic_load(&member->place) == MEMBER_UNWANTED && atomic_load(&member->port);
}

static bool is_free(const struct failover_member *member)
{
	return atomic_load(&member->place) == MEMBER_UNWANTED && !atomic_load(&member->port);
}

static uint16_t slot_find(const struct failover_port *port, const struct port_device *device)
{
	for (uint16_t slot = 0; slot < port->count; slot++)
		if (!is_free(&port->members[slot]) && is_same(&port->members[slot], device))
			return slot;
	return MEMBERS_ROOM;
}

static uint16_t slot_begin(struct failover_port *port, uint16_t place,
			   const struct port_device *device)
{
	uint16_t slot = 0;

	while (slot < port->count && !is_free(&port->members[slot]))
		slot++;
	// No worker knows any more what was there before.
	memset(&port->members[slot], 0, sizeof(port->members[slot]));
	failover_member_begin(port, slot, place, device);
	return slot;
}

// A slot for each device of the list: its own, or a free one, where it begins.
static void places_find(struct failover_port *port, const struct port_device *to,
			uint16_t places[MEMBERS_ROOM])
{
	uint16_t slot;

	for (uint16_t i = 0; i < MEMBERS_ROOM; i++)
		places[i] = MEMBER_UNWANTED;
	for (uint16_t i = 0; i < to->member_count; i++) {
		slot = slot_find(port, &to->members[i]);
		if (slot == MEMBERS_ROOM)
			slot = slot_begin(port, i, &to->members[i]);
		else if (is_left(&port->members[slot]))
			atomic_fetch_and(&port->members[slot].bits, ~(uint32_t)MEMBER_DRAINED);
		places[slot] = i;
	}
}

// It has to be closed before the other one can be opened: what changes is how.
static bool is_in_the_way(const struct failover_member *member, const struct port_device *to)
{
	for (uint16_t i = 0; i < to->member_count; i++)
		if (strcmp(member->device.name, to->members[i].name) == 0)
			return true;
	return false;
}

static void close_left(struct failover_port *port, const struct port_device *in_the_way_of)
{
	for (uint16_t i = 0; i < port->count; i++) {
		struct failover_member *member = &port->members[i];

		if (is_left(member) && (!in_the_way_of || is_in_the_way(member, in_the_way_of)))
			failover_member_close(port, member, "no longer wanted");
	}
}

bool failover_change(struct port *base, const struct port_device *from,
		     const struct port_device *to)
{
	struct failover_port *port = (struct failover_port *)base;
	uint16_t places[MEMBERS_ROOM], left = 0;

	if (base->driver != &failover_driver || to->kind != PORT_DEVICE_FAILOVER ||
	    !to->member_count || to->member_count > PORT_MEMBERS_MAX || !rest_is_same(from, to))
		return false;
	for (uint16_t i = 0; i < port->count; i++)
		left += is_left(&port->members[i]);
	// One change after the other: there is room for those of two lists.
	if (left + port->wanted + to->member_count > MEMBERS_ROOM)
		close_left(port, NULL);
	places_find(port, to, places);
	for (uint16_t i = 0; i < port->count; i++)
		atomic_store(&port->members[i].place, places[i]);
	port->wanted = to->member_count;
	close_left(port, to);
	// First those that come: one of them may be the best. What others still send to those that
	// go is received.
	failover_look(port, true);
	for (uint16_t i = 0; i < port->count; i++)
		if (is_left(&port->members[i]))
			failover_member_drain(&port->members[i]);
	return true;
}

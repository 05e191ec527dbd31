// What the data plane has of an object: told from the devices that are open and the tables in
// force, when it is asked for, and kept nowhere.

#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"
#include "layer/external/external.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/nat/tables.h"
#include "model/memory.h"
#include "model/object.h"
#include "port/failover/failover.h"
#include "telemetry/telemetry.h"

#define PENDING SLUICE__V1__OBJECT_STATE__OBJECT_STATE_PENDING
#define ACTIVE	SLUICE__V1__OBJECT_STATE__OBJECT_STATE_ACTIVE
#define FAILED	SLUICE__V1__OBJECT_STATE__OBJECT_STATE_FAILED

static void say(Sluice__V1__ObjectStatus *status, Sluice__V1__ObjectState state, const char *reason)
{
	status->state = state;
	status->reason = memory_text(reason);
}

// `port`: a number of this node's.
static void device_status(const struct control *control, uint32_t port,
			  Sluice__V1__ObjectStatus *status)
{
	const struct control_port *entry =
		port && port < control->port_count ? control->ports[port] : NULL;
	const struct control_port *device = entry ? control_device(control, entry) : NULL;

	if (!entry) {
		say(status, PENDING, "there was no memory for it");
	} else if (!device) {
		say(status, PENDING, "the Port that has the device is not there yet");
	} else if (!device->port || device->closing) {
		say(status, FAILED,
		    *device->problem ? device->problem : "the device is being opened");
	} else if (device->port->gone) {
		say(status, FAILED, "the device has gone");
	} else {
		status->state = ACTIVE;
		status->link = memory_text(device->port->driver->up(device->port) ? "up" : "down");
	}
}

struct port *control_failover(const struct control *control)
{
	const struct control_port *entry =
		PORT_UPLINK < control->port_count ? control->ports[PORT_UPLINK] : NULL;

	return entry && !entry->closing && failover_count(entry->port) ? entry->port : NULL;
}

static Sluice__V1__DeviceState device_state(enum failover_state state)
{
	static const Sluice__V1__DeviceState states[] = {
		[FAILOVER_CARRIES] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES,
		[FAILOVER_STANDBY] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_STANDBY,
		[FAILOVER_HELD] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_HELD,
		[FAILOVER_DOWN] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_DOWN,
		[FAILOVER_DRAINING] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_DRAINING,
		[FAILOVER_DRAINED] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_DRAINED,
		[FAILOVER_MISSING] = SLUICE__V1__DEVICE_STATE__DEVICE_STATE_MISSING,
	};

	return states[state];
}

Sluice__V1__DeviceStatus *status_device_new(const struct port *uplink, uint16_t index)
{
	Sluice__V1__DeviceStatus *status = memory_new(sizeof(*status));
	struct failover_view view;

	failover_view(uplink, index, &view);
	sluice__v1__device_status__init(status);
	status->name = memory_text(view.name);
	status->state = device_state(view.state);
	status->reason = memory_text(view.problem);
	status->failures = view.failures;
	return status;
}

// Says of each, and in a line which of them don't work.
static void devices_status(const struct port *uplink, Sluice__V1__ObjectStatus *status)
{
	uint16_t count = failover_count(uplink);
	char wrong[512] = "";
	size_t used = 0;

	status->devices = memory_new(count * sizeof(*status->devices));
	for (uint16_t i = 0; i < count; i++) {
		struct failover_view view;

		failover_view(uplink, i, &view);
		status->devices[status->n_devices++] = status_device_new(uplink, i);
		if (view.state != FAILOVER_CARRIES && view.state != FAILOVER_STANDBY &&
		    used < sizeof(wrong))
			used += (size_t)snprintf(wrong + used, sizeof(wrong) - used, "%s%s is %s",
						 used ? ", " : "", view.name,
						 failover_state_name(view.state));
	}
	if (*wrong && (!status->reason || !*status->reason))
		status->reason = memory_text(wrong);
}

// Another number as soon as one of them is in another state.
static uint64_t devices_mark(const struct port *uplink)
{
	uint64_t mark = 4;

	for (uint16_t i = 0; i < failover_count(uplink); i++) {
		struct failover_view view;

		failover_view(uplink, i, &view);
		mark = mark * 8 + view.state;
	}
	return mark;
}

static const struct peer *peer_find(const struct tables *tables, const char *name)
{
	for (uint32_t i = 0; i < tables->peer_count; i++)
		if (tables->peers[i].number && strcmp(tables->peers[i].name, name) == 0)
			return &tables->peers[i];
	return NULL;
}

uint64_t status_mark(const struct control *control, const struct control_port *entry)
{
	const struct control_port *device = control_device(control, entry);
	const struct port *port = device && !device->closing ? device->port : NULL;
	uint64_t mark = 0xcbf29ce484222325; // FNV-1a

	if (port && failover_count(port))
		return devices_mark(port) * 2 + port->driver->up(port);
	if (port)
		return port->gone ? 1 : port->driver->up(port) ? 2 : 3;
	for (const char *c = device ? device->problem : ""; *c; c++)
		mark = (mark ^ (uint8_t)*c) * 0x100000001b3;
	return mark;
}

// The device's reason goes before it.
static void store_status(const struct control *control, Sluice__V1__ObjectStatus *status)
{
	char text[PATH_MAX + 64];

	if (!(status->reason && *status->reason) && control_store_say(control, text, sizeof(text)))
		status->reason = memory_text(text);
}

static void node_status(const struct control *control, const Sluice__V1__Node *node,
			Sluice__V1__ObjectStatus *status)
{
	const struct peer *peer;

	status->state = ACTIVE;
	if (strcmp(node->name, control->node) == 0) {
		if (node->uplink)
			device_status(control, PORT_UPLINK, status);
		if (control_failover(control))
			devices_status(control_failover(control), status);
		store_status(control, status);
		return;
	}
	peer = peer_find(control->tables, node->name);
	if (*node->vtep && control->tables->underlay.present && peer && !peer->next_hop)
		say(status, FAILED, "the underlay has no way to its tunnel address");
}

static void port_status(const struct control *control, const Sluice__V1__Port *port,
			Sluice__V1__ObjectStatus *status)
{
	uint32_t number = numbers_find(&control->numbers.ports, port->name);
	const struct control_port *entry;

	status->state = ACTIVE;
	if (strcmp(port->node, control->node) != 0)
		return;
	device_status(control, number, status);
	entry = number && number < control->port_count ? control->ports[number] : NULL;
	if (entry && !entry->closing && failover_count(entry->port))
		devices_status(entry->port, status);
}

// What is wrong with a router or another node on an external network. `wrong` has room for `size`
// bytes.
static void silence_status(const struct neighbour *neighbour, size_t size, char *wrong,
			   size_t *used)
{
	char text[IP_TEXT_SIZE];

	if (atomic_load_explicit(&neighbour->down, memory_order_relaxed) && *used < size)
		*used += (size_t)snprintf(wrong + *used, size - *used, "%s%s does not answer",
					  *used ? ", " : "", ip_format(&neighbour->address, text));
}

static void conflict_status(const struct conflict *conflict, size_t size, char *wrong, size_t *used)
{
	char address[IP_TEXT_SIZE], mac[MAC_TEXT_SIZE];

	if (*used < size)
		*used += (size_t)snprintf(wrong + *used, size - *used, "%s%s has %s, too",
					  *used ? ", " : "", mac_format(&conflict->mac, mac),
					  ip_format(&conflict->address, address));
}

static void routers_say(const char *wrong, Sluice__V1__ObjectStatus *status)
{
	status->state = ACTIVE;
	if (*wrong)
		status->reason = memory_text(wrong);
}

static void network_status(const struct control *control, const Sluice__V1__Network *network,
			   Sluice__V1__ObjectStatus *status)
{
	const struct externals *externals = control->tables->externals;
	uint32_t number = numbers_find(&control->numbers.networks, network->name);
	char wrong[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; i < externals->hop_count; i++)
		if (externals->hops[i].network == number)
			silence_status(externals->hops[i].neighbour, sizeof(wrong), wrong, &used);
	for (uint32_t i = 0; i < externals->watched_count; i++)
		if (externals->watched[i].network == number &&
		    !external_find_hop(control->tables, (uint16_t)number,
				       &externals->watched[i].address))
			silence_status(externals->watched[i].neighbour, sizeof(wrong), wrong,
				       &used);
	for (uint32_t i = 0; i < control->conflicts.count; i++)
		if (control->conflicts.list[i].conflict.network == number)
			conflict_status(&control->conflicts.list[i].conflict, sizeof(wrong), wrong,
					&used);
	routers_say(wrong, status);
}

// Is it the router that the next hop names, or a gateway where it names none?
static bool is_named(const struct control *control, const Sluice__V1__ExternalHop *named,
		     const struct ip_address *router)
{
	const Sluice__V1__Object *network =
		object_set_find(control->objects, SLUICE__V1__OBJECT__KIND_NETWORK, named->network);
	struct ip_address address;

	if (*named->address)
		return ip_parse(named->address, &address) && ip_equal(&address, router);
	for (size_t i = 0; network && i < network->network->n_subnets; i++)
		if (ip_parse(network->network->subnets[i]->gateway, &address) &&
		    ip_equal(&address, router))
			return true;
	return false;
}

static bool hop_names(const struct control *control, const Sluice__V1__NextHop *hop,
		      const struct external_hop *router)
{
	return hop->next_hop_case == SLUICE__V1__NEXT_HOP__NEXT_HOP_EXTERNAL &&
	       router->network ==
		       numbers_find(&control->numbers.networks, hop->external->network) &&
	       is_named(control, hop->external, &router->address);
}

bool status_route_names(const struct control *control, const Sluice__V1__Route *route,
			const struct external_hop *router)
{
	for (size_t i = 0; i < route->n_next_hops; i++)
		if (hop_names(control, route->next_hops[i], router))
			return true;
	return false;
}

static void route_status(const struct control *control, const Sluice__V1__Route *route,
			 Sluice__V1__ObjectStatus *status)
{
	const struct externals *externals = control->tables->externals;
	char wrong[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < route->n_next_hops; i++)
		for (uint32_t j = 0; j < externals->hop_count; j++)
			if (hop_names(control, route->next_hops[i], &externals->hops[j]))
				silence_status(externals->hops[j].neighbour, sizeof(wrong), wrong,
					       &used);
	routers_say(wrong, status);
}

// What its pool here has in use, and where nothing is left.
static void nat_status(const struct control *control, const Sluice__V1__Nat *object,
		       Sluice__V1__ObjectStatus *status)
{
	const struct nat_tables *nats = control->tables->nat;
	Sluice__V1__NatPoolStatus *pools[2];
	char wrong[64] = "";

	status->state = ACTIVE;
	for (uint32_t i = 0; i < nats->nat_count; i++) {
		if (strcmp(nats->nats[i].name, object->name) != 0)
			continue;
		status->pools = memory_new(sizeof(pools));
		status->n_pools = nat_pools_collect(nats, &nats->nats[i], pools);
		for (size_t j = 0; j < status->n_pools; j++) {
			status->pools[j] = memory_required(pools[j]);
			if (pools[j]->blocks == pools[j]->blocks_max)
				snprintf(wrong + strlen(wrong), sizeof(wrong) - strlen(wrong),
					 "%sno %s block is left", *wrong ? ", " : "",
					 pools[j]->family);
		}
	}
	if (*wrong)
		status->reason = memory_text(wrong);
}

static void qos_policy_status(const struct control *control, const Sluice__V1__QosPolicy *policy,
			      Sluice__V1__ObjectStatus *status)
{
	status->state = ACTIVE;
	status->qos_policy = qos_status_new(control->tables, policy->name);
}

struct member_list {
	Sluice__V1__ObjectStatus *status;
	char wrong[256];
	size_t used;
	bool any; // takes new connections
};

static bool member_add(void *context, const struct member_view *view)
{
	struct member_list *list = context;
	Sluice__V1__ObjectStatus *status = list->status;
	Sluice__V1__MemberStatus *member = memory_new(sizeof(*member));
	char text[IP_TEXT_SIZE];

	sluice__v1__member_status__init(member);
	member->member = memory_text(view->member);
	member->address = memory_text(ip_format(view->address, text));
	member->state = memory_text(view->state);
	member->connections = view->connections;
	if (*view->reason)
		member->reason = memory_text(view->reason);
	status->members[status->n_members++] = member;
	list->any |= strcmp(view->state, "up") == 0;
	if (!view->up && list->used < sizeof(list->wrong))
		list->used += (size_t)snprintf(
			list->wrong + list->used, sizeof(list->wrong) - list->used,
			"%s%s is %s%s%s%s", list->used ? ", " : "", text, view->state,
			*view->reason ? " (" : "", view->reason, *view->reason ? ")" : "");
	return true;
}

static void balancer_status(const struct control *control, const Sluice__V1__LoadBalancer *object,
			    Sluice__V1__ObjectStatus *status)
{
	const struct load_balancers *balancers = control->tables->load_balancers;
	struct member_list list = {.status = status};
	uint32_t i = 0;

	status->state = ACTIVE;
	while (i < balancers->count && strcmp(balancers->balancer[i].name, object->name) != 0)
		i++;
	if (i == balancers->count)
		return;
	status->members = memory_new((2 * (size_t)balancers->balancer[i].member_count + 1) *
				     sizeof(*status->members));
	members_visit(control, i, member_add, &list);
	if (*list.wrong || !list.any)
		status->reason = memory_text(list.any ? list.wrong : "no member takes connections");
}

Sluice__V1__ObjectStatus *status_new(const struct control *control,
				     const Sluice__V1__Object *object)
{
	Sluice__V1__ObjectStatus *status = memory_new(sizeof(*status));

	sluice__v1__object_status__init(status);
	if (*control->behind)
		say(status, PENDING, control->behind);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_NODE)
		node_status(control, object->node, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_PORT)
		port_status(control, object->port, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_NETWORK)
		network_status(control, object->network, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_ROUTE)
		route_status(control, object->route, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_NAT)
		nat_status(control, object->nat, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_QOS_POLICY)
		qos_policy_status(control, object->qos_policy, status);
	else if (object->kind_case == SLUICE__V1__OBJECT__KIND_LOAD_BALANCER)
		balancer_status(control, object->load_balancer, status);
	else
		status->state = ACTIVE;
	return status;
}

void statuses_add(const struct control *control, Sluice__V1__GetResponse *response)
{
	response->statuses = memory_new(response->n_objects * sizeof(*response->statuses));
	response->n_statuses = response->n_objects;
	for (size_t i = 0; i < response->n_objects; i++)
		response->statuses[i] = status_new(control, response->objects[i]);
}

void statuses_free(Sluice__V1__GetResponse *response)
{
	for (size_t i = 0; i < response->n_statuses; i++)
		sluice__v1__object_status__free_unpacked(response->statuses[i], NULL);
	free(response->statuses);
	response->statuses = NULL;
	response->n_statuses = 0;
}

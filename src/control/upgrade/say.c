// What a process that has stopped gives to the one that takes its place: ports with their parts and
// counters, what was learned, and the sockets that listen.

#include "control/control.h"
#include "control/upgrade/frame.h"
#include "control/upgrade/upgrade.h"
#include "telemetry/telemetry.h"

#define FRAME(name) SLUICE__HANDOVER__V1__FRAME__CONTENT_##name

const char *const upgrade_listener_names[UPGRADE_LISTENERS] = {"api", "metrics", "listen"};

struct saying {
	struct control *control;
	int channel;
};

static int say_parts(const struct saying *saying, const struct port_parts *parts, struct error *err)
{
	for (uint32_t i = 0; i < parts->count; i++) {
		Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
		Sluice__Handover__V1__Part part = SLUICE__HANDOVER__V1__PART__INIT;

		part.kind = parts->part[i].kind;
		part.data = (ProtobufCBinaryData){parts->part[i].size, parts->part[i].data};
		frame.content_case = FRAME(PART);
		frame.part = &part;
		if (upgrade_frame_send(saying->channel, &frame, parts->part[i].fds,
				       parts->part[i].fd_count, err) < 0)
			return -1;
	}
	return 0;
}

static int say_port(const struct saying *saying, const char *name,
		    const struct port_counters *counters, const struct port_errors *errors,
		    const struct port_parts *parts, struct error *err)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Port port;
	Sluice__Handover__V1__Drop drops[DROP_REASON_COUNT], *list[DROP_REASON_COUNT];

	sluice__handover__v1__port__init(&port);
	port.name = (char *)(uintptr_t)name;
	port.rx_packets = counters->rx_packets;
	port.rx_bytes = counters->rx_bytes;
	port.tx_packets = counters->tx_packets;
	port.tx_bytes = counters->tx_bytes;
	port.drops = list;
	for (unsigned int reason = 0; reason < DROP_REASON_COUNT; reason++) {
		if (!counters->drops[reason])
			continue;
		list[port.n_drops] = &drops[port.n_drops];
		sluice__handover__v1__drop__init(&drops[port.n_drops]);
		drops[port.n_drops].reason = (char *)(uintptr_t)drop_reason_name(reason);
		drops[port.n_drops++].packets = counters->drops[reason];
	}
	port.send_errors = errors->send;
	port.receive_errors = errors->receive;
	port.offload_errors = errors->offload;
	frame.content_case = FRAME(PORT);
	frame.port = &port;
	if (upgrade_frame_send(saying->channel, &frame, NULL, 0, err) < 0)
		return -1;
	return parts ? say_parts(saying, parts, err) : 0;
}

static void sum(const struct control *control, const struct port_counters *counters,
		struct port_counters *total)
{
	memset(total, 0, sizeof(*total));
	for (uint32_t i = 0; counters && i < control->engine->options.worker_count; i++)
		port_counters_add(total, &counters[i]);
}

static struct port_errors errors_of(const struct control_port *entry)
{
	struct port_errors errors = {0};

	if (entry->port)
		errors = port_errors(entry->port);
	return (struct port_errors){
		.send = entry->errors.send + errors.send,
		.receive = entry->errors.receive + errors.receive,
		.offload = entry->errors.offload + errors.offload,
	};
}

// Of a device that only one process can have: the other one opens it.
static void device_close(struct control *control, struct control_port *entry)
{
	engine_forget(control->engine, entry->port);
	entry->errors = errors_of(entry);
	port_close(entry->port);
	entry->port = NULL;
}

static int say_ports(const struct saying *saying, struct error *err)
{
	struct control *control = saying->control;
	struct port_errors none = {0}, errors;
	struct port_counters total;

	sum(control, control->ended, &total);
	if (say_port(saying, "", &total, &none, NULL, err) < 0)
		return -1;
	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];
		struct port_parts parts = {0};
		int result;

		if (!entry)
			continue;
		if (entry->port && entry->port->driver->hand_over &&
		    !entry->port->driver->hand_over(entry->port, &parts)) {
			port_parts_clear(&parts, false);
			return error_set(err, "no memory");
		}
		if (entry->port && !entry->port->driver->hand_over)
			device_close(control, entry);
		sum(control, entry->counters, &total);
		errors = errors_of(entry);
		result = say_port(saying, entry->name, &total, &errors, &parts, err);
		port_parts_clear(&parts, false);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int say_neighbours(const struct saying *saying, struct error *err)
{
	const struct neighbours *neighbours = &saying->control->engine->neighbours;

	for (uint32_t i = 0; i < neighbours->used; i++) {
		Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
		Sluice__Handover__V1__Neighbour said = SLUICE__HANDOVER__V1__NEIGHBOUR__INIT;
		struct neighbour *neighbour = &neighbours->entries[i];
		uint64_t mac = atomic_load(&neighbour->mac);
		uint32_t mtu = atomic_load(&neighbour->path_mtu);
		bool down = atomic_load(&neighbour->down);
		bool silent = atomic_load(&neighbour->hearing.silent);

		if (!neighbour->taken || (!mac && mtu == PATH_MTU_ANY && !down && !silent))
			continue;
		said.network = neighbour->network;
		said.address = (ProtobufCBinaryData){16, neighbour->address.bytes};
		said.mac = (ProtobufCBinaryData){mac ? 6 : 0, (uint8_t *)&mac};
		said.path_mtu = mtu == PATH_MTU_ANY ? 0 : mtu;
		said.down = down;
		said.silent = silent;
		said.round = atomic_load(&neighbour->hearing.round);
		frame.content_case = FRAME(NEIGHBOUR);
		frame.neighbour = &said;
		if (upgrade_frame_send(saying->channel, &frame, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

static int say_owners(const struct saying *saying, struct error *err)
{
	const struct address_owners *owners = &saying->control->numbers.owners;

	for (uint32_t i = 0; i < owners->used; i++) {
		Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
		Sluice__Handover__V1__Owner said = SLUICE__HANDOVER__V1__OWNER__INIT;
		struct address_owner *owner = &owners->entries[i];
		uint64_t port = atomic_load(&owner->port);
		struct ip_address address;

		if (!owner->taken || !port)
			continue;
		said.domain = (uint32_t)owner->key.words[0];
		address.halves[0] = owner->key.words[1];
		address.halves[1] = owner->key.words[2];
		said.address = (ProtobufCBinaryData){16, address.bytes};
		said.network = (uint32_t)(port >> 48);
		said.mac = (ProtobufCBinaryData){6, (uint8_t *)&port};
		frame.content_case = FRAME(OWNER);
		frame.owner = &said;
		if (upgrade_frame_send(saying->channel, &frame, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

static int say_members(const struct saying *saying, struct error *err)
{
	const struct member_healths *healths = &saying->control->numbers.healths;

	for (uint32_t i = 1; i < healths->used; i++) {
		Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
		Sluice__Handover__V1__MemberHealth said = SLUICE__HANDOVER__V1__MEMBER_HEALTH__INIT;
		struct member_health *health = &healths->entries[i];

		if (!health->taken || !member_found_down(health))
			continue;
		said.n_key = sizeof(health->key.words) / sizeof(health->key.words[0]);
		said.key = health->key.words;
		frame.content_case = FRAME(MEMBER_HEALTH);
		frame.member_health = &said;
		if (upgrade_frame_send(saying->channel, &frame, NULL, 0, err) < 0)
			return -1;
	}
	return 0;
}

static int say_listeners(const struct saying *saying, struct error *err)
{
	const struct control *control = saying->control;
	const int fds[UPGRADE_LISTENERS] = {
		[UPGRADE_API] = rpc_server_listener(control->server, false),
		[UPGRADE_METRICS] = metrics_server_listener(control->metrics),
		[UPGRADE_LISTEN] = rpc_server_listener(control->server, true),
	};

	for (unsigned int i = 0; i < UPGRADE_LISTENERS; i++) {
		Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
		Sluice__Handover__V1__Listener said;

		if (fds[i] < 0)
			continue;
		sluice__handover__v1__listener__init(&said);
		said.use = (char *)(uintptr_t)upgrade_listener_names[i];
		frame.content_case = FRAME(LISTENER);
		frame.listener = &said;
		if (upgrade_frame_send(saying->channel, &frame, &fds[i], 1, err) < 0)
			return -1;
	}
	return 0;
}

int upgrade_say(struct control *control, int channel, struct error *err)
{
	const struct saying saying = {control, channel};

	return say_ports(&saying, err) < 0 || say_neighbours(&saying, err) < 0 ||
			       say_owners(&saying, err) < 0 || say_members(&saying, err) < 0 ||
			       say_listeners(&saying, err) < 0
		       ? -1
		       : 0;
}

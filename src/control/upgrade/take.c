// The new process, which takes the place of one that runs (give.c).

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"
#include "control/upgrade/frame.h"
#include "control/upgrade/upgrade.h"

#define FRAME(name) SLUICE__HANDOVER__V1__FRAME__CONTENT_##name

// Until the other one has packed its objects, and until it has stopped.
#define WAIT_SECONDS 20

// ---- what can be prepared

static int objects_read(struct take_over *take_over, int fd, uint64_t size, struct error *err)
{
	Sluice__V1__GetResponse *all = NULL;
	void *bytes = MAP_FAILED;
	struct stat is;

	if (fd >= 0 && size && fstat(fd, &is) == 0 && (uint64_t)is.st_size >= size)
		bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes != MAP_FAILED) {
		all = sluice__v1__get_response__unpack(NULL, size, bytes);
		munmap(bytes, size);
	} else if (!size) {
		return 0;
	}
	if (!all)
		return error_set(err, "its objects can't be read");
	for (size_t i = 0; i < all->n_objects; i++) {
		// The set has them now.
		if (all->objects[i]->kind_case != SLUICE__V1__OBJECT__KIND__NOT_SET)
			object_set_put(take_over->objects, all->objects[i]);
		else
			sluice__v1__object__free_unpacked(all->objects[i], NULL);
	}
	all->n_objects = 0;
	sluice__v1__get_response__free_unpacked(all, NULL);
	return 0;
}

static int prepare(struct take_over *take_over, const char *node, struct error *err)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Hello hello;
	struct upgrade_frame said = {0};
	int fd, result;

	sluice__handover__v1__hello__init(&hello);
	hello.format = HANDOVER_FORMAT;
	hello.version = (char *)(uintptr_t)SLUICE_VERSION;
	hello.node = (char *)(uintptr_t)node;
	frame.content_case = FRAME(HELLO);
	frame.hello = &hello;
	if (upgrade_frame_send(take_over->channel, &frame, NULL, 0, err) < 0 ||
	    upgrade_frame_expect(take_over->channel, &said, FRAME(HELLO), WAIT_SECONDS, err) < 0)
		return -1;
	if (said.content->hello->format != HANDOVER_FORMAT) {
		error_set(err, "it hands over in format %u", said.content->hello->format);
		upgrade_frame_clear(&said);
		return -1;
	}
	if (upgrade_frame_expect(take_over->channel, &said, FRAME(PREPARE), WAIT_SECONDS, err) < 0)
		return -1;
	take_over->revision = said.content->prepare->revision;
	take_over->table = said.content->prepare->table;
	take_over->store_closed = said.content->prepare->store_closed;
	take_over->cpus_shared = said.content->prepare->cpus_shared;
	fd = upgrade_frame_fd(&said);
	if (said.content->prepare->has_lock)
		take_over->lock = upgrade_frame_fd(&said);
	result = objects_read(take_over, fd, said.content->prepare->objects_size, err);
	if (fd >= 0)
		close(fd);
	upgrade_frame_clear(&said);
	return result;
}

int take_over_begin(int channel, const char *node, struct take_over **result, struct error *err)
{
	struct take_over *take_over = calloc(1, sizeof(*take_over));

	if (!take_over) {
		close(channel);
		return error_set(err, "no memory");
	}
	take_over->channel = channel;
	take_over->lock = -1;
	for (unsigned int i = 0; i < UPGRADE_LISTENERS; i++)
		take_over->listeners[i] = -1;
	take_over->objects = object_set_new();
	if (prepare(take_over, node, err) == 0) {
		*result = take_over;
		return 0;
	}
	take_over_fail(take_over, err);
	take_over_close(take_over);
	return error_prefix(err, "taking over");
}

void take_over_fail(struct take_over *take_over, const struct error *reason)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Failed failed;
	struct error ignored;

	if (!take_over)
		return;
	sluice__handover__v1__failed__init(&failed);
	failed.reason = (char *)(uintptr_t)reason->text;
	frame.content_case = FRAME(FAILED);
	frame.failed = &failed;
	// It sees this process's end in any case.
	upgrade_frame_send(take_over->channel, &frame, NULL, 0, &ignored);
}

void take_over_close(struct take_over *take_over)
{
	if (!take_over)
		return;
	for (uint32_t i = 0; i < take_over->port_count; i++) {
		port_parts_clear(&take_over->ports[i].parts, true);
		free(take_over->ports[i].name);
	}
	free(take_over->ports);
	for (unsigned int i = 0; i < UPGRADE_LISTENERS; i++)
		if (take_over->listeners[i] >= 0)
			close(take_over->listeners[i]);
	if (take_over->lock >= 0)
		close(take_over->lock);
	object_set_free(take_over->objects);
	close(take_over->channel);
	free(take_over);
}

// ---- what is said while nobody forwards

static enum drop_reason reason_of(const char *name)
{
	for (unsigned int reason = 0; reason < DROP_REASON_COUNT; reason++)
		if (strcmp(drop_reason_name(reason), name) == 0)
			return reason;
	// Of another version: counted all the same.
	return DROP_NONE;
}

static int hear_port(struct take_over *take_over, const Sluice__Handover__V1__Port *said,
		     struct error *err)
{
	struct taken_port *grown =
		realloc(take_over->ports, (take_over->port_count + 1) * sizeof(*take_over->ports));
	struct taken_port *port;

	if (!grown)
		return error_set(err, "no memory");
	take_over->ports = grown;
	port = &grown[take_over->port_count];
	*port = (struct taken_port){
		.name = strdup(said->name),
		.rx_packets = said->rx_packets,
		.rx_bytes = said->rx_bytes,
		.tx_packets = said->tx_packets,
		.tx_bytes = said->tx_bytes,
		.errors = {said->send_errors, said->receive_errors, said->offload_errors},
	};
	if (!port->name)
		return error_set(err, "no memory");
	for (size_t i = 0; i < said->n_drops; i++)
		port->drops[reason_of(said->drops[i]->reason)] += said->drops[i]->packets;
	take_over->port_count++;
	return 0;
}

static int hear_part(struct take_over *take_over, struct upgrade_frame *frame, struct error *err)
{
	const Sluice__Handover__V1__Part *said = frame->content->part;
	struct taken_port *port =
		take_over->port_count ? &take_over->ports[take_over->port_count - 1] : NULL;

	if (!port || !*port->name)
		return error_set(err, "a part of no port");
	if (!port_parts_add(&port->parts, said->kind, said->data.data, (uint32_t)said->data.len,
			    frame->fds, frame->fd_count))
		return error_set(err, "no memory");
	frame->fd_count = 0;
	return 0;
}

static bool read_address(const ProtobufCBinaryData *bytes, struct ip_address *address)
{
	if (bytes->len != sizeof(address->bytes))
		return false;
	memcpy(address->bytes, bytes->data, sizeof(address->bytes));
	return true;
}

// Entries are of what was compiled: others are not wanted any more.
static void hear_neighbour(struct control *control, const Sluice__Handover__V1__Neighbour *said)
{
	struct neighbours *neighbours = &control->engine->neighbours;
	struct ip_address address;
	uint64_t mac = 0;

	if (!read_address(&said->address, &address) || (said->mac.len && said->mac.len != 6))
		return;
	if (said->mac.len)
		memcpy(&mac, said->mac.data, 6);
	for (uint32_t i = 0; i < neighbours->used; i++) {
		struct neighbour *neighbour = &neighbours->entries[i];

		if (!neighbour->taken || neighbour->network != said->network ||
		    !ip_equal(&neighbour->address, &address))
			continue;
		neighbour->confirmed = engine_now(control->engine);
		atomic_store(&neighbour->mac, mac);
		neighbour->down_since = neighbour->confirmed;
		neighbour->down_told = neighbour->down_logged = said->down;
		atomic_store(&neighbour->down, said->down);
		hearing_go_on(&neighbour->hearing, said->silent, said->round);
		if (said->path_mtu) {
			atomic_store(&neighbour->path_learned, engine_now(control->engine));
			atomic_store(&neighbour->path_mtu, said->path_mtu);
		}
	}
}

static void hear_owner(struct control *control, const Sluice__Handover__V1__Owner *said)
{
	struct address_owners *owners = &control->numbers.owners;
	struct ip_address address;
	struct mac_address mac;
	uint32_t number;

	if (!read_address(&said->address, &address) || said->mac.len != sizeof(mac))
		return;
	memcpy(&mac, said->mac.data, sizeof(mac));
	number = lookup_find(&owners->numbers, lookup_key_address(said->domain, &address));
	if (number)
		atomic_store(&owners->entries[number - 1].port,
			     address_owner_port((uint16_t)said->network, &mac));
}

static void hear_member(struct control *control, const Sluice__Handover__V1__MemberHealth *said)
{
	struct member_healths *healths = &control->numbers.healths;
	struct lookup_key key;
	uint32_t number;

	if (said->n_key != sizeof(key.words) / sizeof(key.words[0]))
		return;
	memcpy(key.words, said->key, sizeof(key.words));
	number = lookup_find(&healths->numbers, key);
	if (!number)
		return;
	healths->entries[number].told = true;
	atomic_store(&healths->entries[number].down, true);
}

static void hear_listener(struct take_over *take_over, struct upgrade_frame *frame)
{
	for (unsigned int i = 0; i < UPGRADE_LISTENERS; i++)
		if (strcmp(frame->content->listener->use, upgrade_listener_names[i]) == 0 &&
		    take_over->listeners[i] < 0)
			take_over->listeners[i] = upgrade_frame_fd(frame);
}

int take_over_wait(struct take_over *take_over, struct control *control, struct error *err)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Prepared prepared = SLUICE__HANDOVER__V1__PREPARED__INIT;
	struct upgrade_frame said = {0};
	int result;

	frame.content_case = FRAME(PREPARED);
	frame.prepared = &prepared;
	result = upgrade_frame_send(take_over->channel, &frame, NULL, 0, err);
	while (result == 0) {
		result = upgrade_frame_receive(take_over->channel, &said, WAIT_SECONDS, err);
		if (result < 0 || said.content->content_case == FRAME(END))
			break;
		switch (said.content->content_case) {
		case FRAME(PORT):
			result = hear_port(take_over, said.content->port, err);
			break;
		case FRAME(PART):
			result = hear_part(take_over, &said, err);
			break;
		case FRAME(NEIGHBOUR):
			hear_neighbour(control, said.content->neighbour);
			break;
		case FRAME(OWNER):
			hear_owner(control, said.content->owner);
			break;
		case FRAME(MEMBER_HEALTH):
			hear_member(control, said.content->member_health);
			break;
		case FRAME(LISTENER):
			hear_listener(take_over, &said);
			break;
		default:
			// What a later version adds, this one does without.
			break;
		}
	}
	upgrade_frame_clear(&said);
	return result < 0 ? error_prefix(err, "taking over") : 0;
}

// ---- going on

static void count_on(const struct taken_port *taken, struct port_counters *counters)
{
	counters->rx_packets += taken->rx_packets;
	counters->rx_bytes += taken->rx_bytes;
	counters->tx_packets += taken->tx_packets;
	counters->tx_bytes += taken->tx_bytes;
	for (unsigned int reason = 0; reason < DROP_REASON_COUNT; reason++)
		counters->drops[reason] += taken->drops[reason];
}

static struct taken_port *find_port(const struct take_over *take_over, const char *name)
{
	for (uint32_t i = 0; i < take_over->port_count; i++)
		if (strcmp(take_over->ports[i].name, name) == 0)
			return &take_over->ports[i];
	return NULL;
}

static int port_take(struct control *control, struct control_port *entry, struct taken_port *taken,
		     struct error *err)
{
	count_on(taken, &entry->counters[0]);
	entry->errors = taken->errors;
	if (!taken->parts.count)
		return 0;
	if (port_take_over(entry->name, &entry->device, &control->environment, &taken->parts,
			   &entry->port, err) < 0)
		return -1;
	entry->given = true;
	// Until it is ours for good, closing it must leave it as it is.
	entry->port->handed_over = true;
	return 0;
}

int take_over_ports(struct take_over *take_over, struct control *control, struct tables *tables,
		    struct error *err)
{
	struct taken_port *before = find_port(take_over, "");

	if (before)
		count_on(before, &control->ended[0]);
	control_want_ports(control, tables);
	// From when a socket is opened here on, what comes is held against these.
	control_claim(control, tables);
	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];
		struct taken_port *taken = entry ? find_port(take_over, entry->name) : NULL;

		if (taken && port_take(control, entry, taken, err) < 0)
			return error_prefix(err, "taking over");
		if (number == PORT_UPLINK && entry && entry->port)
			control->uplink_mac = entry->port->mac;
	}
	return 0;
}

void take_over_end(struct take_over *take_over, struct control *control)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Taken taken = SLUICE__HANDOVER__V1__TAKEN__INIT;
	struct error err;

	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number] && control->ports[number]->port)
			control->ports[number]->port->handed_over = false;
	taken.connections = flow_table_count(control->engine->flows);
	taken.since = take_over->since;
	frame.content_case = FRAME(TAKEN);
	frame.taken = &taken;
	// It may have died: so much the worse for it.
	if (upgrade_frame_send(take_over->channel, &frame, NULL, 0, &err) < 0)
		log_warning("the other process does not hear that it was replaced",
			    log_text("reason", err.text));
}

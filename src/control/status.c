// What the data plane has of an object: told from the devices that are open and the tables in
// force, when it is asked for, and kept nowhere.

#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"
#include "model/memory.h"
#include "model/object.h"

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

	if (port)
		return port->gone ? 1 : port->driver->up(port) ? 2 : 3;
	for (const char *c = device ? device->problem : ""; *c; c++)
		mark = (mark ^ (uint8_t)*c) * 0x100000001b3;
	return mark;
}

static void node_status(const struct control *control, const Sluice__V1__Node *node,
			Sluice__V1__ObjectStatus *status)
{
	const struct peer *peer;

	status->state = ACTIVE;
	if (strcmp(node->name, control->node) == 0) {
		if (node->uplink)
			device_status(control, PORT_UPLINK, status);
		return;
	}
	peer = peer_find(control->tables, node->name);
	if (*node->vtep && control->tables->underlay.present && peer && !peer->next_hop)
		say(status, FAILED, "the underlay has no way to its tunnel address");
}

static void port_status(const struct control *control, const Sluice__V1__Port *port,
			Sluice__V1__ObjectStatus *status)
{
	if (strcmp(port->node, control->node) == 0)
		device_status(control, numbers_find(&control->numbers.ports, port->name), status);
	else
		status->state = ACTIVE;
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

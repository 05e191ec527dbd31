// Devices: is there one for whatever the objects want, and no other; do the workers send to it and
// receive from it?

#include <stdlib.h>

#include "control/audit.h"

// `receivers` by port number: from how many queues of it somebody receives.
static void compare(const struct control *control, uint32_t number, const uint32_t *receivers,
		    struct differences *differences)
{
	const struct tables *tables = control->tables;
	const struct control_port *entry =
		number < control->port_count ? control->ports[number] : NULL;
	const struct control_port *open = entry ? control_device(control, entry) : NULL;
	const struct port *port = open ? open->port : NULL;
	const struct port_binding *binding = tables_port(tables, number);
	struct port_device device;
	const char *name;

	if (!control_wants_device(control, tables, number, &name, &device)) {
		if (entry)
			differences_add(differences, "%s: a device that no object wants",
					entry->name);
		return;
	}
	if (!entry) {
		differences_add(differences, "%s: no device is kept for it", name);
		return;
	}
	if (strcmp(name, entry->name) != 0 || !port_device_same(&device, &entry->device))
		differences_add(differences, "%s: its device is not as the object says", name);
	if (entry->parent != binding->parent)
		differences_add(differences, "%s: it uses another port's device", name);
	if (binding->port != port || binding->counters != entry->counters)
		differences_add(differences, "%s: packets don't go to its device", name);
	if (receivers[number] != (port && !entry->parent ? port->queues : 0))
		differences_add(differences, "%s: not all of its queues are received from", name);
}

bool audit_devices(const struct control *control, struct differences *differences)
{
	const struct tables *tables = control->tables;
	uint32_t end =
		tables->port_count > control->port_count ? tables->port_count : control->port_count;
	uint32_t *receivers = calloc(end, sizeof(*receivers));

	if (!receivers)
		return false;
	for (uint32_t worker = 0; worker < tables->worker_count; worker++)
		for (uint32_t i = 0; i < tables->polls[worker].count; i++)
			if (tables->polls[worker].entries[i].port < end)
				receivers[tables->polls[worker].entries[i].port]++;
	for (uint32_t number = 1; number < end; number++)
		compare(control, number, receivers, differences);
	free(receivers);
	return true;
}

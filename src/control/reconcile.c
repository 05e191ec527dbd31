// From desired objects to open devices and tables in force.
//
// A device is closed only after no worker uses it, and may have to be closed before another can be
// opened in its place. So there are up to two steps: tables without the devices that change, then
// tables with the new ones.

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/control.h"
#include "control/recover.h"
#include "model/memory.h"
#include "port/failover/failover.h"
#include "rpc/health.h"

int control_compile(struct control *control, const struct object_set *objects,
		    struct tables **tables, struct error *err)
{
	return tables_compile(
		objects, control->node, &control->numbers, &control->engine->neighbours,
		engine_next_generation(control->engine), control->engine->options.worker_count,
		control->in_force ? control->tables : NULL, control->in_force, tables, err);
}

const struct control_port *control_device(const struct control *control,
					  const struct control_port *entry)
{
	if (!entry->parent)
		return entry;
	return entry->parent < control->port_count ? control->ports[entry->parent] : NULL;
}

// Its members are the entry's then.
static void device_keep(struct control_port *entry, const struct port_device *device)
{
	size_t size = device->member_count * sizeof(*device->members);

	free((void *)(uintptr_t)entry->device.members);
	entry->device = *device;
	if (!device->member_count)
		return;
	entry->device.members = memcpy(memory_new(size), device->members, size);
}

void control_port_free(struct control_port *entry)
{
	free((void *)(uintptr_t)entry->device.members);
	free(entry->counters);
	free(entry);
}

static struct control_port *want_port(struct control *control, uint32_t number, const char *name,
				      const struct port_device *device)
{
	struct control_port *entry = control->ports[number];

	if (!entry) {
		// One more for tracing, which nobody adds up.
		uint32_t workers = control->engine->options.worker_count + 1;

		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return NULL;
		if (posix_memalign((void **)&entry->counters, 64,
				   workers * sizeof(*entry->counters)) != 0) {
			free(entry);
			return NULL;
		}
		memset(entry->counters, 0, workers * sizeof(*entry->counters));
		snprintf(entry->name, sizeof(entry->name), "%s", name);
		device_keep(entry, device);
		if (control->engine->offload)
			flow_offload_count(control->engine->offload, number,
					   &entry->offloaded_before);
		control->ports[number] = entry;
		if (number >= control->port_count)
			control->port_count = number + 1;
	}
	entry->wanted = true;
	return entry;
}

bool control_wants_device(const struct control *control, const struct tables *tables,
			  uint32_t number, const char **name, struct port_device *device)
{
	const struct endpoint *endpoint;
	const Sluice__V1__Object *object;

	if (number == PORT_UPLINK) {
		object = object_set_find(control->objects, SLUICE__V1__OBJECT__KIND_NODE,
					 control->node);
		if (!object || !object->node->uplink || !tables->underlay.present)
			return false;
		*name = "uplink";
		device_of_uplink(object->node, control->members_asked, device);
		return true;
	}
	if (number == PORT_HOST) {
		object = object_set_find(control->objects, SLUICE__V1__OBJECT__KIND_NODE,
					 control->node);
		if (!object || !object->node->uplink || !*object->node->uplink->host_interface)
			return false;
		*name = "uplink-host";
		device_of_host(object->node, &control->uplink_mac, device);
		return true;
	}
	if (number >= tables->port_count || !tables->ports[number].endpoint)
		return false;
	endpoint = &tables->endpoints[tables->ports[number].endpoint];
	*name = tables_detail(tables, endpoint)->name;
	object = object_set_find(control->objects, SLUICE__V1__OBJECT__KIND_PORT, *name);
	if (!object || !object->port->device)
		return false;
	device_of_port(object->port, endpoint->mtu, control->members_asked, device);
	return true;
}

static void bind_ports(struct control *control, struct tables *tables)
{
	for (uint32_t number = 1; number < tables->port_count && number < control->port_count;
	     number++) {
		struct control_port *entry = control->ports[number];
		const struct control_port *device;

		if (!entry || !entry->wanted)
			continue;
		device = control_device(control, entry);
		tables->ports[number].port = !device || device->closing ? NULL : device->port;
		tables->ports[number].counters = entry->counters;
		tables->ports[number].schedule = &entry->schedule;
		if (number == PORT_UPLINK && tables->ports[number].port)
			tables_set_uplink(tables, &entry->port->mac, entry->port->mtu);
	}
}

// False: the earlier tables stay in force, and with them what they name.
static bool publish(struct control *control, struct tables *tables)
{
	struct error err;
	struct tables *old;

	impact_end_all(control);
	bind_ports(control, tables);
	recover_write_names(control);
	old = engine_publish(control->engine, tables, &err);
	if (!old) {
		log_error("the earlier configuration stays in force", log_text("reason", err.text));
		snprintf(control->behind, sizeof(control->behind), "%s", err.text);
		tables_free(tables);
		// Of another set than the present one.
		control->in_force = NULL;
		health_set(control->health, false);
		return false;
	}
	control_claim(control, tables);
	control->tables = tables;
	control->in_force = control->objects;
	control->behind[0] = 0;
	health_set(control->health, true);
	control->untidy = true;
	tables_free(old);
	compile_numbers_settle(&control->numbers);
	return true;
}

// No worker uses the device any more.
static void close_device(struct control_port *entry)
{
	const char *reason = entry->port->gone ? "the device has gone"
			     : entry->wanted   ? "another device is wanted"
					       : "no longer wanted";
	struct port_errors errors;

	log_info("port closed", log_text("port", entry->name),
		 log_text("device", entry->device.name), log_text("reason", reason));
	errors = port_errors(entry->port);
	entry->errors.send += errors.send;
	entry->errors.receive += errors.receive;
	entry->errors.offload += errors.offload;
	port_close(entry->port);
	entry->port = NULL;
	entry->closing = false;
}

// Its MAC address stays that of the last device while there is none.
static void uplink_learn(struct control *control)
{
	const struct control_port *entry = control->ports[PORT_UPLINK];
	static const struct mac_address none;

	if (entry && entry->port && !mac_equal(&entry->port->mac, &none))
		control->uplink_mac = entry->port->mac;
}

bool control_uplink_differs(const struct control *control)
{
	const struct control_port *entry = control->ports[PORT_UPLINK];
	const struct underlay *underlay = &control->tables->underlay;

	return entry && entry->port && !entry->closing &&
	       (!mac_equal(&entry->port->mac, &underlay->mac) || entry->port->mtu != underlay->mtu);
}

static bool try_open(struct control *control, struct control_port *entry)
{
	static const struct mac_address none;
	struct error err;

	if (entry->parent)
		return false;
	// The host's share has the uplink's MAC address, so the uplink is first.
	if (entry == control->ports[PORT_HOST]) {
		if (mac_equal(&control->uplink_mac, &none)) {
			snprintf(entry->problem, sizeof(entry->problem),
				 "waits for the uplink's device");
			return false;
		}
		entry->device.mac = control->uplink_mac;
	}
	if (port_open(entry->name, &entry->device, &control->environment, &entry->port, &err) ==
	    0) {
		entry->problem[0] = 0;
		log_info("port opened", log_text("port", entry->name),
			 log_text("device", entry->device.name));
		if (entry == control->ports[PORT_UPLINK])
			uplink_learn(control);
		return true;
	}
	// Said once, not with every try.
	if (strcmp(entry->problem, err.text) != 0)
		log_warning("port cannot be opened; it is tried again",
			    log_text("port", entry->name), log_text("device", entry->device.name),
			    log_text("reason", err.text));
	snprintf(entry->problem, sizeof(entry->problem), "%s", err.text);
	return false;
}

void control_want_ports(struct control *control, const struct tables *tables)
{
	uint32_t last = tables->port_count;

	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number])
			control->ports[number]->wanted = false;
	if (last < control->port_count)
		last = control->port_count;
	for (uint32_t number = 1; number < last; number++) {
		struct port_device device;
		const char *name;

		if (control_wants_device(control, tables, number, &name, &device) &&
		    !want_port(control, number, name, &device))
			log_error("no memory for a port", log_text("port", name));
	}
}

void control_settle(struct control *control)
{
	struct tables *tables;
	bool changed = false;
	struct error err;

	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];

		if (entry && entry->given && entry->port && entry->port->driver->settle)
			changed |= entry->port->driver->settle(entry->port);
		if (entry)
			entry->given = false;
	}
	if (!changed)
		return;
	if (control_compile(control, control->objects, &tables, &err) < 0)
		log_error("tables cannot be compiled", log_text("reason", err.text));
	else
		publish(control, tables);
}

bool control_reconcile_begin(struct control *control, struct tables *tables)
{
	control_want_ports(control, tables);
	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];
		struct port_device device;
		const char *name;
		bool same;

		if (!entry)
			continue;
		same = control_wants_device(control, tables, number, &name, &device) &&
		       strcmp(name, entry->name) == 0 && port_device_same(&device, &entry->device);
		if (!same && entry->wanted) {
			// Of a list only what is new in that is opened.
			same = entry->port && strcmp(name, entry->name) == 0 &&
			       failover_change(entry->port, &entry->device, &device);
			device_keep(entry, &device);
		}
		entry->parent = number < tables->port_count ? tables->ports[number].parent : 0;
		entry->closing = entry->port && (!same || entry->port->gone);
	}
	return publish(control, tables);
}

void control_reconcile_end(struct control *control)
{
	struct tables *tables;
	bool opened = false;
	struct error err;

	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number] && control->ports[number]->closing)
			close_device(control->ports[number]);
	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];

		if (!entry || entry->wanted)
			continue;
		for (uint32_t i = 0; i < control->engine->options.worker_count; i++)
			port_counters_add(&control->ended[i], &entry->counters[i]);
		control_port_free(entry);
		control->ports[number] = NULL;
	}
	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number] && !control->ports[number]->port)
			opened |= try_open(control, control->ports[number]);
	if (!opened)
		return;
	if (control_compile(control, control->objects, &tables, &err) < 0) {
		log_error("tables cannot be compiled", log_text("reason", err.text));
		return;
	}
	publish(control, tables);
}

void control_reconcile(struct control *control, struct tables *tables)
{
	if (control_reconcile_begin(control, tables))
		control_reconcile_end(control);
}

void control_tidy(struct control *control)
{
	load_copy(control);
	if (control->engine->offload)
		flow_offload_tidy(control->engine->offload);
	// What changes took meanwhile is given back when they are over.
	if (control->untidy)
		malloc_trim(0);
	control->untidy = false;
}

void control_look(struct control *control)
{
	struct tables *tables;
	struct error err;
	bool opened = false, gone = false;

	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];

		if (!entry)
			continue;
		if (entry->port && entry->port->driver->check)
			entry->port->driver->check(entry->port);
		if (number == PORT_UPLINK)
			uplink_learn(control);
		if (!entry->port)
			opened |= try_open(control, entry);
		else
			gone |= entry->port->gone ||
				(number == PORT_HOST &&
				 !mac_equal(&entry->device.mac, &control->uplink_mac));
	}
	if (!opened && !gone && !control_uplink_differs(control))
		return;
	if (control_compile(control, control->objects, &tables, &err) < 0) {
		log_error("tables cannot be compiled", log_text("reason", err.text));
		return;
	}
	if (gone)
		control_reconcile(control, tables);
	else
		publish(control, tables);
}

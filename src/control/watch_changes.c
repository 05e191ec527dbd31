// What those who watch are told of: other objects, and the same ones in another state.

#include "control/watch_private.h"
#include "layer/external/external.h"
#include "model/kind.h"
#include "model/object.h"

static void add_status(struct control *control, Sluice__V1__Object__KindCase kind, const char *name)
{
	struct member *member = object_set_hold(control->objects, kind, name);

	if (member)
		watch_log_add(&control->watch->log, EVENT(STATUS), member);
}

static void add_all_statuses(struct control *control, Sluice__V1__Object__KindCase kind)
{
	size_t count = object_set_count(control->objects, kind);

	for (size_t i = 0; i < count; i++)
		add_status(control, kind, object_name(object_set_at(control->objects, kind, i)));
}

// Routers outside that have answered, or not any more: the status of their networks and Routes.
static void look_at_routers(struct control *control, bool silent)
{
	const struct externals *externals = control->tables->externals;
	size_t routes = object_set_count(control->objects, SLUICE__V1__OBJECT__KIND_ROUTE);

	for (uint32_t i = 0; i < externals->hop_count; i++) {
		const struct external_hop *router = &externals->hops[i];
		bool down = external_hop_is_down(router);

		if (down == router->neighbour->down_told)
			continue;
		router->neighbour->down_told = down;
		if (silent)
			continue;
		add_status(control, SLUICE__V1__OBJECT__KIND_NETWORK,
			   control->tables->networks[router->network].name);
		for (size_t r = 0; r < routes; r++) {
			const Sluice__V1__Route *route =
				object_set_at(control->objects, SLUICE__V1__OBJECT__KIND_ROUTE, r)
					->route;

			if (status_route_names(control, route, router))
				add_status(control, SLUICE__V1__OBJECT__KIND_ROUTE, route->name);
		}
	}
}

// Other nodes outside likewise: their networks' status.
static void look_at_nodes(struct control *control, bool silent)
{
	const struct externals *externals = control->tables->externals;

	for (uint32_t i = 0; i < externals->watched_count; i++) {
		struct neighbour *neighbour = externals->watched[i].neighbour;
		bool down = atomic_load(&neighbour->down);

		if (down == neighbour->down_told)
			continue;
		neighbour->down_told = down;
		if (!silent)
			add_status(control, SLUICE__V1__OBJECT__KIND_NETWORK,
				   control->tables->networks[neighbour->network].name);
	}
}

static void look_at_conflicts(struct control *control, bool silent)
{
	size_t count = object_set_count(control->objects, SLUICE__V1__OBJECT__KIND_NETWORK);

	for (size_t i = 0; control->conflicts.changed && !silent && i < count; i++) {
		const Sluice__V1__Network *network =
			object_set_at(control->objects, SLUICE__V1__OBJECT__KIND_NETWORK, i)
				->network;

		if (network->external)
			add_status(control, SLUICE__V1__OBJECT__KIND_NETWORK, network->name);
	}
	control->conflicts.changed = false;
}

void watch_look(struct control *control, bool silent)
{
	struct watch *watch = control->watch;

	if (watch->behind != (*control->behind != 0)) {
		watch->behind = !watch->behind;
		// Of all objects: nobody can go on from before.
		watch->log.oldest = watch->log.revision + 1;
		for (size_t k = 0; !silent && kind_at(k) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
			add_all_statuses(control, kind_at(k));
	}
	look_at_routers(control, silent);
	look_at_nodes(control, silent);
	look_at_conflicts(control, silent);
	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];
		uint64_t mark;

		if (!entry || number == PORT_HOST)
			continue;
		mark = status_mark(control, entry);
		if (mark == entry->told)
			continue;
		entry->told = mark;
		if (silent)
			continue;
		if (number == PORT_UPLINK)
			add_status(control, SLUICE__V1__OBJECT__KIND_NODE, control->node);
		else
			add_status(control, SLUICE__V1__OBJECT__KIND_PORT, entry->name);
	}
}

static void wake(struct watch *watch, uint64_t before)
{
	if (watch->log.next != before && watch->count)
		event_active(watch->wake, EV_TIMEOUT, 0);
}

void watch_statuses(struct control *control)
{
	uint64_t before;

	if (!control->watch || !control->watch->count)
		return;
	before = control->watch->log.next;
	watch_look(control, false);
	wake(control->watch, before);
}

// The status goes with the object, so it is no news for itself.
static void objects_told(struct control *control, uint64_t from)
{
	const struct watch_log *log = &control->watch->log;
	bool self = false;

	for (uint64_t i = from; i < log->next; i++) {
		const struct watch_entry *entry = watch_log_at(log, i);
		const Sluice__V1__Object *object = entry ? member_object(entry->member) : NULL;
		const char *name = object ? object_name(object) : "";
		uint32_t number = 0;

		if (!object)
			continue;
		if (object->kind_case == SLUICE__V1__OBJECT__KIND_PORT)
			number = numbers_find(&control->numbers.ports, name);
		else if (object->kind_case == SLUICE__V1__OBJECT__KIND_NODE &&
			 strcmp(name, control->node) == 0) {
			number = PORT_UPLINK;
			self = true;
		}
		if (number && number < control->port_count && control->ports[number])
			control->ports[number]->told = status_mark(control, control->ports[number]);
	}
	// Which nodes can be reached follows from this one's.
	if (self)
		add_all_statuses(control, SLUICE__V1__OBJECT__KIND_NODE);
}

void watch_objects(struct control *control, const struct object_set *before)
{
	struct watch *watch = control->watch;
	uint64_t from;

	if (!watch)
		return;
	from = watch->log.next;
	watch_log_add_changes(&watch->log, before, control->objects, control->revision);
	if (!watch->count)
		return;
	objects_told(control, from);
	watch_look(control, false);
	wake(watch, from);
}

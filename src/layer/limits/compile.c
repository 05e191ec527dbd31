#include "layer/limits/compile.h"

#include "model/connection_limits.h"

// What is said replaces what holds otherwise.
static void take(struct connection_limits *limits, const Sluice__V1__ConnectionLimits *object)
{
	if (!object)
		return;
	if (object->has_connections_case)
		limits->connections = object->connections;
	if (object->has_half_open_case)
		limits->half_open = object->half_open;
	if (object->has_connection_rate_case) {
		limits->rate = object->connection_rate;
		limits->burst = connection_limits_burst(object);
	}
}

void limits_compile(struct compile *compile)
{
	const Sluice__V1__Object *node =
		object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_NODE, compile->node);
	struct tables *tables = compile->tables;
	struct connection_limits usual = {0};

	if (node)
		take(&usual, node->node->limits);
	for (uint32_t number = 1; number < tables->port_count; number++) {
		uint32_t index = tables->ports[number].endpoint;

		tables->ports[number].limits = usual;
		if (index)
			take(&tables->ports[number].limits,
			     object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_PORT,
					   index - 1)
				     ->port->limits);
	}
}

#include "layer/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "layer/external/compile.h"
#include "layer/external/external.h"
#include "layer/load_balancer/compile.h"
#include "layer/nat/compile.h"
#include "layer/nat/mappings.h"
#include "layer/route/compile.h"
#include "layer/services/compile.h"
#include "layer/topology.h"
#include "layer/tunnel/tunnel.h"

bool compile_numbers_open(struct compile_numbers *numbers)
{
	// So that what was not reached can be closed, too.
	memset(numbers, 0, sizeof(*numbers));
	return numbers_open(&numbers->domains, 1, 65535) &&
	       numbers_open(&numbers->networks, 1, 65535) &&
	       numbers_open(&numbers->ports, PORT_HOST + 1, 65535) &&
	       numbers_open(&numbers->nodes, 1, 65535) &&
	       numbers_open(&numbers->groups, 1, (1 << FLOW_RULE_GROUP_BITS) - 1) &&
	       address_owners_open(&numbers->owners) && member_healths_open(&numbers->healths);
}

void compile_numbers_close(struct compile_numbers *numbers)
{
	numbers_close(&numbers->domains);
	numbers_close(&numbers->networks);
	numbers_close(&numbers->ports);
	numbers_close(&numbers->nodes);
	numbers_close(&numbers->groups);
	address_owners_close(&numbers->owners);
	member_healths_close(&numbers->healths);
}

void compile_numbers_settle(struct compile_numbers *numbers)
{
	numbers_end(&numbers->domains);
	numbers_end(&numbers->networks);
	numbers_end(&numbers->ports);
	numbers_end(&numbers->nodes);
	numbers_end(&numbers->groups);
	address_owners_settle(&numbers->owners);
	member_healths_settle(&numbers->healths);
	if (numbers->mappings)
		nat_mappings_settle(numbers->mappings);
	if (numbers->neighbours)
		neighbours_settle(numbers->neighbours);
}

void tables_free(struct tables *tables)
{
	if (!tables)
		return;
	for (unsigned int i = 0; layers[i]; i++)
		if (tables->layers[i] && layers[i]->free)
			layers[i]->free(tables->layers[i]);
	services_free(tables->services);
	routes_free(tables->routes);
	nats_free(tables->nat);
	load_balancers_free(tables->load_balancers);
	topology_free(tables);
	for (uint32_t i = 0; tables->polls && i < tables->worker_count; i++)
		free(tables->polls[i].entries);
	free(tables->polls);
	free(tables);
}

void compile_numbers_abandon(struct compile_numbers *numbers)
{
	numbers_abandon(&numbers->domains);
	numbers_abandon(&numbers->networks);
	numbers_abandon(&numbers->ports);
	numbers_abandon(&numbers->nodes);
	numbers_abandon(&numbers->groups);
	address_owners_abandon(&numbers->owners);
	member_healths_abandon(&numbers->healths);
	if (numbers->mappings)
		nat_mappings_abandon(numbers->mappings);
	if (numbers->neighbours)
		neighbours_abandon(numbers->neighbours);
}

int tables_compile(const struct object_set *objects, const char *node,
		   struct compile_numbers *numbers, struct neighbours *neighbours,
		   uint32_t generation, uint32_t workers, const struct tables *previous,
		   const struct object_set *previous_objects, struct tables **result,
		   struct error *err)
{
	struct tables *tables = calloc(1, sizeof(*tables));
	struct compile compile = {
		.objects = objects,
		.node = node,
		.numbers = numbers,
		.neighbours = neighbours,
		.tables = tables,
		.previous = previous,
		.previous_objects = previous_objects,
	};

	if (!tables)
		return compile_no_memory(err);
	numbers->neighbours = neighbours;
	if (neighbours)
		neighbours_begin(neighbours);
	tables->generation = generation;
	tables->worker_count = workers;
	tables->polls = calloc(workers, sizeof(*tables->polls));
	if (!tables->polls) {
		tables_free(tables);
		return compile_no_memory(err);
	}
	if (topology_compile(&compile, err) < 0 || services_compile(&compile, err) < 0 ||
	    routes_compile(&compile, err) < 0 || nats_compile(&compile, err) < 0 ||
	    load_balancers_compile(&compile, err) < 0) {
		tables_free(tables);
		return -1;
	}
	for (unsigned int i = 0; layers[i]; i++) {
		if (!layers[i]->compile ||
		    layers[i]->compile(&compile, &tables->layers[i], err) == 0)
			continue;
		tables_free(tables);
		return -1;
	}
	externals_finish(&compile);
	*result = tables;
	return 0;
}

// What a tunnel packet to each node has room for, if that is less than its network allows.
static void set_tunnel_mtu(struct tables *tables)
{
	uint32_t end = tables->endpoint_count + external_endpoint_count(tables->externals);

	for (uint32_t i = 1; i < end; i++) {
		struct endpoint *endpoint = &tables->endpoints[i];
		uint32_t room = tables->underlay.mtu;

		if (!endpoint->peer)
			continue;
		room -= tables->peers[endpoint->peer].header_size;
		if (room < endpoint->mtu)
			endpoint->mtu = (uint16_t)room;
	}
}

void tables_set_uplink(struct tables *tables, const struct mac_address *mac, uint16_t mtu)
{
	tables->underlay.mtu = mtu;
	tables->underlay.mac = *mac;
	for (uint32_t i = 0; i < tables->peer_count; i++)
		if (tables->peers[i].number)
			tunnel_header_make(&tables->peers[i], &tables->underlay);
	if (mtu)
		set_tunnel_mtu(tables);
	externals_set_uplink(tables);
}

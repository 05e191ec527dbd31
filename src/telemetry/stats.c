// `sluice stats`: the workers' counters, added up.

#include <stdio.h>
#include <stdlib.h>

#include <rte_mempool.h>

#include "control/control.h"
#include "layer/external/external.h"
#include "layer/load_balancer/load_balancer.h"
#include "model/memory.h"
#include "port/failover/failover.h"
#include "telemetry/telemetry.h"

// What went on in the kernel.
static void add_offloaded(const struct control *control, uint32_t number, struct port_counters *sum)
{
	const struct port_counters *before = &control->ports[number]->offloaded_before;

	if (!control->engine->offload)
		return;
	flow_offload_count(control->engine->offload, number, sum);
	sum->rx_packets -= before->rx_packets;
	sum->rx_bytes -= before->rx_bytes;
	sum->tx_packets -= before->tx_packets;
	sum->tx_bytes -= before->tx_bytes;
}

struct port_counters stats_port_counters(const struct control *control, uint32_t number)
{
	const struct control_port *entry = control->ports[number];
	struct port_counters sum = {0};
	struct port_errors errors = {0};

	add_offloaded(control, number, &sum);

	for (uint32_t i = 0; i < control->engine->options.worker_count; i++)
		port_counters_add(&sum, &entry->counters[i]);
	if (entry->port)
		errors = port_errors(entry->port);
	sum.drops[DROP_SEND_ERROR] += entry->errors.send + errors.send;
	sum.drops[DROP_RECEIVE_ERROR] += entry->errors.receive + errors.receive;
	sum.drops[DROP_OFFLOAD] += entry->errors.offload + errors.offload;
	return sum;
}

static void uplink_devices_add(const struct control *control, Sluice__V1__StatsResponse *response)
{
	const struct port *uplink = control_failover(control);
	uint16_t count = failover_count(uplink);

	response->uplink_devices = memory_new(count * sizeof(*response->uplink_devices));
	for (uint16_t i = 0; i < count; i++)
		response->uplink_devices[response->n_uplink_devices++] =
			status_device_new(uplink, i);
}

static bool add_drops(Sluice__V1__PortStats *stats, const struct port_counters *sum)
{
	stats->drops = calloc(DROP_REASON_COUNT, sizeof(*stats->drops));
	if (!stats->drops)
		return false;
	for (unsigned int reason = 1; reason < DROP_REASON_COUNT; reason++) {
		Sluice__V1__PortStats__DropsEntry *entry;

		if (!sum->drops[reason])
			continue;
		entry = malloc(sizeof(*entry));
		if (!entry)
			return false;
		sluice__v1__port_stats__drops_entry__init(entry);
		entry->key = strdup(drop_reason_name(reason));
		entry->value = sum->drops[reason];
		stats->drops[stats->n_drops++] = entry;
	}
	return true;
}

static bool add_worker_drops(Sluice__V1__WorkerStats *stats, const struct control *control)
{
	struct port_counters sum = control->ended[stats->worker];

	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number])
			port_counters_add(&sum, &control->ports[number]->counters[stats->worker]);
	stats->drops = calloc(DROP_REASON_COUNT, sizeof(*stats->drops));
	if (!stats->drops)
		return false;
	for (unsigned int reason = 1; reason < DROP_REASON_COUNT; reason++) {
		Sluice__V1__WorkerStats__DropsEntry *entry;

		if (!sum.drops[reason])
			continue;
		entry = malloc(sizeof(*entry));
		if (!entry)
			return false;
		sluice__v1__worker_stats__drops_entry__init(entry);
		entry->key = strdup(drop_reason_name(reason));
		entry->value = sum.drops[reason];
		stats->drops[stats->n_drops++] = entry;
	}
	return true;
}

static void add_charge(const struct control *control, uint32_t number, Sluice__V1__PortStats *stats)
{
	const struct flow_charge *charge = &control->engine->flows->charges.list[number];

	stats->connections += atomic_load_explicit(&charge->connections, memory_order_relaxed);
	stats->half_open_connections +=
		atomic_load_explicit(&charge->half_open, memory_order_relaxed);
}

// Those of the uplink are charged to the nodes behind it.
static void add_charges(const struct control *control, uint32_t number,
			Sluice__V1__PortStats *stats)
{
	add_charge(control, number, stats);
	for (uint32_t node = 1; number == PORT_UPLINK && node < control->tables->peer_count; node++)
		add_charge(control, FLOW_CHARGE_NODES + node, stats);
}

static const char *network_name(const struct control *control, uint32_t number)
{
	const struct port_binding *binding = tables_port(control->tables, number);
	const struct endpoint *endpoint =
		binding ? tables_endpoint(control->tables, binding->endpoint) : NULL;

	return endpoint ? control->tables->networks[endpoint->network].name : "";
}

const char *stats_port_state(const struct control *control, uint32_t number)
{
	const struct control_port *device = control_device(control, control->ports[number]);

	if (!device)
		return "down";
	if (device->port)
		return device->port->driver->up(device->port) ? "up" : "down";
	return device->problem;
}

Sluice__V1__PortStats *stats_port_collect(const struct control *control, uint32_t number)
{
	struct port_counters sum = stats_port_counters(control, number);
	Sluice__V1__PortStats *stats = malloc(sizeof(*stats));

	if (!stats)
		return NULL;
	sluice__v1__port_stats__init(stats);
	stats->state = strdup(stats_port_state(control, number));
	stats->network = strdup(network_name(control, number));
	stats->rx_packets = sum.rx_packets;
	stats->rx_bytes = sum.rx_bytes;
	stats->tx_packets = sum.tx_packets;
	stats->tx_bytes = sum.tx_bytes;
	add_charges(control, number, stats);
	if (add_drops(stats, &sum))
		return stats;
	sluice__v1__port_stats__free_unpacked(stats, NULL);
	return NULL;
}

static Sluice__V1__StatsResponse__PortsEntry *port_entry(const struct control *control,
							 uint32_t number)
{
	Sluice__V1__StatsResponse__PortsEntry *entry = malloc(sizeof(*entry));

	if (!entry)
		return NULL;
	sluice__v1__stats_response__ports_entry__init(entry);
	entry->key = strdup(control->ports[number]->name);
	entry->value = stats_port_collect(control, number);
	if (entry->value)
		return entry;
	protobuf_c_message_free_unpacked(&entry->base, NULL);
	return NULL;
}

static Sluice__V1__WorkerStats *worker_entry(const struct control *control, uint32_t index,
					     bool with_drops)
{
	struct engine_worker_stats from = engine_worker_stats(control->engine, index);
	Sluice__V1__WorkerStats *stats = malloc(sizeof(*stats));

	if (!stats)
		return NULL;
	sluice__v1__worker_stats__init(stats);
	stats->worker = index;
	stats->cpu = from.cpu < 0 ? 0 : (uint32_t)from.cpu;
	stats->packets = from.packets;
	stats->cycles = from.cycles;
	stats->busy_cycles = from.busy_cycles;
	stats->idle_percent =
		from.cycles ? 100.0 - 100.0 * (double)from.busy_cycles / (double)from.cycles
			    : 100.0;
	stats->seconds = (double)from.cycles / (double)control->engine->cycles_per_second;
	stats->busy_seconds = (double)from.busy_cycles / (double)control->engine->cycles_per_second;
	stats->connections_opened = from.connections_opened;
	stats->connections_ended = from.connections_ended;
	if (!with_drops || add_worker_drops(stats, control))
		return stats;
	sluice__v1__worker_stats__free_unpacked(stats, NULL);
	return NULL;
}

static bool add_layers(const struct control *control, Sluice__V1__StatsResponse *response)
{
	response->layers = calloc(LAYER_MAX, sizeof(*response->layers));
	if (!response->layers)
		return false;
	for (unsigned int i = 0; layers[i]; i++) {
		Sluice__V1__LayerStats *stats = malloc(sizeof(*stats));

		if (!stats)
			return false;
		sluice__v1__layer_stats__init(stats);
		stats->layer = strdup(layers[i]->name);
		for (uint32_t worker = 0; worker < control->engine->options.worker_count;
		     worker++) {
			const struct walk_counts *counts =
				engine_layer_counts(control->engine, worker);

			stats->passed += walk_counts_get(counts, i, VERDICT_NEXT);
			stats->dropped += walk_counts_get(counts, i, VERDICT_DROP);
			stats->answered += walk_counts_get(counts, i, VERDICT_ANSWER);
		}
		response->layers[response->n_layers++] = stats;
	}
	return true;
}

static bool add_next_hops(const struct control *control, Sluice__V1__StatsResponse *response)
{
	const struct tables *tables = control->tables;
	const struct externals *externals = tables->externals;

	response->next_hops =
		calloc(externals->hop_count + (size_t)1, sizeof(*response->next_hops));
	if (!response->next_hops)
		return false;
	for (uint32_t i = 0; i < externals->hop_count; i++) {
		const struct external_hop *hop = &externals->hops[i];
		Sluice__V1__NextHopStats *stats = malloc(sizeof(*stats));
		char text[IP_TEXT_SIZE];

		if (!stats)
			return false;
		sluice__v1__next_hop_stats__init(stats);
		response->next_hops[response->n_next_hops++] = stats;
		stats->network = strdup(tables->networks[hop->network].name);
		stats->router = strdup(ip_format(&hop->address, text));
		stats->up = !external_hop_is_down(hop);
		if (!stats->network || !stats->router)
			return false;
	}
	return true;
}

static bool add_member(void *context, const struct member_view *view)
{
	Sluice__V1__StatsResponse *response = context;
	Sluice__V1__MemberStats *stats = malloc(sizeof(*stats));
	char text[IP_TEXT_SIZE];

	if (!stats)
		return false;
	sluice__v1__member_stats__init(stats);
	response->members[response->n_members++] = stats;
	stats->load_balancer = strdup(view->balancer);
	stats->member = strdup(view->member);
	stats->address = strdup(ip_format(view->address, text));
	stats->up = view->up;
	stats->connections = view->connections;
	return stats->load_balancer && stats->member && stats->address;
}

static bool add_members(const struct control *control, Sluice__V1__StatsResponse *response)
{
	const struct load_balancers *balancers = control->tables->load_balancers;
	size_t count = 0;

	for (uint32_t i = 0; i < balancers->count; i++)
		count += balancers->balancer[i].member_count;
	response->members = calloc(BALANCER_FAMILIES * count + 1, sizeof(*response->members));
	return response->members && members_visit(control, UINT32_MAX, add_member, response);
}

// NULL: no memory.
static Sluice__V1__ApiStats *api_entry(const struct control *control)
{
	Sluice__V1__ApiStats *api = malloc(sizeof(*api));
	struct rpc_server_view view = {0};

	if (!api)
		return NULL;
	// Metrics are served before the API is.
	if (control->server)
		rpc_server_look(control->server, &view);
	sluice__v1__api_stats__init(api);
	api->connections = (uint32_t)view.connections;
	api->tls_connections = (uint32_t)view.tls_connections;
	api->tls_refused = view.tls_refused;
	api->certificate_not_after = (double)view.certificate_end;
	return api;
}

// NULL: no memory.
static Sluice__V1__PacketBuffers *buffers_entry(const struct rte_mempool *pool)
{
	Sluice__V1__PacketBuffers *buffers = malloc(sizeof(*buffers));

	if (!buffers)
		return NULL;
	sluice__v1__packet_buffers__init(buffers);
	buffers->max = pool->size;
	buffers->in_use = rte_mempool_in_use_count(pool);
	return buffers;
}

static bool collect(const struct control *control, bool with_ports,
		    Sluice__V1__StatsResponse *response)
{
	uint32_t workers = control->engine->options.worker_count;

	response->ports = calloc(control->port_count + 1, sizeof(*response->ports));
	response->workers = calloc(workers, sizeof(*response->workers));
	response->connections = malloc(sizeof(*response->connections));
	if (!response->ports || !response->workers || !response->connections)
		return false;
	sluice__v1__connections__init(response->connections);
	response->connections->current = flow_table_count(control->engine->flows);
	response->connections->max = control->engine->flows->max;
	if (control->engine->offload)
		response->connections->offloaded = flow_offload_live(control->engine->offload);
	for (uint32_t number = 1; with_ports && number < control->port_count; number++) {
		if (!control->ports[number])
			continue;
		response->ports[response->n_ports] = port_entry(control, number);
		if (!response->ports[response->n_ports])
			return false;
		response->n_ports++;
	}
	for (uint32_t i = 0; i < workers; i++) {
		response->workers[i] = worker_entry(control, i, with_ports);
		if (!response->workers[i])
			return false;
		response->n_workers++;
	}
	response->revision = control->revision;
	response->address_conflicts = control_conflict_count(control);
	response->untranslated_messages = engine_untranslated(control->engine);
	response->process = process_stats_collect();
	response->packet_buffers = buffers_entry(control->engine->pool);
	response->audit = audit_stats(control);
	response->store = control_store_stats(control);
	response->api = api_entry(control);
	uplink_devices_add(control, response);
	return response->process && response->packet_buffers && response->audit &&
	       response->store && response->api && add_layers(control, response) &&
	       add_next_hops(control, response) && nat_stats_add(control->tables, response) &&
	       qos_stats_add(control->tables, response) && add_members(control, response);
}

static Sluice__V1__StatsResponse *collected(const struct control *control, bool with_ports)
{
	Sluice__V1__StatsResponse *response = malloc(sizeof(*response));

	if (!response)
		return NULL;
	sluice__v1__stats_response__init(response);
	// A packet is counted after it was sent, and whoever has it may ask.
	engine_settle(control->engine);
	if (collect(control, with_ports, response))
		return response;
	sluice__v1__stats_response__free_unpacked(response, NULL);
	return NULL;
}

Sluice__V1__StatsResponse *stats_collect(const struct control *control)
{
	return collected(control, true);
}

Sluice__V1__StatsResponse *stats_collect_node(const struct control *control)
{
	return collected(control, false);
}

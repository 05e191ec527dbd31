// `sluice trace`: a made-up packet through the same walk that first packets take, with somebody
// listening.

#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"
#include "packet/header.h"
#include "telemetry/telemetry.h"

static void add_step(void *context, const char *layer, const char *text)
{
	Sluice__V1__TraceResponse *response = context;
	Sluice__V1__TraceStep **grown, *step = malloc(sizeof(*step));

	grown = realloc(response->steps, (response->n_steps + 1) * sizeof(*grown));
	if (grown)
		response->steps = grown;
	if (!grown || !step) {
		free(step);
		return;
	}
	sluice__v1__trace_step__init(step);
	step->layer = strdup(layer);
	step->text = strdup(text);
	grown[response->n_steps++] = step;
}

static void say(Sluice__V1__TraceResponse *response, const char *layer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(Sluice__V1__TraceResponse *response, const char *layer, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_step(response, layer, text);
}

static void drop(Sluice__V1__TraceResponse *response, enum drop_reason reason)
{
	response->verdict = strdup("drop");
	response->reason = strdup(drop_reason_name(reason));
}

// The frame's MAC addresses, as the workload's own system would choose them: ARP or ND for what is
// on the link, the gateway for the rest. False: it would not be sent at all, and the response says
// why.
static bool address_frame(const struct tables *tables, const struct network *network,
			  const struct endpoint *source, struct packet *packet,
			  Sluice__V1__TraceResponse *response)
{
	const struct ip_address *to = &packet->destination;
	bool v4 = ip_is_v4(to), on_link = ip_is_link_local(to), has_gateway = false;
	const struct endpoint *endpoint;
	char text[IP_TEXT_SIZE];

	packet->source_mac = source->mac;
	if (ip_is_multicast(to)) {
		packet->destination_mac.bytes[0] = 1;
		return true;
	}
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		const struct subnet *subnet = &network->subnets[i];

		on_link |= ip_in_prefix(to, &subnet->prefix);
		if (!subnet->has_gateway || ip_is_v4(&subnet->gateway) != v4)
			continue;
		has_gateway = true;
		if (!ip_equal(to, &subnet->gateway))
			continue;
		packet->destination_mac = network->gateway_mac;
		return true;
	}
	if (!on_link && has_gateway) {
		packet->destination_mac = network->gateway_mac;
		return true;
	}
	endpoint =
		on_link ? tables_endpoint(tables, tables_find_address(tables, network->domain, to))
			: NULL;
	if (endpoint && endpoint->network == network->number) {
		packet->destination_mac = endpoint->mac;
		return true;
	}
	if (on_link) {
		say(response, "address-resolution",
		    "nobody in network %s has %s: %s is not answered", network->name,
		    ip_format(to, text), v4 ? "ARP" : "ND");
		drop(response, v4 ? DROP_ARP_UNKNOWN : DROP_ND_UNKNOWN);
	} else {
		say(response, "l3", "%s is in no subnet of network %s, and that has no gateway",
		    ip_format(to, text), network->name);
		drop(response, DROP_NO_ROUTE);
	}
	return false;
}

// A packet from a port of another node, as that node would send it here.
static bool address_tunnel(const struct tables *tables, const struct endpoint *source,
			   struct packet *packet, uint16_t *network,
			   Sluice__V1__TraceResponse *response)
{
	uint16_t domain = tables->networks[source->network].domain;
	const struct endpoint *to =
		tables_endpoint(tables, tables_find_address(tables, domain, &packet->destination));
	const char *node = tables->peers[source->peer].name;
	char text[IP_TEXT_SIZE];

	if (!to || to->peer) {
		say(response, "tunnel",
		    "%s is no port of this node: node %s would not send it here",
		    ip_format(&packet->destination, text), node);
		drop(response, DROP_TUNNEL_DESTINATION);
		return false;
	}
	say(response, "tunnel", "from node %s, which judges egress", node);
	*network = to->network;
	packet->source_mac = to->network == source->network ? source->mac : to->gateway_mac;
	packet->destination_mac = to->mac;
	return true;
}

// Is there a connection that the packet belongs to?
static void find_connection(struct control *control, struct walk *walk,
			    Sluice__V1__TraceResponse *response)
{
	const struct flow_key *key = &walk->packet->key;
	struct flow_hash hash = flow_hash(&control->engine->flows->secret, key);
	flow_reference reference;

	engine_read_begin(control->engine);
	reference = flow_table_find(control->engine->flows, key, hash);
	if (reference) {
		const struct flow *flow = flow_table_get(control->engine->flows, reference);

		walk->reply = (reference & 1) == FLOW_REPLY;
		say(response, "connection", "%s a live one, %s",
		    walk->reply ? "a reply in" : "belongs to",
		    flow_state_name(flow->account.state));
	} else {
		say(response, "connection", "new");
	}
	engine_read_end(control->engine);
}

static void judge(struct walk *walk, Sluice__V1__TraceResponse *response)
{
	enum verdict verdict = walk_begin(walk);

	if (verdict == VERDICT_NEXT)
		verdict = walk_run(walk);
	if (verdict == VERDICT_ANSWER && (walk->packet->icmp_type == ICMP_ECHO_REQUEST ||
					  walk->packet->icmp_type == ICMP6_ECHO_REQUEST)) {
		say(response, "gateway", "answers");
		verdict = VERDICT_NEXT;
	}
	if (verdict == VERDICT_NEXT)
		response->verdict = strdup("allow");
	else
		drop(response, verdict == VERDICT_ANSWER ? DROP_GATEWAY : walk->reason);
}

static const struct endpoint *find_port(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, name) == 0)
			return &tables->endpoints[i];
	return NULL;
}

Sluice__V1__TraceResponse *trace_run(struct control *control, const char *port, const char *text,
				     bool *not_found, struct error *err)
{
	const struct tables *tables = control->tables;
	const struct endpoint *source = find_port(tables, port);
	Sluice__V1__TraceResponse *response;
	uint16_t network;
	struct packet packet;
	struct walk walk = {.tables = tables, .packet = &packet, .say = add_step};

	if (!source) {
		*not_found = true;
		error_set(err, "no Port '%s'", port);
		return NULL;
	}
	if (trace_packet_parse(text, &packet, err) < 0)
		return NULL;
	response = malloc(sizeof(*response));
	if (!response) {
		error_set(err, "no memory");
		return NULL;
	}
	sluice__v1__trace_response__init(response);
	walk.say_context = response;
	walk.ingress = (struct ingress){.port = source->port, .peer = source->peer};
	network = source->network;
	if (source->peer
		    ? !address_tunnel(tables, source, &packet, &network, response)
		    : !address_frame(tables, &tables->networks[network], source, &packet, response))
		return response;
	packet.key.network = network;
	find_connection(control, &walk, response);
	judge(&walk, response);
	return response;
}

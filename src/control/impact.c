// What a change would mean for the live connections, before it is made: each of them is walked
// through the layers' own code twice, by the tables in force and by the would-be ones. Only where
// both differ is it the change that matters.
//
// It is done on the control thread in slices, between which other calls are answered. Workers see
// nothing of it.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "control/control.h"
#include "layer/external/external.h"
#include "layer/security_group/tables.h"
#include "model/memory.h"

#define SLICE_US      5000
#define SLICE_FLOWS   256 // between two looks at the clock
#define DEADLINE_MS   20000
#define FIRST_ENDING  20
#define FIRST_CHANGES 20

struct impact {
	TAILQ_ENTRY(impact) entry;
	struct control *control;
	struct tables *then;
	struct rpc_call *call;
	ProtobufCMessage *response;
	Sluice__V1__Impact **place;
	Sluice__V1__Impact *result;
	size_t ending_named;
	struct event *event;
	uint32_t position; // in the connection table
	int64_t deadline;  // microseconds
};

// What becomes of a direction's packets.
struct fate {
	bool passes;
	enum drop_reason reason;
	struct flow_rule rules[2];
	// Where they go, in words that mean the same in any generation.
	struct flow_action action;
	struct mac_address mac;
	uint16_t peer;
	uint16_t network;
};

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct ingress ingress_of(const struct flow_direction *direction)
{
	return (struct ingress){
		.port = (uint16_t)(direction->ingress >> 48),
		.peer = (uint16_t)(direction->ingress >> 32),
	};
}

struct macs {
	struct mac_address list[4];
	unsigned int count;
};

static void macs_add(struct macs *macs, const struct mac_address *mac)
{
	macs->list[macs->count++] = *mac;
}

// The port that has an address, where there is one.
static void macs_add_address(struct macs *macs, const struct tables *tables, uint16_t domain,
			     const struct ip_address *address)
{
	const struct endpoint *endpoint =
		tables_endpoint(tables, tables_find_address(tables, domain, address));

	if (endpoint)
		macs_add(macs, &endpoint->mac);
}

// A packet of the direction as those before it: the connection keeps of its MAC addresses only a
// hash, so it is looked for among those that it can have been. False: they are none of these.
static bool packet_of(const struct tables *tables, const struct flow_direction *direction,
		      struct packet *packet)
{
	const struct network *network = tables_network(tables, direction->key.network);
	struct ingress ingress = ingress_of(direction);
	const struct port_binding *binding = tables_port(tables, ingress.port);
	struct flow_action action = flow_action_get(direction);
	struct macs sources = {.count = 0}, destinations = {.count = 0};

	if (!network || !binding)
		return false;
	*packet = (struct packet){
		.key = direction->key,
		.source = direction->key.source,
		.destination = direction->key.destination,
		.ttl = 64,
	};
	if (binding->endpoint) {
		macs_add(&sources, &tables->endpoints[binding->endpoint].mac);
	} else {
		macs_add_address(&sources, tables, network->domain, &packet->source);
		macs_add(&sources, &network->gateway_mac);
	}
	if (direction->generation == tables_generation(tables) && action.destination &&
	    action.destination < tables->endpoint_count)
		macs_add(&destinations, &tables->endpoints[action.destination].mac);
	macs_add(&destinations, &network->gateway_mac);
	macs_add_address(&destinations, tables, network->domain, &packet->destination);
	for (unsigned int s = 0; s < sources.count; s++)
		for (unsigned int d = 0; d < destinations.count; d++) {
			packet->source_mac = sources.list[s];
			packet->destination_mac = destinations.list[d];
			if (flow_ingress_make(ingress, &packet->destination_mac,
					      &packet->source_mac) == direction->ingress)
				return true;
		}
	return false;
}

// A packet of the flow's direction.
static struct fate judge(const struct tables *tables, const struct packet *packet,
			 const struct flow *flow, enum flow_direction_index direction)
{
	struct ingress ingress = ingress_of(&flow->direction[direction]);
	struct walk walk = {.tables = tables,
			    .packet = packet,
			    .ingress = ingress,
			    .reply = direction == FLOW_REPLY,
			    .other = flow_other_key(flow, direction),
			    .before = flow_action_get(&flow->direction[direction]).flags};
	const struct port_binding *binding = tables_port(tables, ingress.port);
	struct fate fate = {.reason = DROP_PORT_DOWN};

	if (walk.reply)
		walk.brought_by = flow_brought_by(tables, flow);
	// A port that is not this node's any more has no packets.
	if (!binding || (ingress.port != PORT_UPLINK && !binding->endpoint) ||
	    ingress.peer >= tables->peer_count + !tables->peer_count ||
	    (ingress.peer && !tables->peers[ingress.peer].number))
		return fate;
	if (walk_begin(&walk) != VERDICT_NEXT || walk_run(&walk) != VERDICT_NEXT) {
		fate.reason = walk.reason ? walk.reason : DROP_GATEWAY;
		return fate;
	}
	fate.passes = true;
	memcpy(fate.rules, walk.rules, sizeof(fate.rules));
	fate.action = walk.action;
	fate.action.destination = 0;
	fate.mac = walk.destination->mac;
	fate.peer = walk.destination->peer;
	fate.network = walk.destination->network;
	return fate;
}

static bool fate_equal(const struct fate *a, const struct fate *b)
{
	return memcmp(a->rules, b->rules, sizeof(a->rules)) == 0 &&
	       memcmp(&a->action, &b->action, sizeof(a->action)) == 0 &&
	       mac_equal(&a->mac, &b->mac) && a->peer == b->peer && a->network == b->network;
}

// Of the tables themselves: names of numbers that are only in one of both.
static const char *group_name(const struct tables *tables, uint32_t group)
{
	for (unsigned int i = 0; layers[i]; i++) {
		const struct security_group_tables *own = tables->layers[i];

		if (strcmp(layers[i]->name, "security-group") == 0)
			return own && group < own->group_count ? own->names[group] : "-";
	}
	return "-";
}

static char *rules_text(const struct tables *tables, const struct fate *fate)
{
	char text[200] = "";
	size_t length = 0;

	for (unsigned int i = 0; i < 2; i++)
		if (fate->rules[i].group && length < sizeof(text))
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s[%u]",
						   length ? ", " : "",
						   group_name(tables, fate->rules[i].group),
						   fate->rules[i].rule);
	return memory_text(text);
}

static char *protocol_text(uint8_t protocol)
{
	char text[8];

	switch (protocol) {
	case IPPROTO_TCP:
		return memory_text("tcp");
	case IPPROTO_UDP:
		return memory_text("udp");
	case IPPROTO_SCTP:
		return memory_text("sctp");
	case IPPROTO_ICMP:
		return memory_text("icmp");
	case IPPROTO_ICMPV6:
		return memory_text("icmpv6");
	default:
		snprintf(text, sizeof(text), "%u", protocol);
		return memory_text(text);
	}
}

static void name_it(struct impact *impact, const struct flow *flow, const struct fate *now,
		    const struct fate *then)
{
	const struct flow_key *key = &flow->direction[FLOW_ORIGINAL].key;
	const struct network *network = tables_network(impact->control->tables, key->network);
	Sluice__V1__Impact *result = impact->result;
	Sluice__V1__ImpactConnection *named;
	char text[IP_TEXT_SIZE];

	if (then->passes ? result->n_first - impact->ending_named >= FIRST_CHANGES
			 : impact->ending_named >= FIRST_ENDING)
		return;
	named = memory_new(sizeof(*named));
	sluice__v1__impact_connection__init(named);
	named->network = memory_text(network ? network->name : "-");
	named->protocol = protocol_text(key->protocol);
	named->source = memory_text(ip_format(&key->source, text));
	named->source_port = ntohs(key->source_port);
	named->destination = memory_text(ip_format(&key->destination, text));
	named->destination_port = ntohs(key->destination_port);
	named->ends = !then->passes;
	named->rule = rules_text(impact->control->tables, now);
	if (then->passes)
		named->rule_then = rules_text(impact->then, then);
	else
		named->reason = memory_text(drop_reason_name(then->reason));
	impact->ending_named += !then->passes;
	result->first[result->n_first++] = named;
}

static bool visit(const struct flow *flow, void *context)
{
	struct impact *impact = context;
	const struct tables *present = impact->control->tables;
	Sluice__V1__Impact *result = impact->result;
	bool otherwise = false, known = false;
	struct fate first_now = {0}, first_then = {0};

	result->connections++;
	for (unsigned int i = 0; i < 2; i++) {
		const struct flow_direction *direction = &flow->direction[i];
		struct fate now, then;
		struct packet packet;

		if (i == FLOW_REPLY && flow_has(&flow->account, FLOW_ONE_WAY))
			break;
		if (!packet_of(present, direction, &packet))
			continue;
		now = judge(present, &packet, flow, i);
		// It ends by what is in force already, or has never had such packets.
		if (!now.passes && i == FLOW_ORIGINAL)
			return true;
		known = true;
		if (!now.passes)
			continue;
		then = judge(impact->then, &packet, flow, i);
		if (!then.passes) {
			result->ending++;
			name_it(impact, flow, &now, &then);
			return true;
		}
		if (!otherwise && !fate_equal(&now, &then)) {
			otherwise = true;
			first_now = now;
			first_then = then;
		}
	}
	if (otherwise) {
		result->changing++;
		name_it(impact, flow, &first_now, &first_then);
	}
	result->unclear += !known;
	return true;
}

// Those that end come first.
static int compare_named(const void *a, const void *b)
{
	const Sluice__V1__ImpactConnection *const *left = a;
	const Sluice__V1__ImpactConnection *const *right = b;

	return (int)(*right)->ends - (int)(*left)->ends;
}

static void finish(struct impact *impact)
{
	if (impact->event)
		event_free(impact->event);
	TAILQ_REMOVE(&impact->control->impacts, impact, entry);
	impact->control->impact_count--;
	qsort(impact->result->first, impact->result->n_first, sizeof(*impact->result->first),
	      compare_named);
	*impact->place = impact->result;
	rpc_call_reply(impact->call, impact->response);
	protobuf_c_message_free_unpacked(impact->response, NULL);
	tables_free(impact->then);
	free(impact);
}

static void on_slice(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval at_once;
	struct impact *impact = context;
	struct engine *engine = impact->control->engine;
	int64_t start = now_us();

	do {
		engine_read_begin(engine);
		flow_table_visit(engine->flows, &impact->position, SLICE_FLOWS, visit, impact);
		engine_read_end(engine);
	} while (impact->position && now_us() - start < SLICE_US);
	impact->result->incomplete = impact->position && now_us() > impact->deadline;
	if (!impact->position || impact->result->incomplete || !rpc_call_live(impact->call))
		finish(impact);
	else
		event_add(impact->event, &at_once);
}

void impact_begin(struct control *control, struct tables *tables, struct rpc_call *call,
		  ProtobufCMessage *response, Sluice__V1__Impact **place)
{
	struct impact *impact = memory_new(sizeof(*impact));
	static const struct timeval at_once;

	impact->control = control;
	impact->then = tables;
	impact->call = call;
	impact->response = response;
	impact->place = place;
	impact->deadline = now_us() + DEADLINE_MS * INT64_C(1000);
	impact->result = memory_new(sizeof(*impact->result));
	sluice__v1__impact__init(impact->result);
	impact->result->first =
		memory_new((FIRST_ENDING + FIRST_CHANGES) * sizeof(*impact->result->first));
	TAILQ_INSERT_TAIL(&control->impacts, impact, entry);
	control->impact_count++;
	impact->event = evtimer_new(control->base, on_slice, impact);
	if (impact->event && event_add(impact->event, &at_once) == 0)
		return;
	impact->result->incomplete = true;
	finish(impact);
}

void impact_end_all(struct control *control)
{
	struct impact *impact;

	while ((impact = TAILQ_FIRST(&control->impacts))) {
		impact->result->incomplete = true;
		finish(impact);
	}
}

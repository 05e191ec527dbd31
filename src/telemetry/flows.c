// `sluice flows`: the connection table as a stream of messages, once, or followed.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "control/control.h"
#include "telemetry/flow_filter.h"
#include "telemetry/flow_follow.h"
#include "telemetry/telemetry.h"

// Places in the table that are looked at before others get their turn.
#define STEP 32768

// Between two rounds of a follower, by how much there is to look at.
#define PAUSE_MILLISECONDS	 200
#define PAUSE_MILLISECONDS_LARGE 1000
#define LARGE			 65536

#define FOLLOWERS_MAX 8

struct flows_state {
	struct control *control;
	struct rpc_call *call;
	struct event *timer; // pending: nothing before it
	struct flow_filter filter;
	struct flow_follow *follow; // NULL: only what is there
	uint32_t position;
	uint32_t limit, count; // 0: none
	Sluice__V1__Flow message;
	char protocol[8];
	char source[IP_TEXT_SIZE];
	char destination[IP_TEXT_SIZE];
	char rule[160];
	char source_at[160];
	char destination_at[160];
};

static const char *protocol_text(uint8_t protocol, char *text, size_t size)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_SCTP:
		return "sctp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	default:
		snprintf(text, size, "%u", protocol);
		return text;
	}
}

static const char *name_of(const struct numbers *numbers, uint32_t number)
{
	return number <= numbers->max && numbers->names[number] ? numbers->names[number] : "-";
}

static void rule_text(const struct control *control, const struct flow *flow, char *text,
		      size_t size)
{
	size_t length = 0;

	text[0] = 0;
	for (unsigned int i = 0; i < 2; i++) {
		const struct flow_rule *rule = &flow->direction[i].rule;

		if (rule->group && length < size)
			length += (size_t)snprintf(
				text + length, size - length, "%s%s[%u]", length ? ", " : "",
				name_of(&control->numbers.groups, rule->group), rule->rule);
	}
}

// Where the packets of a direction come from.
static char *place_text(const struct control *control, const struct flow_direction *direction,
			char *text, size_t size)
{
	uint16_t port = (uint16_t)(direction->ingress >> 48);
	uint16_t peer = (uint16_t)(direction->ingress >> 32);

	if (port == PORT_UPLINK)
		snprintf(text, size, "uplink/%s", name_of(&control->numbers.nodes, peer));
	else
		snprintf(text, size, "%s", name_of(&control->numbers.ports, port));
	return text;
}

static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void message_fill(struct flows_state *state, const struct flow *flow, const char *event)
{
	const struct control *control = state->control;
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	const struct flow_direction *reply = &flow->direction[FLOW_REPLY];
	const struct flow_key *key = &original->key;
	const struct flow_account *account = &flow->account;
	Sluice__V1__Flow *message = &state->message;
	uint32_t now = engine_now(control->engine);

	sluice__v1__flow__init(message);
	message->network = unconst(name_of(&control->numbers.networks, key->network));
	message->protocol =
		unconst(protocol_text(key->protocol, state->protocol, sizeof(state->protocol)));
	message->source = ip_format(&key->source, state->source);
	message->source_port = ntohs(key->source_port);
	message->destination = ip_format(&key->destination, state->destination);
	message->destination_port = ntohs(key->destination_port);
	message->state = unconst(flow_state_name(flow_state_get(account)));
	message->packets = account->packets[0] + account->packets[1];
	message->bytes = account->bytes[0] + account->bytes[1];
	message->reply_packets = account->packets[FLOW_REPLY];
	message->reply_bytes = account->bytes[FLOW_REPLY];
	message->offloaded = flow_has(account, FLOW_OFFLOADED);
	rule_text(control, flow, state->rule, sizeof(state->rule));
	message->rule = state->rule;
	message->age = now - account->created;
	// A worker may have a later second.
	message->idle = now > account->last_seen ? now - account->last_seen : 0;
	message->source_at =
		place_text(control, original, state->source_at, sizeof(state->source_at));
	message->destination_at =
		place_text(control, reply, state->destination_at, sizeof(state->destination_at));
	message->event = unconst(event);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct flows_state *state = context;

	rpc_call_wake(state->call);
}

static enum rpc_next wait(struct flows_state *state, unsigned int milliseconds)
{
	struct timeval time = {
		.tv_sec = milliseconds / 1000,
		.tv_usec = milliseconds % 1000 * 1000,
	};

	evtimer_add(state->timer, &time);
	return RPC_NEXT_WAIT;
}

static enum rpc_next next_listed(struct flows_state *state)
{
	const struct flow_table *table = state->control->engine->flows;
	uint32_t end = flow_table_end(table);

	for (uint32_t step = 0; state->position < end; step++) {
		struct flow flow;

		if (step == STEP)
			return wait(state, 0);
		if (flow_table_read(table, state->position++, &flow) &&
		    flow_filter_takes(&state->filter, &flow)) {
			message_fill(state, &flow, "");
			return RPC_NEXT_MESSAGE;
		}
	}
	return RPC_NEXT_END;
}

static enum rpc_next next_followed(struct flows_state *state, struct rpc_status *status)
{
	const struct flow_table *table = state->control->engine->flows;
	const char *event;
	struct flow flow;

	switch (flow_follow_next(state->follow, table, &flow, &event)) {
	case FLOW_FOLLOW_EVENT:
		message_fill(state, &flow, event);
		return RPC_NEXT_MESSAGE;
	case FLOW_FOLLOW_LATER:
		return wait(state, 0);
	case FLOW_FOLLOW_REST:
		return wait(state, flow_table_end(table) > LARGE ? PAUSE_MILLISECONDS_LARGE
								 : PAUSE_MILLISECONDS);
	case FLOW_FOLLOW_FULL:
		break;
	}
	rpc_status_set(status, RPC_RESOURCE_EXHAUSTED,
		       "more than %d connections are too many to follow: say which",
		       FLOW_FOLLOW_MAX);
	return RPC_NEXT_END;
}

static enum rpc_next next(void *context, const ProtobufCMessage **message,
			  struct rpc_status *status)
{
	struct flows_state *state = context;
	enum rpc_next result;

	if (state->limit && state->count == state->limit)
		return RPC_NEXT_END;
	if (evtimer_pending(state->timer, NULL))
		return RPC_NEXT_WAIT;
	engine_read_begin(state->control->engine);
	result = state->follow ? next_followed(state, status) : next_listed(state);
	engine_read_end(state->control->engine);
	state->count += result == RPC_NEXT_MESSAGE;
	*message = &state->message.base;
	return result;
}

static void close_state(void *context)
{
	struct flows_state *state = context;

	if (state->follow)
		state->control->flow_followers--;
	flow_follow_free(state->follow);
	if (state->timer)
		event_free(state->timer);
	free(state);
}

static const struct rpc_stream flows_stream = {
	.next = next,
	.close = close_state,
};

void flows_answer(struct control *control, struct rpc_call *call,
		  const Sluice__V1__FlowsRequest *request)
{
	struct flow_filter filter;
	struct flows_state *state;
	enum rpc_code code;
	struct error err;

	if (flow_filter_read(control, request, &filter, &code, &err) < 0) {
		rpc_call_fail(call, code, NULL, "%s", err.text);
		return;
	}
	if (request->follow && control->flow_followers == FOLLOWERS_MAX) {
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
			      "%d callers follow connections already", FOLLOWERS_MAX);
		return;
	}
	state = calloc(1, sizeof(*state));
	if (state) {
		state->timer = evtimer_new(control->base, on_timer, state);
		if (request->follow)
			state->follow = flow_follow_new(&filter, control->engine->flows->max);
	}
	if (!state || !state->timer || (request->follow && !state->follow)) {
		if (state && state->timer)
			event_free(state->timer);
		if (state)
			flow_follow_free(state->follow);
		free(state);
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "no memory");
		return;
	}
	control->flow_followers += request->follow != 0;
	state->control = control;
	state->call = call;
	state->filter = filter;
	state->limit = request->limit;
	state->position = 1;
	rpc_call_stream(call, &flows_stream, state);
}

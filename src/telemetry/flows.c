// `sluice flows`: the connection table as a stream of messages.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/control.h"
#include "telemetry/telemetry.h"

struct flows_state {
	struct control *control;
	uint32_t port; // number, 0: all
	uint32_t position;
	bool started;
	bool found;
	Sluice__V1__Flow message;
	char protocol[8];
	char source[IP_TEXT_SIZE];
	char destination[IP_TEXT_SIZE];
	char rule[160];
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

static char *unconst(const char *text)
{
	return (char *)(uintptr_t)text;
}

static bool visit(const struct flow *flow, void *context)
{
	struct flows_state *state = context;
	const struct control *control = state->control;
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	const struct flow_key *key = &original->key;
	const struct flow_account *account = &flow->account;
	Sluice__V1__Flow *message = &state->message;

	if (state->port && original->ingress >> 48 != state->port &&
	    flow->direction[FLOW_REPLY].ingress >> 48 != state->port)
		return true;
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
	message->offloaded = flow_has(account, FLOW_OFFLOADED);
	rule_text(control, flow, state->rule, sizeof(state->rule));
	message->rule = state->rule;
	message->age = engine_now(control->engine) - account->created;
	state->found = true;
	return false;
}

void *flows_open(struct control *control, const char *port, struct error *err)
{
	struct flows_state *state = calloc(1, sizeof(*state));

	if (!state) {
		error_set(err, "no memory");
		return NULL;
	}
	state->control = control;
	if (port && *port) {
		state->port = numbers_find(&control->numbers.ports, port);
		if (!state->port) {
			error_set(err, "no Port '%s' on node %s", port, control->node);
			free(state);
			return NULL;
		}
	}
	return state;
}

static enum rpc_next next(void *context, const ProtobufCMessage **message,
			  struct rpc_status *status)
{
	struct flows_state *state = context;

	if (state->started && state->position == 0)
		return RPC_NEXT_END;
	state->started = true;
	state->found = false;
	engine_read_begin(state->control->engine);
	do {
		flow_table_visit(state->control->engine->flows, &state->position, 4096, visit,
				 state);
	} while (!state->found && state->position);
	engine_read_end(state->control->engine);
	*message = &state->message.base;
	return state->found ? RPC_NEXT_MESSAGE : RPC_NEXT_END;
}

const struct rpc_stream flows_stream = {
	.next = next,
	.close = free,
};

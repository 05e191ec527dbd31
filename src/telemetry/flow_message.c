#include "telemetry/flow_message.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "control/control.h"

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

static void fill_translation(struct flow_message *state, const struct flow *flow)
{
	const struct flow_key *key = &flow->direction[FLOW_ORIGINAL].key;
	const struct flow_key *back = flow_other_key(flow, FLOW_ORIGINAL);
	Sluice__V1__Flow *message = &state->message;
	struct flow_key leaving;

	if (!back)
		return;
	leaving = flow_key_reverse(back, key->network);
	if (flow_key_equal(&leaving, key))
		return;
	message->translated_source = ip_format(&leaving.source, state->translated_source);
	message->translated_source_port = ntohs(leaving.source_port);
	message->translated_destination =
		ip_format(&leaving.destination, state->translated_destination);
	message->translated_destination_port = ntohs(leaving.destination_port);
}

void flow_message_fill(struct flow_message *state, const struct control *control,
		       const struct flow *flow, const char *event)
{
	Sluice__V1__Flow *message = &state->message;
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	const struct flow_direction *reply = &flow->direction[FLOW_REPLY];
	const struct flow_key *key = &original->key;
	const struct flow_account *account = &flow->account;
	uint32_t now = engine_now(control->engine);

	sluice__v1__flow__init(message);
	message->network = unconst(name_of(&control->numbers.networks, key->network));
	message->protocol =
		unconst(protocol_text(key->protocol, state->protocol, sizeof(state->protocol)));
	message->source = ip_format(&key->source, state->source);
	message->source_port = ntohs(key->source_port);
	message->destination = ip_format(&key->destination, state->destination);
	message->destination_port = ntohs(key->destination_port);
	fill_translation(state, flow);
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

#include "telemetry/flow_filter.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "model/message.h"
#include "model/rule.h"

// A decimal number without sign or leading zeros; what follows it, or NULL.
static const char *number_read(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	if (*text < '0' || *text > '9' || (*text == '0' && text[1] >= '0' && text[1] <= '9'))
		return NULL;
	*number = strtoul(text, &end, 10);
	return *number <= max && end - text <= 10 ? end : NULL;
}

static int ports_read(const char *field, const char *text, struct port_range *range,
		      struct error *err)
{
	unsigned long first = 0, last = UINT16_MAX;

	if (*text) {
		const char *end = number_read(text, UINT16_MAX, &first);

		last = first;
		if (end && *end == '-')
			end = number_read(end + 1, UINT16_MAX, &last);
		if (!end || *end || first > last)
			return error_set(err, "%s: '%.40s' is no port or range, as 80 or 80-81",
					 field, text);
	}
	*range = (struct port_range){(uint16_t)first, (uint16_t)last};
	return 0;
}

static int address_read(const char *field, const char *text, struct address_range *range,
			struct error *err)
{
	struct ip_prefix *prefix = &range->prefix;

	range->given = *text;
	if (!*text)
		return 0;
	if (ip_parse(text, &prefix->address)) {
		prefix->length = 128;
		return 0;
	}
	if (!prefix_parse(text, prefix))
		return error_set(err, "%s: '%.80s' is no address or prefix, as 10.1.0.0/24", field,
				 text);
	if (!prefix_clean(prefix))
		return error_set(err, "%s: '%.80s' has bits behind its prefix length", field, text);
	return 0;
}

static int protocol_read(const char *text, int *protocol, struct error *err)
{
	*protocol = -1;
	if (strcmp(text, "icmpv6") == 0)
		*protocol = IPPROTO_ICMPV6;
	else if (strcmp(text, "icmp") == 0)
		*protocol = IPPROTO_ICMP;
	else if (!rule_protocol_parse(text, protocol))
		return error_set(
			err, "protocol: '%.40s' is none of tcp, udp, sctp, icmp, icmpv6, 0 to 255",
			text);
	return 0;
}

static int state_read(const char *text, int *state, struct error *err)
{
	const char *names[FLOW_STATE_COUNT];
	const char *near;

	*state = -1;
	if (!*text)
		return 0;
	for (int i = 0; i < FLOW_STATE_COUNT; i++) {
		names[i] = flow_state_name((enum flow_state)i);
		if (strcmp(text, names[i]) == 0) {
			*state = i;
			return 0;
		}
	}
	near = nearest_word(text, names, FLOW_STATE_COUNT);
	if (near)
		return error_set(err, "state: there is no state '%.40s', did you mean '%s'?", text,
				 near);
	return error_set(err, "state: there is no state '%.40s' (docs/reference/connections.md)",
			 text);
}

// "web" or "web[3]".
static int rule_read(const struct control *control, const char *text, struct flow_filter *filter,
		     enum rpc_code *code, struct error *err)
{
	const char *bracket = strchr(text, '[');
	size_t length = bracket ? (size_t)(bracket - text) : strlen(text);
	char name[TABLES_NAME_SIZE];
	unsigned long index;
	const char *end;

	filter->rule = -1;
	if (!*text)
		return 0;
	if (bracket) {
		end = number_read(bracket + 1, RULES_MAX - 1, &index);
		if (!end || strcmp(end, "]") != 0)
			return error_set(err, "rule: '%.80s' is neither GROUP nor GROUP[INDEX]",
					 text);
		filter->rule = (int)index;
	}
	if (length < sizeof(name)) {
		memcpy(name, text, length);
		name[length] = 0;
		filter->group = (uint16_t)numbers_find(&control->numbers.groups, name);
	}
	if (filter->group)
		return 0;
	*code = RPC_NOT_FOUND;
	return error_set(err, "no SecurityGroup '%.*s'", (int)(length < 80 ? length : 80), text);
}

int flow_filter_read(const struct control *control, const Sluice__V1__FlowsRequest *request,
		     struct flow_filter *filter, enum rpc_code *code, struct error *err)
{
	*filter = (struct flow_filter){0};
	*code = RPC_INVALID_ARGUMENT;
	filter->offloaded = request->has_offloaded_case ? request->offloaded != 0 : -1;
	if (protocol_read(request->protocol, &filter->protocol, err) < 0 ||
	    address_read("source", request->source, &filter->source, err) < 0 ||
	    address_read("destination", request->destination, &filter->destination, err) < 0 ||
	    address_read("address", request->address, &filter->address, err) < 0 ||
	    ports_read("sourcePort", request->source_port, &filter->source_ports, err) < 0 ||
	    ports_read("destinationPort", request->destination_port, &filter->destination_ports,
		       err) < 0 ||
	    state_read(request->state, &filter->state, err) < 0 ||
	    rule_read(control, request->rule, filter, code, err) < 0)
		return -1;
	*code = RPC_NOT_FOUND;
	if (*request->port) {
		filter->port = (uint16_t)numbers_find(&control->numbers.ports, request->port);
		if (strcmp(request->port, "uplink") == 0)
			filter->port = PORT_UPLINK;
		if (!filter->port)
			return error_set(err, "no Port '%.80s' on node %s", request->port,
					 control->node);
	}
	if (*request->network) {
		filter->network =
			(uint16_t)numbers_find(&control->numbers.networks, request->network);
		if (!filter->network)
			return error_set(err, "no Network '%.80s'", request->network);
	}
	return 0;
}

// IPv4's addresses are none of ::/0.
static bool in_prefix(const struct ip_address *address, const struct address_range *range)
{
	return !range->given || (ip_is_v4(address) == ip_is_v4(&range->prefix.address) &&
				 ip_in_prefix(address, &range->prefix));
}

static bool in_range(uint16_t port, struct port_range range)
{
	return ntohs(port) >= range.first && ntohs(port) <= range.last;
}

static bool has_rule(const struct flow_filter *filter, const struct flow_rule *rule)
{
	return rule->group == filter->group && (filter->rule < 0 || rule->rule == filter->rule);
}

bool flow_filter_takes(const struct flow_filter *filter, const struct flow *flow)
{
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	const struct flow_direction *reply = &flow->direction[FLOW_REPLY];
	const struct flow_key *key = &original->key;

	if (filter->port && original->ingress >> 48 != filter->port &&
	    reply->ingress >> 48 != filter->port)
		return false;
	if (filter->network && key->network != filter->network)
		return false;
	if (filter->protocol >= 0 && key->protocol != filter->protocol)
		return false;
	if (filter->state >= 0 && (int)flow_state_get(&flow->account) != filter->state)
		return false;
	if (filter->offloaded >= 0 &&
	    flow_has(&flow->account, FLOW_OFFLOADED) != (filter->offloaded == 1))
		return false;
	if (filter->group && !has_rule(filter, &original->rule) && !has_rule(filter, &reply->rule))
		return false;
	return in_prefix(&key->source, &filter->source) &&
	       in_prefix(&key->destination, &filter->destination) &&
	       (in_prefix(&key->source, &filter->address) ||
		in_prefix(&key->destination, &filter->address)) &&
	       in_range(key->source_port, filter->source_ports) &&
	       in_range(key->destination_port, filter->destination_ports);
}

// Connections that use a mapping: they take it when they begin, and give it back at their end.

#include "flow/flow.h"
#include "layer/nat/expected.h"
#include "layer/nat/nat.h"
#include "layer/nat/tables.h"

static struct nat_inside inside_of(const struct flow_key *key, uint16_t owner)
{
	return (struct nat_inside){
		.address = key->source,
		.port = key->source_port,
		.network = key->network,
		.owner = owner,
		.protocol = key->protocol,
	};
}

// Of a connection from outside that was expected: as its replies have it.
static struct nat_inside inside_of_expected(const struct walk *walk)
{
	struct flow_key back = flow_key_reverse(&walk->leaving, walk_reply_network(walk));

	return inside_of(&back, walk->destination->port);
}

static bool expected_begins(const struct walk *walk, uint32_t now)
{
	struct nat_mappings *mappings = walk->tables->nat->mappings;
	const struct flow_key *key = &walk->packet->key;
	struct nat_inside inside = inside_of_expected(walk);
	struct nat_choice choice = {
		.address = key->destination,
		.port = key->destination_port,
		.number = walk->mapping,
	};
	struct nat_expected expected;

	if (!nat_mappings_take(mappings, &inside, &choice, now))
		return false;
	if (nat_expected_find(nat_mappings_expectations(mappings), &key->destination,
			      key->destination_port, key->protocol, &key->source, &expected))
		nat_expected_came(nat_mappings_expectations(mappings), &expected, now);
	return true;
}

// From outside, if the other end is the hidden one.
static bool is_expected(const struct flow *flow)
{
	const struct flow_key *original = &flow->direction[FLOW_ORIGINAL].key;
	const struct flow_key *back = &flow->direction[FLOW_REPLY].key;

	return ip_equal(&original->source, &back->destination) &&
	       original->source_port == back->destination_port;
}

bool nat_connection_begins(const struct walk *walk, uint32_t now)
{
	struct nat_inside inside = inside_of(&walk->packet->key, walk->ingress.port);
	struct nat_choice choice = {
		.address = walk->leaving.source,
		.port = walk->leaving.source_port,
		.shared = walk->mapping_shared,
		.number = walk->mapping,
	};

	if (walk->expected)
		return expected_begins(walk, now);
	return nat_mappings_take(walk->tables->nat->mappings, &inside, &choice, now);
}

void nat_connection_fails(const struct walk *walk)
{
	struct nat_mappings *mappings = walk->tables->nat->mappings;
	const struct flow_key *key = &walk->packet->key;
	struct nat_inside inside =
		walk->expected ? inside_of_expected(walk) : inside_of(key, walk->ingress.port);

	if (walk->expected)
		nat_mappings_release(mappings, &inside, &key->destination, key->destination_port,
				     0);
	else
		nat_mappings_release(mappings, &inside, &walk->leaving.source,
				     walk->leaving.source_port, 0);
}

bool nat_connection_adopted(struct nat_mappings *mappings, const struct flow *flow, uint32_t now)
{
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	const struct flow_key *back = &flow->direction[FLOW_REPLY].key;
	bool expected = is_expected(flow);
	struct nat_inside inside =
		expected ? inside_of(back, flow_action_get(original).port)
			 : inside_of(&original->key, (uint16_t)(original->ingress >> 48));
	struct nat_choice choice;

	if (expected)
		back = &original->key;
	choice = (struct nat_choice){
		.address = back->destination,
		.port = back->destination_port,
		.number = nat_mappings_number(mappings, back->network, &back->destination),
	};
	// Of one that turned back here, the other end's network is one inside. Should two external
	// networks have the address, the port is taken in one of them.
	if (!choice.number)
		choice.number = nat_mappings_number(mappings, 0, &back->destination);
	if (!choice.number)
		return false;
	if (nat_mappings_take(mappings, &inside, &choice, now))
		return true;
	// Another inside end has the port, too.
	choice.shared = true;
	return nat_mappings_take(mappings, &inside, &choice, now);
}

static void release(struct nat_mappings *mappings, const struct flow *flow, uint32_t hold)
{
	const struct flow_key *original = &flow->direction[FLOW_ORIGINAL].key;
	const struct flow_key *back = &flow->direction[FLOW_REPLY].key;
	bool expected = is_expected(flow);
	struct nat_inside inside = inside_of(expected ? back : original, 0);

	if (expected)
		back = original;
	nat_mappings_release(mappings, &inside, &back->destination, back->destination_port, hold);
}

void nat_connection_forgotten(struct nat_mappings *mappings, const struct flow *flow)
{
	release(mappings, flow, 0);
}

// The port of an end that has waited in TIME-WAIT need not wait again (RFC 6888 REQ-8).
void nat_connection_ended(void *context, const struct flow *flow)
{
	bool waited = flow_state_get(&flow->account) == FLOW_STATE_TIME_WAIT;

	release(context, flow, waited ? 0 : NAT_HOLD);
}

uint32_t nat_turn(const struct tables *tables, uint32_t worker, uint32_t now)
{
	struct nat_mappings *mappings = tables->nat ? tables->nat->mappings : NULL;

	if (!mappings)
		return 0;
	if (worker == 0)
		nat_expectations_expire(nat_mappings_expectations(mappings), now);
	return nat_mappings_expire(mappings, worker, now);
}

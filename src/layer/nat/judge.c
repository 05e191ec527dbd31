#include "layer/nat/nat.h"

#include "layer/external/external.h"
#include "layer/l3/l3.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/nat/expected.h"
#include "layer/nat/tables.h"
#include "packet/family.h"

// Where something that is sent to an external address goes.
struct target {
	struct ip_address address;
	uint16_t port; // network byte order
	uint16_t domain;
	const char *what, *name;
};

// ---- what is known

static const struct nat *find_nat(const struct nat_tables *nat, uint16_t domain, uint16_t network)
{
	uint32_t found = lookup_find(&nat->by_domain,
				     (struct lookup_key){{nat_place(domain, network), 0, 0}});

	return found ? &nat->nats[found - 1] : NULL;
}

static const struct nat *find_pool(const struct nat_tables *nat, uint16_t network,
				   const struct ip_address *address)
{
	uint32_t found = lookup_find(&nat->by_address, lookup_key_address(network, address));

	return found ? &nat->nats[found - 1] : NULL;
}

static const struct nat_floating *find_external(const struct nat_tables *nat, uint16_t network,
						const struct ip_address *address)
{
	uint32_t found =
		lookup_find(&nat->floating_by_external, lookup_key_address(network, address));

	return found ? &nat->floating[found - 1] : NULL;
}

static const struct nat_floating *find_internal(const struct nat_tables *nat, uint16_t domain,
						uint16_t network, const struct ip_address *address)
{
	uint32_t found = lookup_find(&nat->floating_by_internal,
				     lookup_key_address(nat_place(domain, network), address));

	return found ? &nat->floating[found - 1] : NULL;
}

static const struct nat_forward *find_forward(const struct nat_tables *nat, uint16_t network,
					      const struct flow_key *key)
{
	uint32_t found = lookup_find(
		&nat->forward_by_port,
		nat_forward_key(network, &key->destination, key->protocol, key->destination_port));

	return found ? &nat->forwards[found - 1] : NULL;
}

static bool is_ours(const struct nat_tables *nat, uint16_t network,
		    const struct ip_address *address)
{
	return find_external(nat, network, address) || find_pool(nat, network, address);
}

// Who has, inside, what is an address and a port outside. False: nobody.
static bool find_target(const struct nat_tables *nat, uint16_t network, const struct flow_key *key,
			struct target *target)
{
	const struct nat_floating *floating = find_external(nat, network, &key->destination);
	const struct nat_forward *forward;

	if (floating) {
		*target = (struct target){.address = floating->internal,
					  .port = key->destination_port,
					  .domain = floating->domain,
					  .what = "FloatingIp",
					  .name = floating->name};
		return true;
	}
	forward = find_forward(nat, network, key);
	if (!forward)
		return false;
	*target = (struct target){.address = forward->to,
				  .port = forward->to_port,
				  .domain = nat->nats[forward->nat].domain,
				  .what = "Nat",
				  .name = nat->nats[forward->nat].name};
	return true;
}

// One who has a mapping can be reached by it from inside (RFC 4787 REQ-9).
static bool find_mapped(const struct walk *walk, const struct nat_tables *nat, uint16_t network,
			const struct flow_key *key, struct target *target)
{
	const struct nat *pool = find_pool(nat, network, &key->destination);
	bool query = key->protocol == IPPROTO_ICMP || key->protocol == IPPROTO_ICMPV6;
	struct nat_inside inside;
	const struct network *home;

	if (!pool || !nat->mappings || query ||
	    !nat_mappings_find(nat->mappings, &key->destination, key->destination_port,
			       key->protocol, &inside))
		return false;
	home = tables_network(walk->tables, inside.network);
	if (!home || ip_is_v4(&inside.address) != ip_is_v4(&key->destination))
		return false;
	*target = (struct target){.address = inside.address,
				  .port = inside.port,
				  .domain = home->domain,
				  .what = "Nat",
				  .name = pool->name};
	return true;
}

static void lead(struct walk *walk, const struct target *target)
{
	char from[IP_TEXT_SIZE], to[IP_TEXT_SIZE];

	walk->leaving.destination = target->address;
	walk->leaving.destination_port = target->port;
	walk->domain = target->domain;
	walk_translate(walk);
	walk_say(walk, "%s %s: %s is %s", target->what, target->name,
		 ip_format(&walk->packet->key.destination, from), ip_format(&target->address, to));
}

// One that was announced by a message, from whom it was announced to.
static bool find_expected(struct walk *walk, const struct nat_tables *nat, uint16_t network,
			  const struct flow_key *key, struct target *target)
{
	const struct nat *pool = find_pool(nat, network, &key->destination);
	struct nat_expected expected;
	const struct network *home;

	if (!pool || !nat->mappings ||
	    !nat_expected_find(nat_mappings_expectations(nat->mappings), &key->destination,
			       key->destination_port, key->protocol, &key->source, &expected))
		return false;
	home = tables_network(walk->tables, expected.inside.network);
	if (!home)
		return false;
	*target = (struct target){.address = expected.inside.address,
				  .port = expected.inside.port,
				  .domain = home->domain,
				  .what = "expected by Nat",
				  .name = pool->name};
	// Each depends on who it is.
	walk->unique = true;
	walk->expected = true;
	walk->mapping = expected.number;
	return true;
}

// Does an external end have a mapping to this inside end?
static bool is_mapped(const struct nat_tables *nat, const struct ip_address *address, uint16_t port,
		      uint8_t protocol, const struct ip_address *inside, uint16_t inside_port)
{
	struct nat_inside found;

	return nat->mappings && nat_mappings_find(nat->mappings, address, port, protocol, &found) &&
	       ip_equal(&found.address, inside) && found.port == inside_port;
}

// ---- in front of l3

// What a live connection's packet from outside was translated to, is it still?
static bool holds_in(struct walk *walk, const struct nat_tables *nat)
{
	const struct flow_key *key = &walk->packet->key;
	const struct network *home = tables_network(walk->tables, walk->other->network);
	uint16_t network = walk->network->number;
	const struct nat *pool;
	struct target target;

	if (find_target(nat, network, key, &target))
		return ip_equal(&target.address, &walk->leaving.destination) &&
		       (target.port == walk->leaving.destination_port || walk->reply);
	pool = find_pool(nat, network, &key->destination);
	if (!pool || !home || pool->domain != home->domain)
		return false;
	// One that was expected when it came.
	if (!walk->reply)
		walk->expected =
			is_mapped(nat, &key->destination, key->destination_port, key->protocol,
				  &walk->leaving.destination, walk->leaving.destination_port);
	return walk->reply || walk->expected;
}

// The Nat by which what is sent to the address leaves as IPv4, or NULL.
static const struct nat *find_nat64(const struct nat_tables *nat, uint16_t domain,
				    const struct ip_address *address)
{
	for (uint32_t i = nat->nat64_first; i < nat->nat_count; i++)
		if (nat->nats[i].has_nat64 && nat->nats[i].domain == domain &&
		    ip_in_prefix(address, &nat->nats[i].nat64))
			return &nat->nats[i];
	return NULL;
}

// From IPv6 to an IPv4 address that is written in it (RFC 6146 section 3.5.1).
static enum verdict lead_to_v4(struct walk *walk, const struct nat *by)
{
	const struct flow_key *key = &walk->packet->key;
	char from[IP_TEXT_SIZE], to[IP_TEXT_SIZE];

	walk->leaving = family_key(key, true);
	walk->leaving.destination = family_extract(by->nat64.length, &key->destination);
	if (family_is_forbidden(&by->nat64, &walk->leaving.destination)) {
		walk_say(walk, "Nat %s: %s must not stand for %s", by->name,
			 ip_format(&key->destination, from),
			 ip_format(&walk->leaving.destination, to));
		return walk_drop(walk, DROP_NAT64_ADDRESS);
	}
	walk_translate(walk);
	walk_say(walk, "Nat %s: %s is %s", by->name, ip_format(&key->destination, from),
		 ip_format(&walk->leaving.destination, to));
	return VERDICT_NEXT;
}

// To a member of a LoadBalancer, or its reply.
static bool is_balanced(const struct walk *walk)
{
	return walk->action.flags & FLOW_ACTION_BALANCED ||
	       (walk->reply && balancer_has_address(walk->tables->load_balancers,
						    walk->network->domain, &walk->leaving.source));
}

static enum verdict judge_destination(struct walk *walk, const void *tables)
{
	const struct nat_tables *nat = walk->tables->nat;
	const struct flow_key *key = &walk->packet->key;
	struct target target;
	char text[IP_TEXT_SIZE];

	if (!walk->network->external && walk->other && walk_translates(walk) &&
	    !is_balanced(walk)) {
		// To an end in another Vrf, that both ends see by addresses outside.
		const struct network *home = tables_network(walk->tables, walk->other->network);

		if (home && !home->external)
			walk->domain = home->domain;
		return VERDICT_NEXT;
	}
	if (!walk->network->external && !walk->other && !walk->destination &&
	    nat->nat64_first < nat->nat_count) {
		const struct nat *by = find_nat64(nat, walk->domain, &key->destination);

		return by ? lead_to_v4(walk, by) : VERDICT_NEXT;
	}
	if (!walk->network->external || walk->destination ||
	    !is_ours(nat, walk->network->number, &key->destination))
		return VERDICT_NEXT;
	if (walk->other) {
		if (holds_in(walk, nat))
			return VERDICT_NEXT;
		walk_say(walk, "%s is not translated so any more",
			 ip_format(&key->destination, text));
		return walk_drop(walk, DROP_TRANSLATION_GONE);
	}
	if (!find_target(nat, walk->network->number, key, &target) &&
	    !find_expected(walk, nat, walk->network->number, key, &target)) {
		walk_say(walk, "%s: nobody inside is meant", ip_format(&key->destination, text));
		return walk_drop(walk, DROP_NAT_INBOUND);
	}
	lead(walk, &target);
	return VERDICT_NEXT;
}

// ---- behind it

// What is_free of a mapping is asked with.
struct question {
	const struct walk *walk;
	const struct flow_table *flows;
	uint16_t network; // in which replies are received
};

// A connection that the packet opens anew is no other one.
static bool replies_are_free(const void *context, const struct ip_address *address, uint16_t port)
{
	const struct question *question = context;
	const struct flow_key *key = &question->walk->packet->key;
	struct flow_key leaving = question->walk->leaving, reply;
	flow_reference found;

	leaving.source = *address;
	leaving.source_port = port;
	reply = flow_key_reverse(&leaving, question->network);
	found = flow_table_find(question->flows, &reply,
				flow_hash(&question->flows->secret, &reply));
	return !found ||
	       flow_key_equal(
		       key, &flow_table_get(question->flows, found)->direction[FLOW_ORIGINAL].key);
}

static const struct nat_pool *pool_of(const struct nat *by, const struct ip_address *destination)
{
	return ip_is_v4(destination) ? &by->v4 : &by->v6;
}

// `shift`: of the external end's share (flow/hash.h).
static enum nat_answer choose(struct walk *walk, const struct nat *by, uint8_t shift)
{
	struct nat_mappings *mappings = walk->tables->nat->mappings;
	const struct nat_pool *pool = pool_of(by, &walk->leaving.destination);
	const struct flow_key *key = &walk->packet->key;
	struct nat_inside inside = {
		.address = key->source,
		.port = key->source_port,
		.network = key->network,
		.owner = walk->ingress.port,
		.protocol = key->protocol,
		.shift = shift,
	};
	struct question question = {.walk = walk, .network = walk_reply_network(walk)};
	char from[IP_TEXT_SIZE], to[IP_TEXT_SIZE];
	struct nat_choice choice;
	enum nat_answer answer;

	if (!mappings)
		return NAT_NO_MEMORY;
	question.flows = nat_mappings_flows(mappings);
	answer = nat_mappings_choose(mappings, pool, &inside, replies_are_free, &question, &choice);
	if (answer != NAT_CHOSEN) {
		if (walk->counts)
			nat_mappings_refused(mappings, pool);
		walk_say(walk, "Nat %s: no port is left for %s", by->name,
			 ip_format(&key->source, from));
		return answer;
	}
	walk->leaving.source = choice.address;
	walk->leaving.source_port = choice.port;
	walk->mapping = choice.number;
	walk->mapping_shared = choice.shared;
	walk_translate(walk);
	walk_say(walk, "Nat %s: from %s port %u as %s port %u%s", by->name,
		 ip_format(&key->source, from), ntohs(key->source_port),
		 ip_format(&choice.address, to), ntohs(choice.port),
		 choice.shared ? ", with others" : "");
	return NAT_CHOSEN;
}

bool nat_choose_again(struct walk *walk, uint8_t shift)
{
	const struct nat *by =
		find_pool(walk->tables->nat, walk->mapping_network, &walk->leaving.source);

	return by && choose(walk, by, shift) == NAT_CHOSEN;
}

// What a live connection's packet on its way outside was translated to, is it still?
static bool holds_out(struct walk *walk, const struct nat_tables *nat, uint16_t domain,
		      uint16_t network)
{
	const struct ip_address *source = &walk->packet->key.source;
	const struct ip_address *as = &walk->leaving.source;
	bool family = ip_is_v4(source) != ip_is_v4(as);
	const struct nat_floating *floating =
		family ? NULL : find_internal(nat, domain, network, source);
	const struct nat *pool = find_pool(nat, network, as);
	struct flow_key back = flow_key_reverse(&walk->leaving, network);
	struct target target;

	// A connection to it may be live that is older than the FloatingIp.
	if (ip_equal(source, as))
		return !floating;
	if (floating)
		return ip_equal(&floating->external, as);
	if (!pool || pool->domain != domain)
		return false;
	if (family)
		return find_nat64(nat, domain, &walk->packet->key.destination) == pool;
	if (!walk->reply)
		return true;
	if (find_target(nat, network, &back, &target))
		return ip_equal(&target.address, source) &&
		       target.port == walk->packet->key.source_port;
	walk->expected = is_mapped(nat, as, walk->leaving.source_port, walk->packet->key.protocol,
				   source, walk->packet->key.source_port);
	return walk->expected;
}

static enum verdict translate_source(struct walk *walk)
{
	static const enum drop_reason reasons[] = {
		[NAT_NO_PORT] = DROP_NAT_PORTS,
		[NAT_NO_BLOCK] = DROP_NAT_BLOCKS,
		[NAT_NO_MEMORY] = DROP_NAT_PORTS,
	};
	const struct nat_tables *nat = walk->tables->nat;
	const struct flow_key *key = &walk->packet->key;
	const struct nat_floating *floating;
	const struct nat *by;
	char from[IP_TEXT_SIZE], to[IP_TEXT_SIZE];
	uint16_t network, domain = walk->network->domain;
	bool family = walk->action.flags & FLOW_ACTION_FAMILY;
	enum nat_answer answer;
	struct target target;

	// Only a pool has IPv4 addresses for IPv6.
	if (family && !walk->other && (!walk->destination || !walk->destination->external))
		return walk_drop(walk, DROP_NOT_TRANSLATED);
	// Only who is inside, and on its way outside.
	if (!walk->destination || !walk->destination->external || walk->network->external)
		return VERDICT_NEXT;
	network = walk->destination->network;
	// From a virtual address there, by the connection's own translation.
	if (walk->other && walk->reply &&
	    balancer_has_address(walk->tables->load_balancers,
				 walk->tables->networks[network].domain, &walk->leaving.source))
		return VERDICT_NEXT;
	if (walk->other) {
		if (holds_out(walk, nat, domain, network))
			return VERDICT_NEXT;
		walk_say(walk, "%s is not translated so any more", ip_format(&key->source, from));
		return walk_drop(walk, DROP_TRANSLATION_GONE);
	}
	if (!family && (find_target(nat, network, key, &target) ||
			find_mapped(walk, nat, network, key, &target))) {
		enum verdict verdict;

		walk->destination = NULL;
		lead(walk, &target);
		verdict = l3_layer.judge(walk, NULL);
		if (verdict != VERDICT_NEXT)
			return verdict;
	} else if (is_ours(nat, network, &walk->leaving.destination)) {
		walk_say(walk, "%s: nobody inside is meant", ip_format(&key->destination, to));
		return walk_drop(walk, DROP_NAT_INBOUND);
	}
	floating = family ? NULL : find_internal(nat, domain, network, &key->source);
	if (floating) {
		walk->leaving.source = floating->external;
		walk_translate(walk);
		walk_say(walk, "FloatingIp %s: %s is %s", floating->name,
			 ip_format(&key->source, from), ip_format(&floating->external, to));
		return VERDICT_NEXT;
	}
	by = find_nat(nat, domain, network);
	if (!by || !pool_of(by, &walk->leaving.destination)->count ||
	    (!family && external_find_inside(walk->tables, network, &key->source)))
		return VERDICT_NEXT;
	// It depends on the port that the connection is opened from.
	walk->unique = true;
	walk->mapping_network = network;
	answer = choose(walk, by, 0);
	return answer == NAT_CHOSEN ? VERDICT_NEXT : walk_drop(walk, reasons[answer]);
}

// By the external address that a translated connection has, and the port of its server.
static void help(struct walk *walk, const struct nat_tables *nat)
{
	bool inward = walk->network->external;
	const struct ip_address *address =
		inward ? &walk->packet->key.destination : &walk->leaving.source;
	uint16_t network = inward ? walk->network->number : walk->destination->network;
	const struct nat_floating *floating = find_external(nat, network, address);
	const struct nat *pool = floating ? NULL : find_pool(nat, network, address);
	const struct nat_helpers *helpers = floating ? &floating->helpers
					    : pool   ? &pool->helpers
						     : NULL;
	struct flow_key sent, arrives;

	if (!helpers || !helpers->count)
		return;
	walk_opening(walk, &sent, &arrives);
	if (!nat_helpers_have(helpers, arrives.protocol, arrives.destination_port))
		return;
	walk->action.flags |= FLOW_ACTION_HELPED;
	walk_say(walk, "addresses in messages of %s are translated, too",
		 arrives.protocol == IPPROTO_TCP ? "FTP" : "SIP");
}

static enum verdict judge_source(struct walk *walk, const void *tables)
{
	enum verdict verdict = translate_source(walk);

	// Messages stay as they are where the family changes.
	if (verdict == VERDICT_NEXT && walk_translates(walk) && walk->destination &&
	    !(walk->action.flags & FLOW_ACTION_FAMILY))
		help(walk, walk->tables->nat);
	return verdict;
}

const struct layer nat_destination_layer = {
	.name = "nat-destination",
	.kind = LAYER_DIRECTION,
	.judge = judge_destination,
};

const struct layer nat_source_layer = {
	.name = "nat-source",
	.kind = LAYER_DIRECTION,
	.judge = judge_source,
};

#include "layer/nat/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "layer/external/compile.h"
#include "layer/nat/tables.h"

#define FLOATING_IP SLUICE__V1__OBJECT__KIND_FLOATING_IP
#define NAT	    SLUICE__V1__OBJECT__KIND_NAT
#define NETWORK	    SLUICE__V1__OBJECT__KIND_NETWORK
#define PORT	    SLUICE__V1__OBJECT__KIND_PORT

#define BLOCK_DEFAULT  512
#define BLOCKS_DEFAULT 64
#define NAT64_PREFIX   "64:ff9b::/96" // RFC 6052 section 2.1

static uint16_t network_number(const struct compile *compile, const char *name)
{
	return (uint16_t)numbers_find(&compile->numbers->networks, name);
}

static const struct network *network_of(const struct compile *compile, const char *name)
{
	return tables_network(compile->tables, network_number(compile, name));
}

static void set_name(char to[64], const char *from)
{
	strncpy(to, from, 63);
}

static int claim(const struct compile *compile, uint16_t network, const struct ip_prefix *prefix,
		 struct error *err)
{
	return external_claim_add(compile, network, prefix, err);
}

// Of a Port: the named one, or its first of the family.
static bool address_of(const Sluice__V1__Port *port, const char *named, bool v4,
		       struct ip_address *address)
{
	if (*named)
		return ip_parse(named, address);
	for (size_t i = 0; i < port->n_addresses; i++)
		if (ip_parse(port->addresses[i], address) && ip_is_v4(address) == v4)
			return true;
	return false;
}

static const Sluice__V1__Port *port_of(const struct compile *compile, const char *name)
{
	const Sluice__V1__Object *object = object_set_find(compile->objects, PORT, name);

	return object ? object->port : NULL;
}

static void compile_helpers(Sluice__V1__NatHelper *const *objects, size_t count,
			    struct nat_helpers *helpers)
{
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__NatHelper *object = objects[i];
		bool sip = object->protocol ==
			   SLUICE__V1__NAT_HELPER_PROTOCOL__NAT_HELPER_PROTOCOL_SIP;
		uint32_t usual = sip ? 5060 : 21;
		const uint32_t *ports = object->n_ports ? object->ports : &usual;

		for (size_t j = 0; j < (object->n_ports ? object->n_ports : 1); j++)
			if (helpers->count < 2 * NAT_HELPER_PORTS)
				helpers->of[helpers->count++] = (struct nat_helper){
					.port = htons((uint16_t)ports[j]),
					.protocol = sip ? IPPROTO_UDP : IPPROTO_TCP,
				};
	}
}

// ---- floating addresses

static int compile_floating(struct compile *compile, const Sluice__V1__FloatingIp *object,
			    struct nat_tables *nat, struct error *err)
{
	const Sluice__V1__Port *port = port_of(compile, object->port);
	const struct network *outside = network_of(compile, object->network);
	const struct network *inside = port ? network_of(compile, port->network) : NULL;
	struct nat_floating *entry = &nat->floating[nat->floating_count];
	struct ip_prefix host = {.length = 128};

	// Another node's is that node's.
	if (!port || strcmp(port->node, compile->node) != 0 || !outside || !inside ||
	    !ip_parse(object->address, &entry->external) ||
	    !address_of(port, object->internal_address, ip_is_v4(&entry->external),
			&entry->internal))
		return 0;
	set_name(entry->name, object->name);
	entry->network = outside->number;
	entry->domain = inside->domain;
	compile_helpers(object->helpers, object->n_helpers, &entry->helpers);
	compile->tables->floating = nat->mappings != NULL;
	host.address = entry->external;
	nat->floating_count++;
	if (!lookup_add(&nat->floating_by_external,
			lookup_key_address(entry->network, &entry->external),
			nat->floating_count) ||
	    !lookup_add(
		    &nat->floating_by_internal,
		    lookup_key_address(nat_place(entry->domain, entry->network), &entry->internal),
		    nat->floating_count))
		return compile_no_memory(err);
	return claim(compile, entry->network, &host, err);
}

// ---- pools

static const Sluice__V1__NatPool *own_pool(const struct compile *compile,
					   const Sluice__V1__Nat *object)
{
	for (size_t i = 0; i < object->n_pools; i++)
		if (strcmp(object->pools[i]->node, compile->node) == 0)
			return object->pools[i];
	return NULL;
}

static bool parse_pool_address(const char *text, struct ip_prefix *prefix)
{
	prefix->length = 128;
	return strchr(text, '/') ? prefix_parse(text, prefix) : ip_parse(text, &prefix->address);
}

static uint32_t pool_size(const Sluice__V1__NatPool *pool)
{
	struct ip_prefix prefix;
	uint32_t size = 0;

	for (size_t i = 0; i < pool->n_addresses; i++)
		if (parse_pool_address(pool->addresses[i], &prefix))
			size += 1u << (128 - prefix.length);
	return size;
}

// The `i`th address of a small prefix.
static struct ip_address address_in(const struct ip_prefix *prefix, uint32_t i)
{
	struct ip_address address = prefix->address;

	address.bytes[15] = (uint8_t)(address.bytes[15] + i);
	return address;
}

static int add_prefix(struct compile *compile, struct nat_tables *nat, struct nat *entry,
		      const struct ip_prefix *prefix, uint32_t block, struct error *err)
{
	struct nat_pool *pool = ip_is_v4(&prefix->address) ? &entry->v4 : &entry->v6;

	for (uint32_t i = 0; i < 1u << (128 - prefix->length); i++) {
		struct ip_address address = address_in(prefix, i);
		uint32_t *list = (uint32_t *)(uintptr_t)pool->addresses;

		if (!lookup_add(&nat->by_address, lookup_key_address(entry->network, &address),
				(uint32_t)(entry - nat->nats) + 1))
			return compile_no_memory(err);
		if (!nat->mappings)
			continue;
		list[pool->count] =
			nat_mappings_address(nat->mappings, entry->network, &address, block);
		if (!list[pool->count])
			return error_set(
				err,
				"Nat/%s: all Nats of a node together have more than %d addresses",
				entry->name, NAT_ADDRESSES_MAX - 1);
		pool->count++;
	}
	return claim(compile, entry->network, prefix, err);
}

static int compile_pool(struct compile *compile, const Sluice__V1__Nat *object,
			struct nat_tables *nat, struct nat *entry, struct error *err)
{
	const Sluice__V1__NatPool *pool = own_pool(compile, object);
	uint32_t block = object->has_port_block_case ? object->port_block : BLOCK_DEFAULT;
	uint32_t size = pool ? pool_size(pool) : 0;
	struct ip_prefix prefix;

	entry->v4.blocks_max = entry->v6.blocks_max =
		object->has_max_blocks_case ? object->max_blocks : BLOCKS_DEFAULT;
	entry->addresses = calloc(2 * (size_t)size + 1, sizeof(*entry->addresses));
	if (!entry->addresses)
		return compile_no_memory(err);
	entry->v4.addresses = entry->addresses;
	entry->v6.addresses = entry->addresses + size;
	for (size_t i = 0; pool && i < pool->n_addresses; i++)
		if (parse_pool_address(pool->addresses[i], &prefix) &&
		    add_prefix(compile, nat, entry, &prefix, block, err) < 0)
			return -1;
	return 0;
}

// ---- forwards

static uint8_t protocol_number(Sluice__V1__NatProtocol protocol)
{
	switch (protocol) {
	case SLUICE__V1__NAT_PROTOCOL__NAT_PROTOCOL_UDP:
		return IPPROTO_UDP;
	case SLUICE__V1__NAT_PROTOCOL__NAT_PROTOCOL_SCTP:
		return IPPROTO_SCTP;
	default:
		return IPPROTO_TCP;
	}
}

// The named address, or the pool's first one of a family that the Port has: IPv4 if it can be.
static bool forward_address(const struct compile *compile, const Sluice__V1__Nat *object,
			    const Sluice__V1__NatForward *forward, const Sluice__V1__Port *port,
			    struct ip_address *address, struct ip_address *to)
{
	const Sluice__V1__NatPool *pool = own_pool(compile, object);
	struct ip_prefix prefix;

	if (*forward->address)
		return ip_parse(forward->address, address) &&
		       address_of(port, "", ip_is_v4(address), to);
	for (unsigned int v4 = 2; pool && v4-- > 0;)
		for (size_t i = 0; i < pool->n_addresses; i++) {
			if (!parse_pool_address(pool->addresses[i], &prefix) ||
			    ip_is_v4(&prefix.address) != v4 || !address_of(port, "", v4, to))
				continue;
			*address = prefix.address;
			return true;
		}
	return false;
}

static int compile_forward(struct compile *compile, const Sluice__V1__Nat *object, size_t index,
			   struct nat_tables *nat, uint16_t number, struct error *err)
{
	const Sluice__V1__NatForward *forward = object->forwards[index];
	const Sluice__V1__Port *port = port_of(compile, forward->to);
	struct nat_forward *entry = &nat->forwards[nat->forward_count];
	uint32_t to_port = forward->has_to_port_case ? forward->to_port : forward->port;
	struct ip_address address;

	if (!port || strcmp(port->node, compile->node) != 0 ||
	    !forward_address(compile, object, forward, port, &address, &entry->to))
		return 0;
	entry->nat = number;
	entry->to_port = htons((uint16_t)to_port);
	if (!lookup_add(&nat->forward_by_port,
			nat_forward_key(nat->nats[number].network, &address,
					protocol_number(forward->protocol),
					htons((uint16_t)forward->port)),
			++nat->forward_count))
		return compile_no_memory(err);
	return 0;
}

// ---- all of it

static int compile_nat(struct compile *compile, const Sluice__V1__Nat *object,
		       struct nat_tables *nat, struct error *err)
{
	const struct network *outside = network_of(compile, object->network);
	struct nat *entry = &nat->nats[nat->nat_count];
	char domain[TABLES_NAME_SIZE + 16];

	if (!outside)
		return 0;
	set_name(entry->name, object->name);
	entry->network = outside->number;
	compile_helpers(object->helpers, object->n_helpers, &entry->helpers);
	snprintf(domain, sizeof(domain), "Vrf/%s", object->vrf);
	// Of a Vrf without networks there is none.
	entry->domain = (uint16_t)numbers_find(&compile->numbers->domains, domain);
	nat->nat_count++;
	if (compile_pool(compile, object, nat, entry, err) < 0)
		return -1;
	if (entry->domain &&
	    !lookup_add(&nat->by_domain,
			(struct lookup_key){{nat_place(entry->domain, entry->network), 0, 0}},
			nat->nat_count))
		return compile_no_memory(err);
	for (size_t i = 0; i < object->n_forwards; i++)
		if (compile_forward(compile, object, i, nat, (uint16_t)(nat->nat_count - 1), err) <
		    0)
			return -1;
	if (!object->nat64)
		return 0;
	if (!prefix_parse(*object->nat64->prefix ? object->nat64->prefix : NAT64_PREFIX,
			  &entry->nat64))
		return error_set(err, "Nat/%s: nat64.prefix", object->name);
	entry->has_nat64 = true;
	if (nat->nat64_first == UINT32_MAX)
		nat->nat64_first = nat->nat_count - 1;
	return 0;
}

static size_t count_forwards(const struct compile *compile)
{
	size_t count = 0;

	for (size_t i = 0; i < object_set_count(compile->objects, NAT); i++)
		count += object_set_at(compile->objects, NAT, i)->nat->n_forwards;
	return count;
}

int nats_compile(struct compile *compile, struct error *err)
{
	size_t nats = object_set_count(compile->objects, NAT);
	size_t floating = object_set_count(compile->objects, FLOATING_IP);
	struct nat_tables *nat = calloc(1, sizeof(*nat));

	if (!nat)
		return compile_no_memory(err);
	compile->tables->nat = nat;
	nat->nat64_first = UINT32_MAX;
	nat->mappings = compile->numbers->mappings;
	if (nat->mappings)
		nat_mappings_begin(nat->mappings);
	nat->nats = calloc(nats + 1, sizeof(*nat->nats));
	nat->floating = calloc(floating + 1, sizeof(*nat->floating));
	nat->forwards = calloc(count_forwards(compile) + 1, sizeof(*nat->forwards));
	if (!nat->nats || !nat->floating || !nat->forwards)
		return compile_no_memory(err);
	for (size_t i = 0; i < floating; i++)
		if (compile_floating(compile,
				     object_set_at(compile->objects, FLOATING_IP, i)->floating_ip,
				     nat, err) < 0)
			return -1;
	for (size_t i = 0; i < nats; i++)
		if (compile_nat(compile, object_set_at(compile->objects, NAT, i)->nat, nat, err) <
		    0)
			return -1;
	compile->tables->translates |= nats || floating;
	return 0;
}

void nats_free(struct nat_tables *nat)
{
	if (!nat)
		return;
	for (uint32_t i = 0; nat->nats && i < nat->nat_count; i++)
		free(nat->nats[i].addresses);
	free(nat->nats);
	free(nat->floating);
	free(nat->forwards);
	lookup_free(&nat->by_domain);
	lookup_free(&nat->by_address);
	lookup_free(&nat->floating_by_external);
	lookup_free(&nat->floating_by_internal);
	lookup_free(&nat->forward_by_port);
	free(nat);
}

static bool pool_equal(const struct nat_pool *a, const struct nat_pool *b)
{
	return a->count == b->count && a->blocks_max == b->blocks_max &&
	       (!a->count ||
		memcmp(a->addresses, b->addresses, a->count * sizeof(*a->addresses)) == 0);
}

static bool nat_equal(const struct nat *a, const struct nat *b)
{
	return strncmp(a->name, b->name, sizeof(a->name)) == 0 && a->network == b->network &&
	       a->domain == b->domain && a->has_nat64 == b->has_nat64 &&
	       prefix_equal(&a->nat64, &b->nat64) && pool_equal(&a->v4, &b->v4) &&
	       pool_equal(&a->v6, &b->v6) &&
	       memcmp(&a->helpers, &b->helpers, sizeof(a->helpers)) == 0;
}

void nats_compare(const struct tables *have, const struct tables *want,
		  struct differences *differences)
{
	const struct nat_tables *a = have->nat, *b = want->nat;
	bool same = a->nat_count == b->nat_count;

	for (uint32_t i = 0; same && i < b->nat_count; i++)
		same = nat_equal(&a->nats[i], &b->nats[i]);
	if (!same || !lookup_equal(&a->by_domain, &b->by_domain) ||
	    !lookup_equal(&a->by_address, &b->by_address))
		differences_add(differences, "the Nats");
	same = a->floating_count == b->floating_count;
	for (uint32_t i = 0; same && i < b->floating_count; i++)
		same = memcmp(&a->floating[i], &b->floating[i], sizeof(b->floating[i])) == 0;
	if (!same || !lookup_equal(&a->floating_by_external, &b->floating_by_external) ||
	    !lookup_equal(&a->floating_by_internal, &b->floating_by_internal))
		differences_add(differences, "the floating addresses");
	same = a->forward_count == b->forward_count;
	for (uint32_t i = 0; same && i < b->forward_count; i++)
		same = a->forwards[i].nat == b->forwards[i].nat &&
		       a->forwards[i].to_port == b->forwards[i].to_port &&
		       ip_equal(&a->forwards[i].to, &b->forwards[i].to);
	if (!same || !lookup_equal(&a->forward_by_port, &b->forward_by_port))
		differences_add(differences, "the Nats' forwards");
}

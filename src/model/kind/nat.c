// Checks of Nat: one for a Vrf and an external network, pools of addresses that nobody else has on
// nodes that are there, forwards that don't collide and lead to Ports beside their addresses.

#include <string.h>

#include "model/kind/check.h"
#include "model/object.h"

#define NAT	SLUICE__V1__OBJECT__KIND_NAT
#define NETWORK SLUICE__V1__OBJECT__KIND_NETWORK
#define NODE	SLUICE__V1__OBJECT__KIND_NODE
#define PORT	SLUICE__V1__OBJECT__KIND_PORT
#define VRF	SLUICE__V1__OBJECT__KIND_VRF

// As the data plane has them (layer/nat/ports.h).
#define BLOCK_MIN    64
#define BLOCK_MAX    8192
#define BLOCKS_MAX   1024
#define PREFIX_MIN   120 // 256 addresses
#define POOL_MAX     1024
#define FORWARDS_MAX 1024

// An address, or a prefix. False where it is neither, or not to be used.
static bool pool_address_check(struct check *check, const Sluice__V1__Object *object,
			       const char *field, const char *text, struct ip_prefix *prefix)
{
	if (strchr(text, '/')) {
		if (!check_prefix(check, object, field, text, prefix))
			return false;
	} else {
		if (!check_address(check, object, field, text, &prefix->address))
			return false;
		prefix->length = 128;
	}
	if (prefix->length >= PREFIX_MIN)
		return true;
	problems_add(check->problems, object, field, "%s has more than 256 addresses", text);
	return false;
}

static void pool_check(struct check *check, const Sluice__V1__Object *object, size_t index,
		       bool there)
{
	const Sluice__V1__NatPool *pool = object->nat->pools[index];
	const char *field = CHECK_PATH("pools[%zu].node", index);
	uint32_t total = 0;

	if (check_reference(check, object, field, NODE, pool->node) && there)
		check_external_part(check, object, field,
				    object_set_find(check->set, NETWORK, object->nat->network),
				    pool->node);
	for (size_t i = 0; i < index; i++)
		if (strcmp(object->nat->pools[i]->node, pool->node) == 0)
			problems_add(check->problems, object, field, "'%s' is given twice",
				     pool->node);
	if (!pool->n_addresses)
		problems_add(check->problems, object, CHECK_PATH("pools[%zu].addresses", index),
			     "missing");
	for (size_t i = 0; i < pool->n_addresses; i++) {
		struct ip_prefix prefix;

		field = CHECK_PATH("pools[%zu].addresses[%zu]", index, i);
		if (!pool_address_check(check, object, field, pool->addresses[i], &prefix))
			continue;
		total += 1u << (128 - prefix.length);
		if (there)
			check_external_prefix(check, object, field, object->nat->network, &prefix);
	}
	if (total > POOL_MAX)
		problems_add(check->problems, object, CHECK_PATH("pools[%zu].addresses", index),
			     "more than %d", POOL_MAX);
}

// The pool that has the address, or NULL.
static const Sluice__V1__NatPool *find_pool(const Sluice__V1__Nat *nat,
					    const struct ip_address *address)
{
	for (size_t i = 0; i < nat->n_pools; i++)
		for (size_t j = 0; j < nat->pools[i]->n_addresses; j++) {
			const char *text = nat->pools[i]->addresses[j];
			struct ip_prefix prefix = {.length = 128};

			if ((strchr(text, '/') ? prefix_parse(text, &prefix)
					       : ip_parse(text, &prefix.address)) &&
			    ip_in_prefix(address, &prefix))
				return nat->pools[i];
		}
	return NULL;
}

// The first address of a family in the node's pool.
static bool first_address(const Sluice__V1__Nat *nat, const char *node, bool v4,
			  struct ip_address *address)
{
	for (size_t i = 0; i < nat->n_pools; i++)
		for (size_t j = 0;
		     strcmp(nat->pools[i]->node, node) == 0 && j < nat->pools[i]->n_addresses;
		     j++) {
			const char *text = nat->pools[i]->addresses[j];
			struct ip_prefix prefix;

			if (strchr(text, '/') ? prefix_parse(text, &prefix)
					      : ip_parse(text, &prefix.address)) {
				*address = prefix.address;
				if (ip_is_v4(address) == v4)
					return true;
			}
		}
	return false;
}

static unsigned int families_of(const Sluice__V1__Port *port)
{
	struct ip_address address;
	unsigned int families = 0;

	for (size_t i = 0; i < port->n_addresses; i++)
		if (ip_parse(port->addresses[i], &address))
			families |= ip_is_v4(&address) ? 1 : 2;
	return families;
}

static const Sluice__V1__Port *target_check(struct check *check, const Sluice__V1__Object *object,
					    size_t index)
{
	const char *name = object->nat->forwards[index]->to;
	const char *field = CHECK_PATH("forwards[%zu].to", index);
	const Sluice__V1__Object *port, *network;

	if (!check_reference(check, object, field, PORT, name))
		return NULL;
	port = object_set_find(check->set, PORT, name);
	network = object_set_find(check->set, NETWORK, port->port->network);
	if (!network || strcmp(network->network->vrf, object->nat->vrf) == 0)
		return port->port;
	problem_other(problems_add(check->problems, object, field,
				   "can't be reached: Port/%s is in Network/%s, which is not in "
				   "Vrf/%s",
				   name, port->port->network, object->nat->vrf),
		      port, "network");
	return NULL;
}

// Sets the external address. False: there is none that the forward could be for, which is reported.
static bool forward_address(struct check *check, const Sluice__V1__Object *object, size_t index,
			    const Sluice__V1__Port *port, struct ip_address *address)
{
	const Sluice__V1__NatForward *forward = object->nat->forwards[index];
	const char *field = CHECK_PATH("forwards[%zu].address", index);
	const Sluice__V1__NatPool *pool;
	unsigned int families = port ? families_of(port) : 0;

	if (!*forward->address) {
		if (port &&
		    !((families & 1 && first_address(object->nat, port->node, true, address)) ||
		      (families & 2 && first_address(object->nat, port->node, false, address)))) {
			problems_add(
				check->problems, object, CHECK_PATH("forwards[%zu].to", index),
				"Node/%s, which has Port/%s, has no address of its family in a "
				"pool",
				port->node, port->name);
			return false;
		}
		return port;
	}
	if (!check_address(check, object, field, forward->address, address))
		return false;
	pool = find_pool(object->nat, address);
	if (!pool) {
		problems_add(check->problems, object, field, "%s is in no pool of this Nat",
			     forward->address);
		return false;
	}
	if (port && strcmp(pool->node, port->node) != 0) {
		problems_add(check->problems, object, field,
			     "%s is Node/%s's, and Port/%s is on Node/%s", forward->address,
			     pool->node, port->name, port->node);
		return false;
	}
	if (port && !(families & (ip_is_v4(address) ? 1 : 2))) {
		problems_add(check->problems, object, CHECK_PATH("forwards[%zu].to", index),
			     "Port/%s has no %s address", port->name,
			     ip_is_v4(address) ? "IPv4" : "IPv6");
		return false;
	}
	return true;
}

static void forward_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			  struct key_map *seen)
{
	const Sluice__V1__NatForward *forward = object->nat->forwards[index];
	const Sluice__V1__Port *port = target_check(check, object, index);
	struct {
		struct ip_address address;
		uint32_t protocol, port;
	} key = {.protocol = forward->protocol ? forward->protocol : 1, .port = forward->port};
	char text[IP_TEXT_SIZE];

	check_port_number(check, object, CHECK_PATH("forwards[%zu].port", index), forward->port);
	if (forward->has_to_port_case)
		check_port_number(check, object, CHECK_PATH("forwards[%zu].toPort", index),
				  forward->to_port);
	if (!forward_address(check, object, index, port, &key.address))
		return;
	if (key_map_add(seen, &key, sizeof(key), object))
		problems_add(check->problems, object, CHECK_PATH("forwards[%zu]", index),
			     "port %u of %s is given twice", forward->port,
			     ip_format(&key.address, text));
}

static void blocks_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Nat *nat = object->nat;

	if (nat->has_port_block_case &&
	    (nat->port_block < BLOCK_MIN || nat->port_block > BLOCK_MAX ||
	     nat->port_block & (nat->port_block - 1)))
		problems_add(check->problems, object, "portBlock",
			     "%u is not 64, 128 and so on up to 8192", nat->port_block);
	if (nat->has_max_blocks_case && (nat->max_blocks < 1 || nat->max_blocks > BLOCKS_MAX))
		problems_add(check->problems, object, "maxBlocks", "%u is not 1 to %d",
			     nat->max_blocks, BLOCKS_MAX);
}

// RFC 6052 section 2.2.
static void nat64_check(struct check *check, const Sluice__V1__Object *object)
{
	const char *text = object->nat->nat64->prefix;
	struct ip_prefix prefix;
	bool v4 = false;

	for (size_t i = 0; i < object->nat->n_pools; i++)
		for (size_t j = 0; j < object->nat->pools[i]->n_addresses; j++)
			v4 |= !strchr(object->nat->pools[i]->addresses[j], ':');
	if (!v4)
		problems_add(check->problems, object, "nat64",
			     "no pool has an IPv4 address to translate to");
	if (!*text || !check_prefix(check, object, "nat64.prefix", text, &prefix))
		return;
	if (prefix_is_v4(&prefix))
		problems_add(check->problems, object, "nat64.prefix", "%s is not IPv6", text);
	else if (prefix.length != 96 &&
		 (prefix.length < 32 || prefix.length > 64 || prefix.length % 8))
		problems_add(check->problems, object, "nat64.prefix",
			     "the length of %s is not 32, 40, 48, 56, 64 or 96", text);
	else if (prefix.length == 96 && prefix.address.bytes[8])
		problems_add(check->problems, object, "nat64.prefix",
			     "bits 64 to 71 of %s are not zero", text);
}

static void one_nat_check(struct check *check, const Sluice__V1__Object *object,
			  struct key_map *places)
{
	const Sluice__V1__Nat *nat = object->nat;
	bool vrf = check_reference(check, object, "vrf", VRF, nat->vrf);
	bool there = check_external_reference(check, object, "network", nat->network);
	struct key_map *seen = key_map_new();

	if (vrf && there) {
		char key[CHECK_PATH_SIZE];
		const Sluice__V1__Object *other;

		check_path(key, "%s %s", nat->vrf, nat->network);
		other = key_map_add(places, key, strlen(key), object);
		if (other)
			problem_other(problems_add(check->problems, object, "network",
						   "Nat/%s translates from Vrf/%s to Network/%s "
						   "already",
						   object_name(other), nat->vrf, nat->network),
				      other, "network");
	}
	if (!nat->n_pools)
		problems_add(check->problems, object, "pools", "missing");
	for (size_t i = 0; i < nat->n_pools; i++)
		pool_check(check, object, i, there);
	blocks_check(check, object);
	if (nat->n_forwards > FORWARDS_MAX)
		problems_add(check->problems, object, "forwards", "more than %d", FORWARDS_MAX);
	for (size_t i = 0; i < nat->n_forwards && i < FORWARDS_MAX; i++)
		forward_check(check, object, i, seen);
	if (nat->nat64)
		nat64_check(check, object);
	check_nat_helpers(check, object, nat->helpers, nat->n_helpers);
	key_map_free(seen);
}

void nat_check(struct check *check)
{
	struct key_map *places = key_map_new();

	for (size_t i = 0; i < check_count(check, NAT); i++)
		one_nat_check(check, check_at(check, NAT, i), places);
	key_map_free(places);
}

#include "layer/load_balancer/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/maglev.h"
#include "layer/external/compile.h"
#include "layer/load_balancer/load_balancer.h"

#define LOAD_BALANCER SLUICE__V1__OBJECT__KIND_LOAD_BALANCER

static const Sluice__V1__LoadBalancer *balancer_at(const struct compile *compile, size_t place)
{
	return object_set_at(compile->objects, LOAD_BALANCER, place)->load_balancer;
}

static enum balancer_family family_of(const struct ip_address *address)
{
	return ip_is_v4(address) ? BALANCER_V4 : BALANCER_V6;
}

// FNV-1a.
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	for (const uint8_t *byte = data; size; size--)
		hash = (hash ^ *byte++) * 0x100000001b3;
	return hash;
}

#define HASH_START 0xcbf29ce484222325

static void add_address(struct balancer_member *member, const char *text)
{
	struct ip_address address;
	enum balancer_family family;

	if (!ip_parse(text, &address))
		return;
	family = family_of(&address);
	if (member->has[family])
		return;
	member->has[family] = true;
	member->addresses[family] = address;
}

static void compile_member(const struct compile *compile, const Sluice__V1__Member *object,
			   struct balancer_member *member)
{
	const Sluice__V1__Object *port;

	member->weight = object->has_weight_case ? object->weight : 1;
	member->drains = object->drain;
	if (object->member_case == SLUICE__V1__MEMBER__MEMBER_ADDRESS) {
		add_address(member, object->address);
		ip_format(&member->addresses[member->has[BALANCER_V4] ? BALANCER_V4 : BALANCER_V6],
			  member->name);
		return;
	}
	snprintf(member->name, sizeof(member->name), "%s", object->port);
	port = object_set_find(compile->objects, SLUICE__V1__OBJECT__KIND_PORT, object->port);
	for (size_t i = 0; port && i < port->port->n_addresses; i++)
		add_address(member, port->port->addresses[i]);
}

// Those that drain keep their places, so that they get them back.
static uint64_t list_shares(const struct load_balancer *balancer, enum balancer_family family,
			    struct maglev_member *shares)
{
	uint64_t origin = HASH_START;

	for (uint32_t i = 0; i < balancer->member_count; i++) {
		const struct balancer_member *member = &balancer->members[i];

		shares[i] = (struct maglev_member){
			.identity = hash_bytes(HASH_START, member->name, strlen(member->name)),
			.weight = member->has[family] ? member->weight : 0,
		};
		origin = hash_bytes(origin, &shares[i].identity, sizeof(shares[i].identity));
		origin = hash_bytes(origin, &shares[i].weight, sizeof(shares[i].weight));
	}
	return origin;
}

static bool compile_spread(struct load_balancer *balancer, const struct load_balancer *before,
			   enum balancer_family family, struct maglev_member *shares)
{
	uint64_t origin = list_shares(balancer, family, shares), weights = 0;
	struct balancer_spread *spread = before ? before->spreads[family] : NULL;
	uint32_t size = balancer->member_count > BALANCER_SMALL_MAX ? BALANCER_SPREAD_LARGE
								    : BALANCER_SPREAD_SMALL;

	for (uint32_t i = 0; i < balancer->member_count; i++)
		weights += shares[i].weight;
	if (!weights)
		return true;
	if (spread && spread->origin == origin && spread->size == size) {
		spread->references++;
		balancer->spreads[family] = spread;
		return true;
	}
	spread = malloc(sizeof(*spread) + size * sizeof(*spread->members));
	balancer->spreads[family] = spread;
	if (!spread)
		return false;
	spread->references = 1;
	spread->size = size;
	spread->origin = origin;
	return maglev_fill(spread->members, size, shares, balancer->member_count);
}

static uint8_t protocol_of(const Sluice__V1__BalancedPort *port)
{
	switch (port->protocol) {
	case SLUICE__V1__BALANCED_PROTOCOL__BALANCED_PROTOCOL_UDP:
		return IPPROTO_UDP;
	case SLUICE__V1__BALANCED_PROTOCOL__BALANCED_PROTOCOL_SCTP:
		return IPPROTO_SCTP;
	default:
		return IPPROTO_TCP;
	}
}

static bool compile_balancer(const struct compile *compile, size_t place,
			     struct load_balancer *balancer)
{
	const Sluice__V1__LoadBalancer *object = balancer_at(compile, place);
	const struct load_balancer *before =
		compile_kept(compile, LOAD_BALANCER, place)
			? &compile->previous->load_balancers->balancer[place]
			: NULL;
	struct maglev_member *shares = calloc(object->n_members + 1, sizeof(*shares));
	bool made = shares;

	snprintf(balancer->name, sizeof(balancer->name), "%s", object->name);
	balancer->by_client = object->affinity == SLUICE__V1__AFFINITY__AFFINITY_CLIENT_ADDRESS;
	for (uint32_t i = 0; i < object->n_ports; i++)
		balancer->has_datagrams |= protocol_of(object->ports[i]) == IPPROTO_UDP;
	snprintf(balancer->health_path, sizeof(balancer->health_path), "%s",
		 object->health_check && *object->health_check->path ? object->health_check->path
								     : "/");
	balancer->member_count = (uint32_t)object->n_members;
	balancer->members = calloc(object->n_members + 1, sizeof(*balancer->members));
	if (!balancer->members) {
		free(shares);
		return false;
	}
	for (uint32_t i = 0; made && i < balancer->member_count; i++) {
		struct balancer_member *member = &balancer->members[i];

		compile_member(compile, object->members[i], member);
		for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
			if (member->has[family])
				made &= lookup_add(
					&balancer->by_address,
					lookup_key_address(0, &member->addresses[family]), i + 1);
	}
	for (unsigned int family = 0; made && family < BALANCER_FAMILIES; family++)
		made = compile_spread(balancer, before, family, shares);
	free(shares);
	return made;
}

// With all ports.
static bool enter_address(struct load_balancers *balancers, const Sluice__V1__LoadBalancer *object,
			  uint32_t first, uint16_t domain, const struct ip_address *address)
{
	if (!lookup_add(&balancers->addresses, lookup_key_address(domain, address), 1))
		return false;
	for (uint32_t i = 0; i < object->n_ports; i++)
		if (!lookup_add(&balancers->services,
				balancer_service_key(domain, protocol_of(object->ports[i]),
						     htons((uint16_t)object->ports[i]->port),
						     address),
				first + i + 1))
			return false;
	return true;
}

// On an external network; several LoadBalancers may have it there.
static bool enter_outside(const struct compile *compile, const Sluice__V1__LoadBalancer *object,
			  uint32_t first, const struct ip_address *address, struct error *err)
{
	struct load_balancers *balancers = compile->tables->load_balancers;
	const struct network *network = tables_network(
		compile->tables, numbers_find(&compile->numbers->networks, object->network));

	if (!network)
		return true;
	if (!balancer_has_address(balancers, network->domain, address) &&
	    external_claim_share(compile, network->number, address, err) < 0)
		return false;
	return enter_address(balancers, object, first, network->domain, address);
}

// Virtual addresses with their ports.
static bool compile_services(const struct compile *compile, size_t place,
			     struct load_balancers *balancers, struct error *err)
{
	const Sluice__V1__LoadBalancer *object = balancer_at(compile, place);
	uint32_t first = balancers->service_count;
	char vrf[TABLES_NAME_SIZE + 16];
	uint16_t domain;

	snprintf(vrf, sizeof(vrf), "Vrf/%s", object->vrf);
	domain = (uint16_t)numbers_get(&compile->numbers->domains, vrf);
	if (!domain)
		return false;
	for (size_t i = 0; i < object->n_ports; i++) {
		const Sluice__V1__BalancedPort *port = object->ports[i];

		balancers->service[balancers->service_count++] = (struct balanced_service){
			.balancer = (uint32_t)place,
			.member_port =
				htons((uint16_t)(port->has_member_port_case ? port->member_port
									    : port->port)),
		};
	}
	balancers->balancer[place].domain = domain;
	for (size_t a = 0; a < object->n_addresses; a++) {
		struct ip_address address;

		if (!ip_parse(object->addresses[a], &address))
			continue;
		balancers->balancer[place].serves[family_of(&address)] = true;
		if (!enter_address(balancers, object, first, domain, &address) ||
		    (*object->network && !enter_outside(compile, object, first, &address, err)))
			return false;
	}
	return true;
}

int load_balancers_compile(const struct compile *compile, struct error *err)
{
	struct load_balancers *balancers = calloc(1, sizeof(*balancers));
	uint32_t count = (uint32_t)object_set_count(compile->objects, LOAD_BALANCER);
	size_t services = 0;

	compile->tables->load_balancers = balancers;
	compile->tables->translates |= count > 0;
	if (!balancers)
		return compile_no_memory(err);
	for (uint32_t i = 0; i < count; i++)
		services += balancer_at(compile, i)->n_ports;
	balancers->balancer = calloc(count + (size_t)1, sizeof(*balancers->balancer));
	balancers->service = calloc(services + 1, sizeof(*balancers->service));
	if (!balancers->balancer || !balancers->service)
		return compile_no_memory(err);
	for (; balancers->count < count; balancers->count++)
		if (!compile_balancer(compile, balancers->count,
				      &balancers->balancer[balancers->count]) ||
		    !compile_services(compile, balancers->count, balancers, err)) {
			balancers->count++;
			return error_set(err, "LoadBalancer/%s: no memory, or more than 65535 Vrfs",
					 balancer_at(compile, balancers->count - 1)->name);
		}
	return member_probes_compile(compile, err);
}

void load_balancers_free(struct load_balancers *balancers)
{
	if (!balancers)
		return;
	for (uint32_t i = 0; i < balancers->count; i++) {
		struct load_balancer *balancer = &balancers->balancer[i];

		for (unsigned int family = 0; family < BALANCER_FAMILIES; family++)
			if (balancer->spreads[family] &&
			    --balancer->spreads[family]->references == 0)
				free(balancer->spreads[family]);
		lookup_free(&balancer->by_address);
		free(balancer->members);
	}
	lookup_free(&balancers->addresses);
	lookup_free(&balancers->probes_by_number);
	lookup_free(&balancers->probes_by_identity);
	free(balancers->probes);
	free(balancers->nodes);
	lookup_free(&balancers->services);
	free(balancers->balancer);
	free(balancers->service);
	free(balancers);
}

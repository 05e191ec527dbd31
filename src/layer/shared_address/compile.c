#include "layer/shared_address/compile.h"

#include <stdlib.h>

struct claim {
	struct ip_address address;
	uint32_t endpoint;
	uint16_t domain;
};

static int compare_claims(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = (int)x->domain - (int)y->domain;

	if (!order)
		order = memcmp(&x->address, &y->address, sizeof(x->address));
	if (!order)
		order = x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
	return order;
}

// All claims of host addresses, in order, each once.
static uint32_t collect(const struct tables *tables, struct claim *claims)
{
	uint32_t count = 0, kept = 0;

	for (uint32_t i = 0; i < tables->allowed_count; i++)
		if (tables->allowed[i].prefix.length == 128)
			claims[count++] =
				(struct claim){.address = tables->allowed[i].prefix.address,
					       .endpoint = tables->allowed[i].endpoint,
					       .domain = tables->allowed[i].domain};
	if (count)
		qsort(claims, count, sizeof(*claims), compare_claims);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || compare_claims(&claims[kept - 1], &claims[i]) != 0)
			claims[kept++] = claims[i];
	return kept;
}

static int add_shared(struct compile *compile, const struct claim *claims, uint32_t count,
		      struct error *err)
{
	struct tables *tables = compile->tables;
	struct shared_address *shared = &tables->shared[tables->shared_count++];
	char text[IP_TEXT_SIZE];

	shared->address = claims->address;
	shared->domain = claims->domain;
	shared->candidates = calloc(count, sizeof(*shared->candidates));
	if (!shared->candidates)
		return compile_no_memory(err);
	for (uint32_t i = 0; i < count; i++)
		shared->candidates[shared->candidate_count++] = claims[i].endpoint;
	shared->owner =
		address_owners_get(&compile->numbers->owners, claims->domain, &claims->address);
	if (!shared->owner)
		return error_set(err, "%s: more than %u addresses that several ports may use",
				 ip_format(&claims->address, text), ADDRESS_OWNERS_MAX);
	return 0;
}

static int add_claims(struct compile *compile, const struct claim *claims, uint32_t count,
		      struct error *err)
{
	struct tables *tables = compile->tables;
	struct lookup_key key = lookup_key_address(claims->domain, &claims->address);
	uint32_t value = claims->endpoint;

	// Somebody's own address.
	if (lookup_find(&tables->by_address, key))
		return 0;
	if (count > 1) {
		if (add_shared(compile, claims, count, err) < 0)
			return -1;
		value = TABLES_SHARED | tables->shared_count;
	}
	return lookup_add(&tables->by_address, key, value) ? 0 : compile_no_memory(err);
}

static int compare_nodes(const void *a, const void *b)
{
	const struct domain_node *x = a, *y = b;

	return x->domain != y->domain ? (int)x->domain - (int)y->domain
				      : (int)x->peer - (int)y->peer;
}

// Which nodes have to know who owns the addresses: those with ports in their domain.
static int find_nodes(struct tables *tables, struct error *err)
{
	struct domain_node *nodes = calloc(tables->endpoint_count, sizeof(*nodes));
	uint32_t count = 0, kept = 0;

	tables->domain_nodes = nodes;
	if (!nodes)
		return compile_no_memory(err);
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (tables->endpoints[i].peer)
			nodes[count++] = (struct domain_node){
				.domain = tables->networks[tables->endpoints[i].network].domain,
				.peer = tables->endpoints[i].peer};
	if (count)
		qsort(nodes, count, sizeof(*nodes), compare_nodes);
	for (uint32_t i = 0; i < count; i++)
		if (!kept || compare_nodes(&nodes[kept - 1], &nodes[i]) != 0)
			nodes[kept++] = nodes[i];
	for (uint32_t i = 0; i < tables->shared_count; i++) {
		struct shared_address *shared = &tables->shared[i];

		while (shared->first_node < kept &&
		       nodes[shared->first_node].domain < shared->domain)
			shared->first_node++;
		while (shared->first_node + shared->node_count < kept &&
		       nodes[shared->first_node + shared->node_count].domain == shared->domain)
			shared->node_count++;
		// The next one is of the same domain or a later one.
		if (i + 1 < tables->shared_count)
			shared[1].first_node = shared->first_node;
	}
	return 0;
}

int shared_addresses_compile(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	struct claim *claims = calloc(tables->allowed_count + 1, sizeof(*claims));
	uint32_t count, end;
	int result = 0;

	tables->shared = calloc(tables->allowed_count / 2 + 1, sizeof(*tables->shared));
	if (!claims || !tables->shared) {
		free(claims);
		return compile_no_memory(err);
	}
	count = collect(tables, claims);
	for (uint32_t first = 0; first < count && result == 0; first = end) {
		for (end = first + 1; end < count && claims[end].domain == claims[first].domain &&
				      ip_equal(&claims[end].address, &claims[first].address);
		     end++)
			;
		result = add_claims(compile, claims + first, end - first, err);
	}
	free(claims);
	if (result == 0 && tables->shared_count)
		result = find_nodes(tables, err);
	return result;
}

void shared_addresses_free(struct tables *tables)
{
	for (uint32_t i = 0; tables->shared && i < tables->shared_count; i++)
		free(tables->shared[i].candidates);
	free(tables->shared);
	free(tables->domain_nodes);
}

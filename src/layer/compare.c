#include "layer/compare.h"

#include <stdarg.h>
#include <stdio.h>

#include "layer/allowed_address/compile.h"
#include "layer/external/compile.h"
#include "layer/load_balancer/compile.h"
#include "layer/nat/compile.h"
#include "layer/route/compile.h"
#include "layer/walk.h"

void differences_add(struct differences *differences, const char *format, ...)
{
	va_list args;

	differences->count++;
	if (differences->named == DIFFERENCES_NAMED)
		return;
	va_start(args, format);
	vsnprintf(differences->texts[differences->named++], DIFFERENCE_SIZE, format, args);
	va_end(args);
}

bool lookup_equal(const struct lookup *a, const struct lookup *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; a->count && i <= a->mask; i++)
		if (a->entries[i].value && lookup_find(b, a->entries[i].key) != a->entries[i].value)
			return false;
	// Entries may be damaged so that they are found no more.
	for (uint32_t i = 0; b->count && i <= b->mask; i++)
		if (b->entries[i].value && lookup_find(a, b->entries[i].key) != b->entries[i].value)
			return false;
	return true;
}

static bool lists_equal(const uint32_t *a, uint32_t a_count, const uint32_t *b, uint32_t b_count)
{
	return a_count == b_count && (!a_count || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

static bool idle_times_equal(const uint32_t *a, const uint32_t *b)
{
	if (!a || !b)
		return a == b;
	return memcmp(a, b, FLOW_STATE_COUNT * sizeof(*a)) == 0;
}

static bool network_equal(const struct network *a, const struct network *b)
{
	if (a->number != b->number || a->domain != b->domain || a->routed != b->routed ||
	    a->mtu != b->mtu || a->vni != b->vni || a->external != b->external ||
	    a->vlan != b->vlan || !mac_equal(&a->gateway_mac, &b->gateway_mac) ||
	    a->mid_stream_pickup != b->mid_stream_pickup || a->window_check != b->window_check ||
	    a->multicast_rate != b->multicast_rate || a->multicast_burst != b->multicast_burst ||
	    a->receivers_stamp != b->receivers_stamp || a->subnet_count != b->subnet_count ||
	    !idle_times_equal(a->idle_times, b->idle_times))
		return false;
	for (uint32_t i = 0; i < a->subnet_count; i++) {
		const struct subnet *x = &a->subnets[i], *y = &b->subnets[i];

		if (!prefix_equal(&x->prefix, &y->prefix) || x->has_gateway != y->has_gateway ||
		    (x->has_gateway && !ip_equal(&x->gateway, &y->gateway)))
			return false;
	}
	return lists_equal(a->local, a->local_count, b->local, b->local_count) &&
	       lists_equal(a->remote, a->remote_count, b->remote, b->remote_count);
}

static bool compare_networks(const struct tables *have, const struct tables *want,
			     struct differences *differences)
{
	if (have->network_count != want->network_count) {
		differences_add(differences, "there are %u networks instead of %u",
				have->network_count, want->network_count);
		return false;
	}
	for (uint32_t i = 0; i < want->network_count; i++) {
		const struct network *x = &have->networks[i], *y = &want->networks[i];

		if (strncmp(x->name, y->name, sizeof(x->name)) != 0 || !network_equal(x, y))
			differences_add(differences, "Network/%s", y->name);
		if (have->times.count && have->times.by_network[i] != x->idle_times)
			differences_add(differences, "Network/%s: idle times", y->name);
	}
	if (have->times.count != want->times.count)
		differences_add(differences, "idle times of networks");
	return true;
}

static bool prefixes_equal(const struct domain_prefix *a, uint32_t a_count,
			   const struct domain_prefix *b, uint32_t b_count)
{
	if (a_count != b_count)
		return false;
	for (uint32_t i = 0; i < a_count; i++)
		if (a[i].domain != b[i].domain || a[i].endpoint != b[i].endpoint ||
		    !prefix_equal(&a[i].prefix, &b[i].prefix))
			return false;
	return true;
}

static bool detail_equal(const struct endpoint_detail *a, const struct endpoint_detail *b)
{
	if (strncmp(a->name, b->name, sizeof(a->name)) != 0 ||
	    a->address_count != b->address_count || a->allowed_count != b->allowed_count ||
	    a->group_count != b->group_count || !ip_equal(&a->link_local, &b->link_local))
		return false;
	for (uint32_t i = 0; i < a->address_count; i++)
		if (!ip_equal(&a->addresses[i], &b->addresses[i]))
			return false;
	for (uint32_t i = 0; i < a->allowed_count; i++)
		if (!prefix_equal(&a->allowed[i], &b->allowed[i]))
			return false;
	for (uint32_t i = 0; i < a->group_count; i++)
		if (a->groups[i] != b->groups[i])
			return false;
	return true;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return mac_equal(&a->mac, &b->mac) && mac_equal(&a->gateway_mac, &b->gateway_mac) &&
	       a->vni == b->vni && a->peer == b->peer && a->port == b->port &&
	       a->network == b->network && a->mtu == b->mtu;
}

static bool compare_endpoints(const struct tables *have, const struct tables *want,
			      struct differences *differences)
{
	if (have->endpoint_count != want->endpoint_count || have->port_count != want->port_count) {
		differences_add(differences,
				"there are %u Ports, %u of this node's numbers "
				"instead of %u, %u",
				have->endpoint_count - 1, have->port_count,
				want->endpoint_count - 1, want->port_count);
		return false;
	}
	for (uint32_t i = 1; i < want->endpoint_count; i++)
		if (!endpoint_equal(&have->endpoints[i], &want->endpoints[i]) ||
		    !detail_equal(&have->details[i], &want->details[i]))
			differences_add(differences, "Port/%s", want->details[i].name);
	for (uint32_t i = 1; i < want->port_count; i++) {
		const struct port_binding *x = &have->ports[i], *y = &want->ports[i];

		if (x->endpoint != y->endpoint || x->parent != y->parent || x->vlan != y->vlan ||
		    memcmp(&x->limits, &y->limits, sizeof(x->limits)) != 0)
			differences_add(differences, "%s: port number %u",
					tables_port_name(want, i), i);
	}
	return true;
}

static void compare_peers(const struct tables *have, const struct tables *want,
			  struct differences *differences)
{
	const struct underlay *a = &have->underlay, *b = &want->underlay;

	if (have->peer_count != want->peer_count) {
		differences_add(differences, "there are %u nodes instead of %u", have->peer_count,
				want->peer_count);
		return;
	}
	for (uint32_t i = 0; i < want->peer_count; i++) {
		const struct peer *x = &have->peers[i], *y = &want->peers[i];

		if (strncmp(x->name, y->name, sizeof(x->name)) != 0 || x->number != y->number ||
		    !ip_equal(&x->vtep, &y->vtep) || x->next_hop != y->next_hop ||
		    x->path != y->path || x->header_size != y->header_size || x->v4 != y->v4 ||
		    x->ipv4_sum != y->ipv4_sum ||
		    memcmp(x->header, y->header, sizeof(x->header)) != 0)
			differences_add(differences, "Node/%s", y->name);
	}
	if (a->present != b->present || a->has_gateway != b->has_gateway || a->mtu != b->mtu ||
	    !mac_equal(&a->mac, &b->mac) || a->neighbour_count != b->neighbour_count ||
	    (a->present && !prefix_equal(&a->vtep, &b->vtep)) ||
	    (a->has_gateway && !ip_equal(&a->gateway, &b->gateway)))
		differences_add(differences, "the underlay");
	else
		for (uint32_t i = 0; i < b->neighbour_count; i++)
			if (a->neighbour[i] != b->neighbour[i])
				differences_add(differences, "the underlay's next hops");
}

static bool shared_equal(const struct shared_address *a, const struct shared_address *b)
{
	return ip_equal(&a->address, &b->address) && a->domain == b->domain &&
	       a->owner == b->owner && a->first_node == b->first_node &&
	       a->node_count == b->node_count &&
	       lists_equal(a->candidates, a->candidate_count, b->candidates, b->candidate_count);
}

static void compare_shared(const struct tables *have, const struct tables *want,
			   struct differences *differences)
{
	uint32_t end = 0;

	if (have->shared_count != want->shared_count) {
		differences_add(differences, "there are %u shared addresses instead of %u",
				have->shared_count, want->shared_count);
		return;
	}
	for (uint32_t i = 0; i < want->shared_count; i++) {
		char text[IP_TEXT_SIZE];

		if (!shared_equal(&have->shared[i], &want->shared[i])) {
			differences_add(differences, "the shared address %s",
					ip_format(&want->shared[i].address, text));
			return;
		}
		if (end < want->shared[i].first_node + want->shared[i].node_count)
			end = want->shared[i].first_node + want->shared[i].node_count;
	}
	for (uint32_t i = 0; i < end; i++)
		if (have->domain_nodes[i].domain != want->domain_nodes[i].domain ||
		    have->domain_nodes[i].peer != want->domain_nodes[i].peer)
			differences_add(differences, "nodes that share addresses");
}

static void compare_lookups(const struct tables *have, const struct tables *want,
			    struct differences *differences)
{
	const struct {
		const char *name;
		const struct lookup *have, *want;
	} lookups[] = {
		{"MAC addresses", &have->by_mac, &want->by_mac},
		{"addresses", &have->by_address, &want->by_address},
		{"gateways", &have->by_gateway, &want->by_gateway},
		{"VNIs", &have->by_vni, &want->by_vni},
		{"tunnel addresses", &have->by_vtep, &want->by_vtep},
		{"VLANs", &have->by_vlan, &want->by_vlan},
		{"next hops", &have->underlay.neighbours, &want->underlay.neighbours},
	};

	for (size_t i = 0; i < sizeof(lookups) / sizeof(*lookups); i++)
		if (!lookup_equal(lookups[i].have, lookups[i].want))
			differences_add(differences, "the map of %s", lookups[i].name);
	if (!prefixes_equal(have->subnets, have->subnet_count, want->subnets, want->subnet_count))
		differences_add(differences, "the list of subnets");
	if (!prefixes_equal(have->allowed, have->allowed_count, want->allowed, want->allowed_count))
		differences_add(differences, "the list of allowed addresses");
	if (!allowed_addresses_equal(have, want))
		differences_add(differences, "the map of allowed addresses");
}

void tables_compare(const struct tables *have, const struct tables *want,
		    struct differences *differences)
{
	bool networks = compare_networks(have, want, differences);
	bool endpoints = compare_endpoints(have, want, differences);

	compare_peers(have, want, differences);
	compare_shared(have, want, differences);
	compare_lookups(have, want, differences);
	// What follows is found by their numbers.
	if (!networks || !endpoints)
		return;
	services_compare(have, want, differences);
	externals_compare(have, want, differences);
	nats_compare(have, want, differences);
	routes_compare(have, want, differences);
	load_balancers_compare(have, want, differences);
	for (unsigned int i = 0; layers[i]; i++)
		if (layers[i]->compare)
			layers[i]->compare(have->layers[i], want->layers[i], want, differences);
}

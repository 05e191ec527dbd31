#include "layer/multicast/receivers.h"

#include <arpa/inet.h>
#include <stdlib.h>

// Can packets of the network reach the node? The same that the tunnel layer asks.
static bool is_reachable(const struct tables *tables, const struct network *network, uint16_t peer)
{
	return tables->underlay.present && network->vni && tables->peers[peer].number &&
	       tables->peers[peer].next_hop;
}

struct receiver {
	uint16_t peer; // 0: this node
	uint16_t port;
	uint32_t endpoint;
};

static int compare(const void *a, const void *b)
{
	const struct receiver *x = a, *y = b;

	if (x->peer != y->peer)
		return (int)x->peer - (int)y->peer;
	if (x->port != y->port)
		return (int)x->port - (int)y->port;
	return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static void stamp(struct network *network, uint32_t number)
{
	network->receivers_stamp = (network->receivers_stamp ^ number) * 0x9e3779b1u;
	network->receivers_stamp ^= network->receivers_stamp >> 15;
}

static bool fill(const struct tables *tables, struct network *network,
		 const struct receiver *receivers, uint32_t count)
{
	network->local = calloc(count, sizeof(*network->local));
	network->remote = calloc(count, sizeof(*network->remote));
	if (!network->local || !network->remote)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (!receivers[i].peer)
			network->local[network->local_count++] = receivers[i].endpoint;
		else if ((i == 0 || receivers[i].peer != receivers[i - 1].peer) &&
			 is_reachable(tables, network, receivers[i].peer))
			network->remote[network->remote_count++] = receivers[i].endpoint;
	}
	network->receivers_stamp = 1;
	for (uint32_t i = 0; i < network->local_count; i++)
		stamp(network, tables->endpoints[network->local[i]].port);
	for (uint32_t i = 0; i < network->remote_count; i++)
		stamp(network, 0x10000u + tables->endpoints[network->remote[i]].peer);
	return true;
}

// `ends` by network number: where its receivers end in the array.
static bool fill_all(struct tables *tables, struct receiver *receivers, uint32_t *ends)
{
	uint32_t first = 0;

	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		ends[tables->endpoints[i].network]++;
	for (uint32_t n = 0, sum = 0; n < tables->network_count; n++) {
		uint32_t count = ends[n];

		ends[n] = sum;
		sum += count;
	}
	for (uint32_t i = 1; i < tables->endpoint_count; i++) {
		const struct endpoint *endpoint = &tables->endpoints[i];

		receivers[ends[endpoint->network]++] =
			(struct receiver){endpoint->peer, endpoint->port, i};
	}
	for (uint32_t n = 0; n < tables->network_count; n++) {
		uint32_t count = ends[n] - first;

		if (!count)
			continue;
		qsort(receivers + first, count, sizeof(*receivers), compare);
		if (!fill(tables, &tables->networks[n], receivers + first, count))
			return false;
		first = ends[n];
	}
	return true;
}

bool receivers_compile(struct tables *tables)
{
	struct receiver *receivers = calloc(tables->endpoint_count, sizeof(*receivers));
	uint32_t *ends = calloc((size_t)tables->network_count + 1, sizeof(*ends));
	bool made = receivers && ends && fill_all(tables, receivers, ends);

	free(receivers);
	free(ends);
	return made;
}

uint32_t receivers_remote(const struct tables *tables, const struct network *network, uint16_t peer)
{
	uint32_t first = 0, end = network->remote_count;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (tables->endpoints[network->remote[middle]].peer < peer)
			first = middle + 1;
		else
			end = middle;
	}
	return first < network->remote_count &&
			       tables->endpoints[network->remote[first]].peer == peer
		       ? network->remote[first]
		       : 0;
}

enum receivers receivers_of(const struct ip_address *destination)
{
	if (ip_is_v4(destination)) {
		uint32_t address = ntohl(destination->words[3]);

		// RFC 4541 section 2.1.2: groups on the link go to all ports.
		return address >> 28 == 14 && address >> 8 != 0xe00000 ? RECEIVERS_MEMBERS
								       : RECEIVERS_ALL;
	}
	if (destination->bytes[0] != 0xff)
		return RECEIVERS_ALL;
	// RFC 4291 section 2.7, RFC 4541 section 3: reserved and interface-local scope stay where
	// they are; link-local groups go to all ports, because not every system reports them.
	switch (destination->bytes[1] & 15) {
	case 0:
	case 1:
		return RECEIVERS_NONE;
	case 2:
		return RECEIVERS_ALL;
	default:
		return RECEIVERS_MEMBERS;
	}
}

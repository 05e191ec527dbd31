// What the layers judge by and the fast path rewrites with: compiled from the objects, never
// changed afterwards, swapped as a whole under RCU. Numbers of networks, ports, nodes and groups
// stay the same from one generation to the next as long as the object exists; indices of endpoints
// do not.

#pragma once

#include "base/lookup.h"
#include "flow/table.h"
#include "port/port.h"

struct allowed_addresses;
struct externals;
struct nat_tables;
struct neighbour;
struct address_owner;
struct router_schedule;
struct qos_tables;
struct load_balancers;
struct routes;
struct services;

// Port number of the uplink; 0 is none.
#define PORT_UPLINK 1
// The host's own interface beside an uplink of DPDK's.
#define PORT_HOST 2

#define TABLES_NAME_SIZE 64

struct subnet {
	struct ip_prefix prefix;
	struct ip_address gateway;
	bool has_gateway;
};

struct network {
	char name[TABLES_NAME_SIZE];
	uint16_t number; // 0: a free place
	uint16_t domain; // number of the routing domain: networks of one Vrf share it
	bool routed;
	bool external; // on the uplink; its gateways are this node's own addresses
	uint16_t vlan; // there; 0: no tag
	uint16_t mtu;
	uint32_t vni; // 0: stays inside the node
	struct mac_address gateway_mac;
	// Of the connections that are opened in it.
	bool mid_stream_pickup;
	bool window_check;
	uint32_t *idle_times; // seconds by enum flow_state; NULL: the usual ones
	struct subnet *subnets;
	uint32_t subnet_count;
	// Who gets copies of what is for everybody: endpoints of this node's ports, by port number;
	// and one endpoint of each node that has ports here and can be reached, by node number.
	uint32_t *local;
	uint32_t local_count;
	uint32_t *remote;
	uint32_t remote_count;
	uint32_t receivers_stamp; // another one as soon as others are in these lists
	uint32_t multicast_rate;  // packets a second and sending port
	uint32_t multicast_burst;
};

// A Port of any node, as the fast path needs it to send there.
struct endpoint {
	struct mac_address mac;
	struct mac_address gateway_mac; // of its network
	uint32_t vni;			// in host byte order
	uint16_t peer;			// number of its node; 0: this node
	uint16_t port;			// port number; PORT_UPLINK where the node is another
	uint16_t network;
	uint16_t mtu;  // of its network, or less if the tunnel to its node has less room
	bool external; // a router on an external network: see external_hop_of
};

// Who uses what is shared by several generations of the tables.
struct endpoint_lists {
	uint32_t references; // control thread
};

// The same Port, as only the layers need it.
struct endpoint_detail {
	char name[TABLES_NAME_SIZE];
	struct endpoint_lists *lists; // the memory of the following three
	struct ip_address *addresses;
	struct ip_prefix *allowed; // further source prefixes
	uint16_t *groups;	   // numbers of its security groups
	uint32_t address_count;
	uint32_t allowed_count;
	uint32_t group_count;
	struct ip_address link_local; // made from the MAC address (RFC 4291 appendix A)
};

// How many connections may be opened from a port; of the uplink, by each node behind it.
struct connection_limits {
	uint32_t connections; // 0: as many as there is room for still
	uint32_t half_open;   // 0: half of that
	uint32_t rate;	      // new ones a second; 0: any number
	uint32_t burst;	      // of them at once
};

// A port of this node: where packets come in and go out.
struct port_binding {
	struct port *port;		// NULL while the device can't be opened
	uint32_t first_worker;		// queue q is that of worker (first_worker + q) % workers
	uint32_t endpoint;		// 0 for the uplink
	uint16_t parent;		// the port that has the device, where this is a VLAN on it
	uint16_t vlan;			// 0: no VLAN
	struct port_counters *counters; // one a worker
	struct router_schedule *schedule; // of router advertisements to it
	struct connection_limits limits;
};

// Another node: how to get a packet there.
struct peer {
	char name[TABLES_NAME_SIZE];
	uint16_t number; // 0: a free place
	struct ip_address vtep;
	struct neighbour *next_hop; // NULL: the underlay has no route to it
	struct neighbour *path;	    // of its tunnel address: what the way there carries
	// Outer headers up to and with VXLAN; lengths, source port, VNI and destination MAC are
	// filled in per packet.
	uint8_t header[72];
	uint8_t header_size;
	bool v4;
	uint32_t ipv4_sum; // checksum of the outer IPv4 header without its length
};

struct underlay {
	bool present;
	struct ip_prefix vtep; // own address with its link's prefix
	struct ip_address gateway;
	bool has_gateway;
	struct mac_address mac;
	uint16_t mtu;		  // bytes of an IP packet; 0: not known yet
	struct lookup neighbours; // (0, address) to index + 1 in the array below
	struct neighbour **neighbour;
	uint32_t neighbour_count;
};

struct poll_entry {
	uint16_t port; // number
	uint16_t queue;
	bool offload; // its connections may go on in the kernel
};

// What one worker receives from.
struct poll_list {
	struct poll_entry *entries;
	uint32_t count;
};

// A subnet or allowed prefix of a routing domain, for what is no exact address.
struct domain_prefix {
	uint16_t domain;
	uint32_t endpoint; // 0: a subnet
	struct ip_prefix prefix;
};

// An address that several Ports may use.
struct shared_address {
	struct ip_address address;
	uint16_t domain;
	struct address_owner *owner; // kept from generation to generation
	uint32_t *candidates;	     // endpoints, in order
	uint32_t candidate_count;
	uint32_t first_node; // who has to know: in domain_nodes
	uint32_t node_count;
};

// A node with ports in a routing domain.
struct domain_node {
	uint16_t domain;
	uint16_t peer;
};

// In by_address: the rest of the number is the index + 1 of a shared address.
#define TABLES_SHARED 0x80000000

// In the order of layers.c.
#define LAYER_MAX 16

struct tables {
	uint32_t generation;	  // never 0; see tables_generation
	struct network *networks; // by number
	uint32_t network_count;
	struct endpoint *endpoints; // from 1 on
	struct endpoint_detail *details;
	uint32_t endpoint_count;    // of Ports; those of routers outside are behind
	struct port_binding *ports; // by number
	uint32_t port_count;
	struct peer *peers; // by number
	uint32_t peer_count;
	struct underlay underlay;
	struct poll_list *polls; // by worker
	uint32_t worker_count;

	// There are objects by which connections are translated.
	bool translates;
	bool floating; // this node has FloatingIps

	struct lookup by_mac;	       // (network, MAC) to endpoint
	struct lookup by_address;      // (domain, address) to endpoint or shared address
	struct lookup by_gateway;      // (domain, address) to network number
	struct lookup by_vni;	       // (VNI) to network number
	struct lookup by_vtep;	       // (0, address) to peer number
	struct lookup by_vlan;	       // (port, VLAN) to port number
	struct domain_prefix *subnets; // by domain, then by address; they do not overlap
	uint32_t subnet_count;
	struct domain_prefix *allowed; // as the Ports have them
	uint32_t allowed_count;
	struct allowed_addresses *allowed_addresses; // the same, to be searched

	struct flow_times times;   // of networks that have idle times of their own
	struct services *services; // DHCP, DHCPv6, router advertisements
	struct routes *routes;
	struct qos_tables *qos; // of its layer; NULL: there are no policies
	struct externals *externals;
	struct nat_tables *nat;
	struct load_balancers *load_balancers;
	struct shared_address *shared;
	uint32_t shared_count;
	struct domain_node *domain_nodes; // by domain

	void *layers[LAYER_MAX]; // each layer's own
};

// Grows when connections are to be judged anew without other tables: when an address moves from one
// port to another. Whoever judges reads it before all else.
static inline uint32_t tables_generation(const struct tables *tables)
{
	return __atomic_load_n(&tables->generation, __ATOMIC_ACQUIRE);
}

static inline const struct network *tables_network(const struct tables *tables, uint32_t number)
{
	return number < tables->network_count && tables->networks[number].number
		       ? &tables->networks[number]
		       : NULL;
}

// NULL for 0.
static inline const struct endpoint *tables_endpoint(const struct tables *tables, uint32_t index)
{
	return index ? &tables->endpoints[index] : NULL;
}

static inline const struct endpoint_detail *tables_detail(const struct tables *tables,
							  const struct endpoint *endpoint)
{
	return &tables->details[endpoint - tables->endpoints];
}

static inline const struct port_binding *tables_port(const struct tables *tables, uint32_t number)
{
	return number < tables->port_count ? &tables->ports[number] : NULL;
}

// For people.
static inline const char *tables_port_name(const struct tables *tables, uint32_t number)
{
	const struct port_binding *binding = tables_port(tables, number);

	if (!binding || !binding->endpoint)
		return number == PORT_UPLINK ? "uplink" : "uplink-host";
	return tables->details[binding->endpoint].name;
}

// The port whose packets come through `port` with this tag, or 0.
static inline uint16_t tables_find_vlan(const struct tables *tables, uint16_t port, uint16_t vlan)
{
	return (uint16_t)lookup_find(&tables->by_vlan, (struct lookup_key){{port, vlan, 0}});
}

static inline uint32_t tables_find_mac(const struct tables *tables, uint16_t network,
				       const struct mac_address *mac)
{
	return lookup_find(&tables->by_mac, lookup_key_mac(network, mac));
}

// shared_address/find.c: the endpoint that owns a shared address at the moment, or 0.
uint32_t tables_owner(const struct tables *tables, const struct shared_address *shared);
bool tables_is_candidate(const struct tables *tables, const struct shared_address *shared,
			 const struct endpoint *endpoint);

static inline uint32_t tables_find_address(const struct tables *tables, uint16_t domain,
					   const struct ip_address *address)
{
	uint32_t found = lookup_find(&tables->by_address, lookup_key_address(domain, address));

	return __builtin_expect(found & TABLES_SHARED, 0)
		       ? tables_owner(tables, &tables->shared[(found & ~TABLES_SHARED) - 1])
		       : found;
}

// NULL where the address is nobody's or one port's.
static inline const struct shared_address *
tables_find_shared(const struct tables *tables, uint16_t domain, const struct ip_address *address)
{
	uint32_t found = lookup_find(&tables->by_address, lookup_key_address(domain, address));

	return found & TABLES_SHARED ? &tables->shared[(found & ~TABLES_SHARED) - 1] : NULL;
}

// The address that Sluice speaks from in the network: its gateway's IPv4 address, or 0.0.0.0 where
// it has none; the link-local IPv6 address of the gateway's MAC address.
struct ip_address network_own_address(const struct network *network, bool v4);

// The subnet of a routing domain that holds the address, or NULL.
const struct domain_prefix *tables_find_subnet(const struct tables *tables, uint16_t domain,
					       const struct ip_address *address);

// Frames of connections between one client and one server. They differ in their ports alone, which
// no IPv4 checksum has in it, so that one is made by a copy and two words; where the client has
// many addresses, in these, too. What a Nat makes of the client is seen from its first packets.

#include <arpa/inet.h>

#include "packet/header.h"
#include "pipeline.h"

#define CLIENT_PORTS 60000
#define CLIENT_FIRST 1025
#define SERVER_FIRST 5000
#define FRAME_MIN    60 // without what the wire adds

#define VNI 5001

// Nothing that is measured looks whether it is right; zero would mean that there is none.
#define UDP_CHECKSUM 0x5555

static const struct mac_address macs[] = {{{0x52, 0x54, 0, 0, 0, 1}}, {{0x52, 0x54, 0, 0, 0, 2}}};
static const struct mac_address uplink_mac = {{0x02, 0, 0, 0, 0, 0xaa}};

static void put16(uint8_t *data, uint16_t value)
{
	data[0] = (uint8_t)(value >> 8);
	data[1] = (uint8_t)value;
}

static uint8_t *put_ethernet(uint8_t *at, const struct mac_address *destination,
			     const struct mac_address *source, uint16_t type)
{
	memcpy(at, destination, 6);
	memcpy(at + 6, source, 6);
	put16(at + 12, type);
	return at + ETHERNET_HEADER_SIZE;
}

static uint8_t *put_ipv4(uint8_t *at, const uint8_t source[4], const uint8_t destination[4],
			 uint8_t protocol, uint32_t payload)
{
	uint16_t checksum;

	at[0] = 0x45;
	put16(at + 2, (uint16_t)(IPV4_HEADER_SIZE + payload));
	at[8] = 64;
	at[9] = protocol;
	memcpy(at + 12, source, 4);
	memcpy(at + 16, destination, 4);
	checksum = checksum_finish(checksum_add(0, at, IPV4_HEADER_SIZE));
	memcpy(at + 10, &checksum, 2);
	return at + IPV4_HEADER_SIZE;
}

// What the side that sends calls itself and the other one; the client outside is put in by packet.
static void find_addresses(const struct pipeline_options *options, enum side side,
			   uint8_t source[16], uint8_t destination[16])
{
	static const char *const client[2] = {"10.1.0.11", "fd00:1::11"},
				 *const outside[2] = {"198.18.0.0", "2001:db8:f::"},
				 *const local[2] = {"10.1.0.12", "fd00:1::12"},
				 *const member[2] = {"10.4.0.12", "fd00:4::12"},
				 *const virtual[2] = {"10.3.0.1", "fd00:3::1"},
				 *const far[2] = {"203.0.113.9", "2001:db8:9::9"};
	int family = options->ipv6 ? AF_INET6 : AF_INET;
	const char *server = options->nat ? far[options->ipv6] : local[options->ipv6];
	const char *opener = client[options->ipv6];

	if (options->balance)
		server = side == SIDE_CLIENT ? virtual[options->ipv6] : member[options->ipv6];
	if (options->nat && side == SIDE_SERVER)
		opener = outside[options->ipv6];
	inet_pton(family, side == SIDE_CLIENT ? opener : server, source);
	inet_pton(family, side == SIDE_CLIENT ? server : opener, destination);
}

static uint8_t *put_ip(uint8_t *at, const struct pipeline_options *options, enum side side,
		       uint32_t payload)
{
	uint8_t protocol = options->protocol, source[16], destination[16];

	find_addresses(options, side, source, destination);
	if (!options->ipv6)
		return put_ipv4(at, source, destination, protocol, payload);
	at[0] = 0x60;
	put16(at + 4, (uint16_t)payload);
	at[6] = protocol;
	at[7] = 64;
	memcpy(at + 8, source, 16);
	memcpy(at + 24, destination, 16);
	return at + IPV6_HEADER_SIZE;
}

// Outer headers of what node b sends.
static uint8_t *put_tunnel(uint8_t *at, uint32_t inner)
{
	static const struct mac_address next_hop = {{0x02, 0, 0, 0, 0, 2}};
	static const uint8_t source[] = {192, 0, 2, 2}, destination[] = {192, 0, 2, 1};
	uint32_t udp = UDP_HEADER_SIZE + 8 + inner, vni = htonl(VNI << 8);

	at = put_ethernet(at, &uplink_mac, &next_hop, ETHERNET_TYPE_IPV4);
	at = put_ipv4(at, source, destination, IPPROTO_UDP, udp);
	put16(at, 0xc001);
	put16(at + 2, 4789);
	put16(at + 4, (uint16_t)udp);
	at[UDP_HEADER_SIZE] = 0x08;
	memcpy(at + UDP_HEADER_SIZE + 4, &vni, 4);
	return at + UDP_HEADER_SIZE + 8;
}

// Where the side sends its frames, and as whom.
static uint8_t *put_macs(uint8_t *at, const struct pipeline_options *options,
			 const struct world *world, enum side side)
{
	static const struct mac_address router = {{0x02, 0, 0, 0, 0, 2}};
	const struct mac_address *to = &macs[!side], *from = &macs[side];

	if (options->nat && side == SIDE_SERVER)
		to = &uplink_mac, from = &router;
	else if (options->nat || options->balance)
		to = &world->gateway_macs[side];
	return put_ethernet(at, to, from, options->ipv6 ? ETHERNET_TYPE_IPV6 : ETHERNET_TYPE_IPV4);
}

void traffic_open(struct traffic *traffic, const struct pipeline_options *options,
		  const struct world *world)
{
	bool tcp = options->protocol == IPPROTO_TCP;
	uint32_t l3 = options->ipv6 ? IPV6_HEADER_SIZE : IPV4_HEADER_SIZE;
	uint32_t l4 = tcp ? TCP_HEADER_SIZE : UDP_HEADER_SIZE, payload = 0;

	memset(traffic, 0, sizeof(*traffic));
	traffic->tcp = tcp;
	traffic->clients = options->clients;
	traffic->ipv6 = options->ipv6;
	// A TCP segment stays empty: so the same one goes on where it ended.
	if (!tcp && ETHERNET_HEADER_SIZE + l3 + l4 < FRAME_MIN)
		payload = FRAME_MIN - ETHERNET_HEADER_SIZE - l3 - l4;
	for (enum side side = SIDE_CLIENT; side <= SIDE_SERVER; side++) {
		uint32_t inner = ETHERNET_HEADER_SIZE + l3 + l4 + payload;
		uint8_t *start = traffic->frames[side], *at = start;

		if (inner < FRAME_MIN)
			inner = FRAME_MIN;
		if (options->vxlan && side == SIDE_SERVER)
			at = put_tunnel(at, inner);
		traffic->sizes[side] = (uint32_t)(at - start) + inner;
		at = put_macs(at, options, world, side);
		at = put_ip(at, options, side, l4 + payload);
		traffic->l4[side] = (uint32_t)(at - start);
		if (tcp) {
			at[12] = 5 << 4;
			put16(at + 14, 8192);
		} else {
			put16(at + 4, (uint16_t)(l4 + payload));
			put16(at + 6, UDP_CHECKSUM);
		}
	}
	if (!options->nat)
		return;
	traffic->outside = calloc(TRAFFIC_CONNECTIONS, sizeof(traffic->outside[0]));
	require(traffic->outside != NULL, "no memory");
}

void traffic_close(struct traffic *traffic)
{
	free(traffic->outside);
}

void traffic_learn(struct traffic *traffic, const struct world *world, uint32_t worker,
		   uint32_t first, uint32_t count)
{
	const struct sent *sent = world_sent(world, SIDE_SERVER, worker);
	uint32_t l4 = traffic->l4[SIDE_CLIENT];

	if (!traffic->outside)
		return;
	require(sent->count >= count, "a packet of a new connection was lost");
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(sent->packets[i], const uint8_t *);
		uint8_t *to = (uint8_t *)&traffic->outside[first + i];

		// Of an IPv4 header's source the end is 6 bytes from where UDP's or TCP's begins.
		memcpy(to, data + l4 - (traffic->ipv6 ? 18 : 6), 2);
		memcpy(to + 2, data + l4, 2);
	}
}

// Another address of the client's.
static void put_client(uint8_t *ip, enum side side, uint32_t number)
{
	uint32_t address = htonl(0x0a020000 + number);
	uint16_t checksum = 0;

	memcpy(ip + (side == SIDE_CLIENT ? 12 : 16), &address, 4);
	memcpy(ip + 10, &checksum, 2);
	checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE));
	memcpy(ip + 10, &checksum, 2);
}

// What the client is outside.
static void put_outside(const struct traffic *traffic, uint8_t *l4, uint32_t connection)
{
	const uint8_t *from = (const uint8_t *)&traffic->outside[connection];
	uint16_t checksum = 0;

	memcpy(l4 + 2, from + 2, 2);
	memcpy(l4 - 2, from, 2);
	if (traffic->ipv6)
		return;
	memcpy(l4 - 10, &checksum, 2);
	checksum = checksum_finish(checksum_add(0, l4 - IPV4_HEADER_SIZE, IPV4_HEADER_SIZE));
	memcpy(l4 - 10, &checksum, 2);
}

void traffic_fill(const struct traffic *traffic, enum side side, uint32_t connection,
		  enum traffic_kind kind, struct rte_mbuf *mbuf)
{
	uint16_t client = htons((uint16_t)(CLIENT_FIRST + connection % CLIENT_PORTS));
	uint16_t server = htons((uint16_t)(SERVER_FIRST + connection / CLIENT_PORTS));
	uint32_t size = traffic->sizes[side];
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)size);
	uint8_t *l4 = data + traffic->l4[side];
	uint32_t numbers[2] = {htonl(1), htonl(1)};

	memcpy(data, traffic->frames[side], size);
	if (traffic->outside && side == SIDE_SERVER)
		put_outside(traffic, l4, connection);
	else if (traffic->clients)
		put_client(l4 - IPV4_HEADER_SIZE, side,
			   (uint32_t)((uint64_t)connection * 2654435761 % traffic->clients));
	if (!traffic->outside || side == SIDE_CLIENT)
		memcpy(l4 + (side == SIDE_CLIENT ? 0 : 2), &client, 2);
	memcpy(l4 + (side == SIDE_CLIENT ? 2 : 0), &server, 2);
	if (!traffic->tcp)
		return;
	// Sequence numbers begin at 0, and SYN counts as one octet.
	if (kind != TRAFFIC_DATA)
		numbers[0] = 0;
	if (kind == TRAFFIC_SYN)
		numbers[1] = 0;
	memcpy(l4 + 4, numbers, 8);
	l4[13] = kind == TRAFFIC_DATA ? TCP_ACK : kind == TRAFFIC_SYN ? TCP_SYN : TCP_SYN | TCP_ACK;
}

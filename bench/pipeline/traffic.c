// Frames of connections between one client and one server. They differ in their ports alone, which
// no IPv4 checksum has in it, so that one is made by a copy and two words; where the client has
// many addresses, in these, too.

#include <arpa/inet.h>

#include "packet/header.h"
#include "pipeline.h"

#define CLIENT_PORTS 60000
#define CLIENT_FIRST 1025
#define SERVER_FIRST 5000
#define FRAME_MIN    60 // without what the wire adds

#define VNI 5001

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

static uint8_t *put_ip(uint8_t *at, enum side side, bool ipv6, uint8_t protocol, uint32_t payload)
{
	const char *addresses[2] = {ipv6 ? "fd00:1::11" : "10.1.0.11",
				    ipv6 ? "fd00:1::12" : "10.1.0.12"};
	uint8_t source[16], destination[16];
	int family = ipv6 ? AF_INET6 : AF_INET;

	inet_pton(family, addresses[side], source);
	inet_pton(family, addresses[!side], destination);
	if (!ipv6)
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

void traffic_open(struct traffic *traffic, const struct pipeline_options *options,
		  const struct world *world)
{
	bool tcp = options->protocol == IPPROTO_TCP;
	uint32_t l3 = options->ipv6 ? IPV6_HEADER_SIZE : IPV4_HEADER_SIZE;
	uint32_t l4 = tcp ? TCP_HEADER_SIZE : UDP_HEADER_SIZE, payload = 0;

	memset(traffic, 0, sizeof(*traffic));
	traffic->tcp = tcp;
	traffic->clients = options->clients;
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
		at = put_ethernet(at, &macs[!side], &macs[side],
				  options->ipv6 ? ETHERNET_TYPE_IPV6 : ETHERNET_TYPE_IPV4);
		at = put_ip(at, side, options->ipv6, options->protocol, l4 + payload);
		traffic->l4[side] = (uint32_t)(at - start);
		if (tcp) {
			at[12] = 5 << 4;
			put16(at + 14, 8192);
		} else {
			put16(at + 4, (uint16_t)(l4 + payload));
		}
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
	if (traffic->clients)
		put_client(l4 - IPV4_HEADER_SIZE, side,
			   (uint32_t)((uint64_t)connection * 2654435761 % traffic->clients));
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

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/gateway/gateway.h"
#include "packet/header.h"

bool gateway_echo_due(const struct packet *packet)
{
	return packet->kind == PACKET_IP && packet->icmp_code == 0 &&
	       (ip_is_v4(&packet->source) ? packet->key.protocol == IPPROTO_ICMP &&
						    packet->icmp_type == ICMP_ECHO_REQUEST
					  : packet->key.protocol == IPPROTO_ICMPV6 &&
						    packet->icmp_type == ICMP6_ECHO_REQUEST);
}

static void write_type(uint8_t *icmp, uint8_t type)
{
	uint16_t old, new, checksum;
	uint64_t sum;

	memcpy(&old, icmp, 2);
	icmp[0] = type;
	memcpy(&new, icmp, 2);
	memcpy(&checksum, icmp + 2, 2);
	// RFC 1624 equation 3. Exchanging addresses leaves the pseudo header's sum as it is.
	sum = (uint64_t)(uint16_t)~checksum + (uint16_t)~old + new;
	checksum = checksum_finish(sum);
	// Zero of either sign is right, except for a message that is all zeros.
	if (checksum == 0)
		checksum = 0xffff;
	memcpy(icmp + 2, &checksum, 2);
}

void gateway_echo_write(struct rte_mbuf *mbuf, const struct packet *packet, uint16_t icmp)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *), *ip = data + packet->l3_offset;
	bool v4 = ip_is_v4(&packet->source);
	uint16_t checksum;

	memcpy(data, &packet->source_mac, 6);
	memcpy(data + 6, &packet->destination_mac, 6);
	if (icmp)
		write_type(data + icmp, v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY);
	if (v4) {
		memcpy(ip + 12, &packet->destination.words[3], 4);
		memcpy(ip + 16, &packet->source.words[3], 4);
		ip[8] = 64;
		ip[10] = ip[11] = 0;
		checksum = checksum_finish(checksum_add(0, ip, (ip[0] & 15u) * 4));
		memcpy(ip + 10, &checksum, 2);
	} else {
		memcpy(ip + 8, &packet->destination, 16);
		memcpy(ip + 24, &packet->source, 16);
		ip[7] = 64;
	}
}

bool gateway_echo(struct rte_mbuf *mbuf, const struct packet *packet)
{
	if (!gateway_echo_due(packet))
		return false;
	gateway_echo_write(mbuf, packet, packet->l4_offset);
	return true;
}

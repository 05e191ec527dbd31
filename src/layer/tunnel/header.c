// The outer headers, as they are written and read.

#include <arpa/inet.h>

#include "layer/tunnel/tunnel.h"

void tunnel_header_make(struct peer *peer, const struct underlay *underlay)
{
	uint8_t *header = peer->header;
	uint16_t port = htons(VXLAN_PORT);

	memset(header, 0, sizeof(peer->header));
	memcpy(header + 6, &underlay->mac, 6);
	peer->v4 = ip_is_v4(&peer->vtep);
	if (peer->v4) {
		header[12] = ETHERNET_TYPE_IPV4 >> 8;
		header += ETHERNET_HEADER_SIZE;
		header[0] = 0x45;
		header[6] = 0x40; // don't fragment: RFC 7348 section 4.3
		header[8] = 64;
		header[9] = IPPROTO_UDP;
		memcpy(header + 12, &underlay->vtep.address.words[3], 4);
		memcpy(header + 16, &peer->vtep.words[3], 4);
		peer->ipv4_sum =
			(uint16_t)~checksum_finish(checksum_add(0, header, IPV4_HEADER_SIZE));
		header += IPV4_HEADER_SIZE;
	} else {
		header[12] = ETHERNET_TYPE_IPV6 >> 8;
		header[13] = ETHERNET_TYPE_IPV6 & 0xff;
		header += ETHERNET_HEADER_SIZE;
		header[0] = 0x60;
		header[6] = IPPROTO_UDP;
		header[7] = 64;
		memcpy(header + 8, &underlay->vtep.address, 16);
		memcpy(header + 24, &peer->vtep, 16);
		header += IPV6_HEADER_SIZE;
	}
	// The UDP checksum stays zero, on IPv6 by RFC 6935: the inner packet has its own.
	memcpy(header + 2, &port, 2);
	header[UDP_HEADER_SIZE] = 0x08; // the VNI is valid
	peer->header_size = (uint8_t)(header + UDP_HEADER_SIZE + VXLAN_HEADER_SIZE - peer->header);
}

enum drop_reason tunnel_take_ecn(uint8_t *frame, uint8_t ecn)
{
	uint16_t type = (uint16_t)(frame[12] << 8 | frame[13]);
	uint8_t *header = frame + ETHERNET_HEADER_SIZE, class, inner;
	bool v4 = type == ETHERNET_TYPE_IPV4;

	if (!v4 && type != ETHERNET_TYPE_IPV6)
		return DROP_NONE;
	class = ip_traffic_class(header, v4);
	inner = class & 3;
	if (inner == ECN_NONE)
		return ecn == ECN_CE ? DROP_CONGESTION : DROP_NONE;
	if (inner != ECN_CE && inner != ecn)
		ip_set_traffic_class(header, v4, (uint8_t)((class & ~3) | ecn));
	return DROP_NONE;
}

enum tunnel_receive tunnel_receive(const struct tables *tables, const struct packet *packet,
				   const uint8_t *data, uint32_t available,
				   struct tunnel_outer *outer)
{
	const struct underlay *underlay = &tables->underlay;
	uint32_t vxlan = packet->l4_offset + UDP_HEADER_SIZE, flags, vni;
	uint16_t length;

	outer->reason = DROP_NOT_FOR_US;
	if (packet->vlan)
		return TUNNEL_DROP;
	if (packet->kind == PACKET_ARP || packet->kind == PACKET_ND)
		return TUNNEL_NEIGHBOUR;
	if (packet->kind == PACKET_ICMP_ERROR &&
	    mac_equal(&packet->destination_mac, &underlay->mac) &&
	    tunnel_path_error(tables, packet, data, available, &outer->peer, &outer->mtu,
			      &outer->whole))
		return TUNNEL_PATH_MTU;
	if ((packet->kind != PACKET_IP && packet->kind != PACKET_FRAGMENT) ||
	    packet->key.protocol != IPPROTO_UDP ||
	    !ip_equal(&packet->destination, &underlay->vtep.address) ||
	    !mac_equal(&packet->destination_mac, &underlay->mac))
		return TUNNEL_DROP;
	outer->reason = DROP_TUNNEL_HEADER;
	// Tunnel endpoints don't fragment (RFC 7348 section 4.3).
	if (packet->kind == PACKET_FRAGMENT)
		return TUNNEL_DROP;
	if (packet->key.destination_port != htons(VXLAN_PORT)) {
		outer->reason = DROP_NOT_FOR_US;
		return TUNNEL_DROP;
	}
	memcpy(&length, data + packet->l4_offset + 4, 2);
	outer->end = packet->l4_offset + ntohs(length);
	if (vxlan + VXLAN_HEADER_SIZE + ETHERNET_HEADER_SIZE > outer->end ||
	    vxlan + VXLAN_HEADER_SIZE > available) {
		outer->reason = DROP_TRUNCATED;
		return TUNNEL_DROP;
	}
	memcpy(&flags, data + vxlan, 4);
	memcpy(&vni, data + vxlan + 4, 4);
	// The VNI must be there; other bits are ignored on receipt (RFC 7348 section 5).
	if (!(flags & htonl(0x08000000)))
		return TUNNEL_DROP;
	outer->offset = vxlan + VXLAN_HEADER_SIZE;
	outer->ecn = ip_traffic_class(data + packet->l3_offset, ip_is_v4(&packet->source)) & 3;
	outer->network = (uint16_t)lookup_find(&tables->by_vni,
					       (struct lookup_key){{ntohl(vni) >> 8, 0, 0}});
	if (!outer->network) {
		outer->reason = DROP_UNKNOWN_VNI;
		return TUNNEL_DROP;
	}
	outer->peer =
		(uint16_t)lookup_find(&tables->by_vtep, lookup_key_address(0, &packet->source));
	if (!outer->peer) {
		outer->reason = DROP_UNKNOWN_VTEP;
		return TUNNEL_DROP;
	}
	return TUNNEL_INNER;
}

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/address_resolution/address_resolution.h"
#include "packet/header.h"

// RFC 826: hardware type, protocol type, sizes, operation, sender MAC and IP, target MAC and IP.
static const uint8_t fixed_part[6] = {0, 1, 8, 0, 6, 4};

enum drop_reason arp_read(const uint8_t *data, uint32_t available, const struct packet *packet,
			  struct address_resolution *message)
{
	const uint8_t *arp = data + packet->l3_offset;
	uint32_t address;

	memset(message, 0, sizeof(*message));
	if (packet->l3_offset + (uint32_t)ARP_PACKET_SIZE > available)
		return DROP_TRUNCATED;
	if (memcmp(arp, fixed_part, sizeof(fixed_part)) != 0 || arp[6] != 0 ||
	    (arp[7] != ARP_REQUEST && arp[7] != ARP_REPLY))
		return DROP_ARP_MALFORMED;
	message->solicitation = arp[7] == ARP_REQUEST;
	memcpy(&message->sender_mac, arp + 8, 6);
	memcpy(&address, arp + 14, 4);
	message->sender = ip_from_v4(address);
	memcpy(&address, arp + 24, 4);
	message->target = ip_from_v4(address);
	return DROP_NONE;
}

static void write_arp(uint8_t *frame, const struct mac_address *to, uint8_t operation,
		      const struct mac_address *sender_mac, const struct ip_address *sender,
		      const struct mac_address *target_mac, const struct ip_address *target)
{
	uint8_t *arp = frame + ETHERNET_HEADER_SIZE;

	memcpy(frame, to, 6);
	memcpy(frame + 6, sender_mac, 6);
	frame[12] = ETHERNET_TYPE_ARP >> 8;
	frame[13] = ETHERNET_TYPE_ARP & 0xff;
	memcpy(arp, fixed_part, sizeof(fixed_part));
	arp[6] = 0;
	arp[7] = operation;
	memcpy(arp + 8, sender_mac, 6);
	memcpy(arp + 14, &sender->words[3], 4);
	memcpy(arp + 18, target_mac, 6);
	memcpy(arp + 24, &target->words[3], 4);
}

bool arp_answer(struct rte_mbuf *mbuf, const struct packet *packet,
		const struct address_resolution *message, const struct mac_address *mac)
{
	uint8_t *frame;

	// Whoever pads the frame far enough sends it in several segments.
	rte_pktmbuf_free(mbuf->next);
	rte_pktmbuf_reset(mbuf);
	frame = (uint8_t *)rte_pktmbuf_append(mbuf, ETHERNET_HEADER_SIZE + ARP_PACKET_SIZE);
	if (!frame)
		return false;
	write_arp(frame, &packet->source_mac, ARP_REPLY, mac, &message->target,
		  &message->sender_mac, &message->sender);
	return true;
}

bool arp_request(struct rte_mbuf *mbuf, const struct mac_address *sender_mac,
		 const struct ip_address *sender, const struct ip_address *target)
{
	static const struct mac_address broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, none;
	uint8_t *frame =
		(uint8_t *)rte_pktmbuf_append(mbuf, ETHERNET_HEADER_SIZE + ARP_PACKET_SIZE);

	if (!frame)
		return false;
	write_arp(frame, &broadcast, ARP_REQUEST, sender_mac, sender, &none, target);
	return true;
}

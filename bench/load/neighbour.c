// ARP (RFC 826) and neighbour solicitations (RFC 4861, 4.3 and 4.4).

#include "neighbour.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_ip.h>

#define ETHERNET_MIN  60
#define SOLICITATION  135
#define ADVERTISEMENT 136
// Solicited, and the address before counts no more.
#define SOLICITED_OVERRIDE  0x60000000u
#define TARGET_LINK_ADDRESS 2
#define NEIGHBOUR_HOP_LIMIT 255

struct neighbour_message {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint32_t flags;
	uint8_t target[16];
	// Of an advertisement.
	uint8_t option_type;
	uint8_t option_length;
	struct rte_ether_addr mac;
};

#define SOLICITATION_LENGTH offsetof(struct neighbour_message, option_type)

static uint16_t arp_answer(const struct address *address, const struct rte_ether_addr *mac,
			   const uint8_t *frame, uint16_t length, uint8_t *answer)
{
	struct rte_ether_hdr ether;
	struct rte_arp_hdr arp;

	if (length < sizeof(ether) + sizeof(arp))
		return 0;
	memcpy(&ether, frame, sizeof(ether));
	memcpy(&arp, frame + sizeof(ether), sizeof(arp));
	if (ether.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP) ||
	    arp.arp_opcode != rte_cpu_to_be_16(RTE_ARP_OP_REQUEST) ||
	    memcmp(&arp.arp_data.arp_tip, address->bytes, 4) != 0)
		return 0;
	arp.arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
	arp.arp_data.arp_tha = arp.arp_data.arp_sha;
	arp.arp_data.arp_tip = arp.arp_data.arp_sip;
	arp.arp_data.arp_sha = *mac;
	memcpy(&arp.arp_data.arp_sip, address->bytes, 4);
	ether.dst_addr = arp.arp_data.arp_tha;
	ether.src_addr = *mac;
	memset(answer, 0, ETHERNET_MIN);
	memcpy(answer, &ether, sizeof(ether));
	memcpy(answer + sizeof(ether), &arp, sizeof(arp));
	return ETHERNET_MIN;
}

static uint16_t solicitation_answer(const struct address *address, const struct rte_ether_addr *mac,
				    const uint8_t *frame, uint16_t length, uint8_t *answer)
{
	struct rte_ether_hdr ether;
	struct rte_ipv6_hdr ip;
	struct neighbour_message message = {0};
	size_t headers = sizeof(ether) + sizeof(ip);

	if (length < headers + SOLICITATION_LENGTH)
		return 0;
	memcpy(&ether, frame, sizeof(ether));
	memcpy(&ip, frame + sizeof(ether), sizeof(ip));
	memcpy(&message, frame + headers, SOLICITATION_LENGTH);
	if (ether.ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6) ||
	    ip.proto != IPPROTO_ICMPV6 || message.type != SOLICITATION ||
	    memcmp(message.target, address->bytes, 16) != 0)
		return 0;
	message.type = ADVERTISEMENT;
	message.checksum = 0;
	message.flags = rte_cpu_to_be_32(SOLICITED_OVERRIDE);
	message.option_type = TARGET_LINK_ADDRESS;
	message.option_length = 1;
	message.mac = *mac;
	memcpy(ip.dst_addr, ip.src_addr, sizeof(ip.dst_addr));
	memcpy(ip.src_addr, address->bytes, sizeof(ip.src_addr));
	ip.payload_len = rte_cpu_to_be_16(sizeof(message));
	ip.hop_limits = NEIGHBOUR_HOP_LIMIT;
	message.checksum = rte_ipv6_udptcp_cksum(&ip, &message);
	ether.dst_addr = ether.src_addr;
	ether.src_addr = *mac;
	memcpy(answer, &ether, sizeof(ether));
	memcpy(answer + sizeof(ether), &ip, sizeof(ip));
	memcpy(answer + headers, &message, sizeof(message));
	return (uint16_t)(headers + sizeof(message));
}

uint16_t neighbour_answer(const struct address *address, const struct rte_ether_addr *mac,
			  const uint8_t *frame, uint16_t length,
			  uint8_t answer[NEIGHBOUR_ANSWER_MAX])
{
	return address->is_v6 ? solicitation_answer(address, mac, frame, length, answer)
			      : arp_answer(address, mac, frame, length, answer);
}

// ARP and neighbour discovery: read, checked and answered. Used for the workloads' networks (arp.c,
// nd.c answer from the objects) and for the underlay (the worker's neighbour.c).

#pragma once

#include "layer/walk.h"

struct rte_mbuf;

// An ARP packet for Ethernet and IPv4, or a neighbour solicitation or advertisement, in one form.
struct address_resolution {
	bool solicitation;	       // ARP request or NS; else ARP reply or NA
	struct mac_address sender_mac; // as the packet says; all zero where ND gives none
	struct ip_address sender;      // ARP: 0.0.0.0 in a probe. NS: the IP source. NA: the target
	struct ip_address target;
	bool router_discovery; // the packet is an RS, RA or redirect
	// resolution_from_port: the sender may say what it says.
	bool genuine;
};

// DROP_NONE, or why it can't be used. RFC 826, RFC 4861 sections 7.1.1 and 7.1.2 (hop limit,
// checksum, code, lengths, options).
enum drop_reason arp_read(const uint8_t *data, uint32_t available, const struct packet *packet,
			  struct address_resolution *message);
enum drop_reason nd_read(const uint8_t *data, uint32_t available, const struct packet *packet,
			 struct address_resolution *message);

// Turns the frame in `mbuf` into the answer "`mac` has the target". Room: the frame becomes 42 or
// 86 bytes. False where the buffer has no room.
bool arp_answer(struct rte_mbuf *mbuf, const struct packet *packet,
		const struct address_resolution *message, const struct mac_address *mac);
bool nd_answer(struct rte_mbuf *mbuf, const struct packet *packet,
	       const struct address_resolution *message, const struct mac_address *mac,
	       bool router);

// Writes a request from `sender`: to everybody who may be the target. `mbuf` is empty. Without a
// sender (all zero of the family) it is a probe for duplicates (RFC 5227, RFC 4862).
bool arp_request(struct rte_mbuf *mbuf, const struct mac_address *sender_mac,
		 const struct ip_address *sender, const struct ip_address *target);
// Says to everybody that `mac` has the address: an unsolicited advertisement (RFC 4861 section
// 7.2.6). For IPv4 arp_request from and for the address does (RFC 5227 section 3).
bool nd_announcement(struct rte_mbuf *mbuf, const struct mac_address *mac,
		     const struct ip_address *address);
bool nd_request(struct rte_mbuf *mbuf, const struct mac_address *sender_mac,
		const struct ip_address *sender, const struct ip_address *target);

enum resolution {
	RESOLUTION_ANSWERED, // the mbuf holds the answer
	RESOLUTION_DONE,     // an announcement, or a probe of an own address: nothing to do
	RESOLUTION_ASK,	     // for an address that only those know who may have it
	RESOLUTION_DROP,
};

// ARP or ND from a workload's port: anti-spoofing, then the answer. On RESOLUTION_DROP `*reason`
// says why. Fills `message`.
enum resolution resolution_from_port(const struct tables *tables, const struct network *network,
				     const struct endpoint *source, struct rte_mbuf *mbuf,
				     const struct packet *packet,
				     struct address_resolution *message, enum drop_reason *reason);

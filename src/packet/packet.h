// What a packet is, read from its headers: the flow key that finds its connection, and what a first
// packet's walk needs besides. Everything points into nothing: offsets only, so that the result
// stays valid when data moves.

#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <stdint.h>

#include "base/address.h"
#include "base/drop.h"

// No reply can belong to it: ICMP messages that are neither query nor reply.
#define FLOW_KEY_ONE_WAY 1
// By which the shard is another one (flow/hash.h): a FloatingIp's end outside is in that of the end
// inside (layer/nat/key.c).
#define FLOW_KEY_SHIFT_BITS 2
#define FLOW_KEY_SHIFT	    (63u << FLOW_KEY_SHIFT_BITS)

// Names one direction of one connection. All bytes count, there is no padding.
struct flow_key {
	struct ip_address source;
	struct ip_address destination;
	// TCP, UDP, SCTP: network byte order. ICMP queries: identifier and type * 256 + code of the
	// request, on the side of the port that would be source and destination for the request; a
	// reply has them exchanged, so that request and reply are each other's reverse. Others:
	// zero.
	uint16_t source_port;
	uint16_t destination_port;
	uint16_t network; // dense number of the network in which it was received
	uint8_t protocol;
	uint8_t flags;
};

_Static_assert(sizeof(struct flow_key) == 40, "a flow key has no padding");

enum packet_kind {
	PACKET_IP,
	PACKET_FRAGMENT, // of an IP packet: what it is of is known when all are there; the key has
			 // no ports
	PACKET_OVERSIZE, // IP or a fragment, larger than its network allows; never by packet_parse
	PACKET_ICMP_ERROR, // key is the one of the connection's packet in this direction, made from
			   // the quote
	PACKET_ARP,
	PACKET_ND,
};

struct packet {
	struct flow_key key; // network is filled by the caller
	struct mac_address destination_mac;
	struct mac_address source_mac;
	uint32_t length; // of the frame in bytes
	// Sender as the IP header has it; differs from the key's for ICMP errors.
	struct ip_address source;
	struct ip_address destination;
	uint32_t ip_length; // of the IP packet in bytes, header included
	uint16_t l3_offset; // from the start of the frame
	uint16_t l4_offset; // 0: there is none that could be read
	uint16_t vlan;	    // 12 bits VLAN identifier, 0 without tag
	uint16_t fragments; // frames that it came in, beside the first; their bytes are in `length`
	uint8_t kind;
	uint8_t ttl;
	uint8_t tcp_flags;
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint8_t icmp_reply; // the answer to a query
	uint16_t spare;
	// What connection tracking reads of a transport header, in host byte order. Of an ICMP
	// error the sequence number or tag that it quotes, and nothing else.
	union {
		struct {
			uint32_t tcp_seq;
			uint32_t tcp_end; // behind payload, SYN and FIN
			uint32_t tcp_ack;
			uint16_t tcp_window; // as it stands there, not scaled
			uint8_t tcp_scale;   // shift + 1 by the option of a SYN; 0: no such option
			uint8_t tcp_spare;
		};
		struct {
			uint32_t sctp_tag;	    // verification tag
			uint32_t sctp_initiate_tag; // of INIT and INIT ACK
			uint16_t sctp_chunks;	// bit of each chunk type below 16 before the first
						// DATA
			uint8_t sctp_reflected; // T bit: the tag is the sender's own
		};
	};
	uint32_t transport_spare;
};

_Static_assert(sizeof(struct packet) == 128, "two cache lines, without padding");

// RFC 9260 section 3.2
#define SCTP_INIT	       1
#define SCTP_INIT_ACK	       2
#define SCTP_ABORT	       6
#define SCTP_SHUTDOWN	       7
#define SCTP_SHUTDOWN_ACK      8
#define SCTP_COOKIE_ECHO       10
#define SCTP_COOKIE_ACK	       11
#define SCTP_SHUTDOWN_COMPLETE 14

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_URG 0x20

#define ETHERNET_HEADER_SIZE 14
#define ETHERNET_TYPE_IPV4   0x0800
#define ETHERNET_TYPE_ARP    0x0806
#define ETHERNET_TYPE_VLAN   0x8100
#define ETHERNET_TYPE_IPV6   0x86dd

// Reads the headers of the Ethernet frame at `data`. `available` bytes of it are contiguous there,
// `length` is the whole frame's. Returns DROP_NONE or why the frame can't be used. Never reads
// behind `available`. RFC 791, 8200, 9293, 768, 792, 4443, 826, 4861, IEEE 802.1Q.
enum drop_reason packet_parse(const uint8_t *data, uint32_t available, uint32_t length,
			      struct packet *packet);

// The key of the opposite direction, in the network where a reply is received.
static inline struct flow_key flow_key_reverse(const struct flow_key *key, uint16_t network)
{
	struct flow_key reverse = {
		.source = key->destination,
		.destination = key->source,
		.source_port = key->destination_port,
		.destination_port = key->source_port,
		.network = network,
		.protocol = key->protocol,
		.flags = key->flags,
	};

	return reverse;
}

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;
#ifdef __SSE2__
	const __m128i *u = (const __m128i *)(const void *)a, *v = (const __m128i *)(const void *)b;
	__m128i same =
		_mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128(u), _mm_loadu_si128(v)),
			      _mm_cmpeq_epi8(_mm_loadu_si128(u + 1), _mm_loadu_si128(v + 1)));

	return _mm_movemask_epi8(same) == 0xffff && x[4] == y[4];
#else
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4])) == 0;
#endif
}

#include "test.h"

#include <arpa/inet.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frame.h"
#include "packet/header.h"

struct ip_address address(const char *text)
{
	struct ip_address result;

	if (!ip_parse(text, &result))
		fail_msg("'%s' is no address", text);
	return result;
}

struct mac_address mac(const char *text)
{
	struct mac_address result;

	if (!mac_parse(text, &result))
		fail_msg("'%s' is no MAC address", text);
	return result;
}

static void put16(uint8_t *data, uint32_t value)
{
	data[0] = (uint8_t)(value >> 8);
	data[1] = (uint8_t)value;
}

static void put32(uint8_t *data, uint32_t value)
{
	put16(data, value >> 16);
	put16(data + 2, value);
}

static uint32_t get16(const uint8_t *data)
{
	return (uint32_t)data[0] << 8 | data[1];
}

uint8_t *frame_append(struct frame *frame, uint32_t size)
{
	uint8_t *data = frame->data + frame->size;

	assert_true(frame->size + size <= FRAME_MAX);
	memset(data, 0, size);
	frame->size += size;
	return data;
}

void frame_payload(struct frame *frame, uint32_t size)
{
	uint8_t *data = frame_append(frame, size);

	for (uint32_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + 1);
}

void frame_ethernet(struct frame *frame, const char *destination, const char *source, uint16_t type)
{
	struct mac_address to = mac(destination), from = mac(source);
	uint8_t *data;

	memset(frame, 0, sizeof(*frame));
	data = frame_append(frame, ETHERNET_HEADER_SIZE);
	memcpy(data, &to, 6);
	memcpy(data + 6, &from, 6);
	put16(data + 12, type);
}

void frame_vlan(struct frame *frame, uint16_t vlan)
{
	uint8_t *data = frame_append(frame, 4);

	memmove(data, frame->data + 12, 2);
	memcpy(data + 2, frame->data + 12, 2);
	put16(frame->data + 12, ETHERNET_TYPE_VLAN);
	put16(data, vlan);
}

static void follow(struct frame *frame, uint8_t protocol)
{
	if (frame->next)
		frame->data[frame->next] = protocol;
	frame->next = 0;
	frame->protocol = protocol;
	frame->l4 = frame->size;
}

void frame_ip(struct frame *frame, const char *source, const char *destination, uint8_t ttl,
	      uint32_t options)
{
	struct ip_address from = address(source), to = address(destination);
	bool v4 = ip_is_v4(&from);
	uint8_t *ip;

	put16(frame->data + frame->size - 2, v4 ? ETHERNET_TYPE_IPV4 : ETHERNET_TYPE_IPV6);
	frame->l3 = frame->size;
	if (v4) {
		ip = frame_append(frame, IPV4_HEADER_SIZE + options);
		ip[0] = (uint8_t)(0x40 | (IPV4_HEADER_SIZE + options) / 4);
		ip[8] = ttl;
		memcpy(ip + 12, &from.words[3], 4);
		memcpy(ip + 16, &to.words[3], 4);
		memset(ip + IPV4_HEADER_SIZE, 1, options); // no operation
		frame->next = frame->l3 + 9;
	} else {
		ip = frame_append(frame, IPV6_HEADER_SIZE);
		ip[0] = 0x60;
		ip[7] = ttl;
		memcpy(ip + 8, &from, 16);
		memcpy(ip + 24, &to, 16);
		frame->next = frame->l3 + 6;
	}
	frame->l4 = frame->size;
}

uint8_t *frame_extension(struct frame *frame, uint8_t protocol, uint32_t size)
{
	uint8_t *header;

	follow(frame, protocol);
	frame->next = frame->size;
	header = frame_append(frame, size);
	header[1] = (uint8_t)(protocol == IPPROTO_AH ? size / 4 - 2 : size / 8 - 1);
	header[2] = 1; // an option without meaning; for a routing header a type that is not 0
	frame->l4 = frame->size;
	return header;
}

void frame_fragment(struct frame *frame, uint32_t offset, bool more)
{
	uint8_t *header;

	if (frame->data[frame->l3] >> 4 == 4) {
		put16(frame->data + frame->l3 + 6, offset / 8 | (more ? 0x2000 : 0));
		return;
	}
	header = frame_extension(frame, IPPROTO_FRAGMENT, 8);
	header[1] = 0;
	put16(header + 2, offset | more);
	put32(header + 4, 0x12345678);
}

void frame_tcp(struct frame *frame, uint16_t source, uint16_t destination, uint8_t flags)
{
	uint8_t *tcp;

	follow(frame, IPPROTO_TCP);
	tcp = frame_append(frame, TCP_HEADER_SIZE);
	put16(tcp, source);
	put16(tcp + 2, destination);
	tcp[12] = 0x50;
	tcp[13] = flags;
}

void frame_udp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t *udp;

	follow(frame, IPPROTO_UDP);
	udp = frame_append(frame, UDP_HEADER_SIZE);
	put16(udp, source);
	put16(udp + 2, destination);
}

void frame_sctp(struct frame *frame, uint16_t source, uint16_t destination)
{
	uint8_t *sctp;

	follow(frame, IPPROTO_SCTP);
	sctp = frame_append(frame, SCTP_HEADER_SIZE + SCTP_INIT_SIZE);
	put16(sctp, source);
	put16(sctp + 2, destination);
	sctp[12] = SCTP_INIT;
	put16(sctp + 14, SCTP_INIT_SIZE);
	put32(sctp + 16, 0x01020304);
}

void frame_icmp(struct frame *frame, uint8_t type, uint8_t code, uint32_t rest)
{
	bool v4 = frame->data[frame->l3] >> 4 == 4;
	uint8_t *icmp;

	follow(frame, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	icmp = frame_append(frame, ICMP_HEADER_SIZE);
	icmp[0] = type;
	icmp[1] = code;
	put32(icmp + 4, rest);
}

void frame_protocol(struct frame *frame, uint8_t protocol)
{
	follow(frame, protocol);
}

void frame_arp(struct frame *frame, uint16_t operation, const char *sender_mac, const char *sender,
	       const char *target_mac, const char *target)
{
	struct ip_address from = address(sender), to = address(target);
	struct mac_address from_mac = mac(sender_mac), to_mac = mac(target_mac);
	uint8_t *arp;

	put16(frame->data + frame->size - 2, ETHERNET_TYPE_ARP);
	arp = frame_append(frame, ARP_PACKET_SIZE);
	put16(arp, 1);
	put16(arp + 2, ETHERNET_TYPE_IPV4);
	arp[4] = 6;
	arp[5] = 4;
	put16(arp + 6, operation);
	memcpy(arp + 8, &from_mac, 6);
	memcpy(arp + 14, &from.words[3], 4);
	memcpy(arp + 18, &to_mac, 6);
	memcpy(arp + 24, &to.words[3], 4);
}

void frame_nd(struct frame *frame, uint8_t type, uint8_t flags, const char *target,
	      const char *mac_text)
{
	struct ip_address to = address(target);
	uint8_t *body;

	frame_icmp(frame, type, 0, (uint32_t)flags << 24);
	body = frame_append(frame, 16);
	memcpy(body, &to, 16);
	if (mac_text) {
		struct mac_address own = mac(mac_text);

		body = frame_append(frame, 8);
		body[0] = type == ND_NEIGHBOUR_SOLICITATION ? 1 : 2;
		body[1] = 1;
		memcpy(body + 2, &own, 6);
	}
}

uint16_t reference_checksum(const uint8_t *data, uint32_t size, uint32_t sum)
{
	for (uint32_t i = 0; i < size; i++) {
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
		while (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

uint16_t reference_l4_checksum(const uint8_t *ip, uint32_t l4, uint32_t size, uint8_t protocol)
{
	uint8_t pseudo[40] = {0};
	bool v4 = ip[0] >> 4 == 4;
	uint32_t pseudo_size = v4 ? 12 : 40;

	if (v4)
		memcpy(pseudo, ip + 12, 8);
	else
		memcpy(pseudo, ip + 8, 32);
	pseudo[pseudo_size - 1] = v4 ? 0 : protocol;
	if (v4) {
		pseudo[9] = protocol;
		put16(pseudo + 10, size);
	} else {
		put32(pseudo + 32, size);
	}
	if (protocol == IPPROTO_ICMP)
		return reference_checksum(ip + l4, size, 0);
	return reference_checksum(ip + l4, size,
				  (uint16_t)~reference_checksum(pseudo, pseudo_size, 0));
}

static int checksum_place(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return -1;
	}
}

bool frame_checksums_right(const uint8_t *data, uint32_t l3, uint32_t l4, uint8_t protocol)
{
	const uint8_t *ip = data + l3;
	bool v4 = ip[0] >> 4 == 4;
	uint32_t end = v4 ? get16(ip + 2) : 40 + get16(ip + 4);

	if (v4 && reference_checksum(ip, (ip[0] & 15u) * 4, 0) != 0)
		return false;
	return checksum_place(protocol) < 0 ||
	       reference_l4_checksum(ip, l4 - l3, end - (l4 - l3), protocol) == 0;
}

void frame_finish(struct frame *frame)
{
	uint8_t *ip = frame->data + frame->l3, *l4 = frame->data + frame->l4;
	uint32_t size = frame->size - frame->l4;
	int place = checksum_place(frame->protocol);

	if (!frame->l3)
		return;
	if (frame->protocol == IPPROTO_UDP && size >= UDP_HEADER_SIZE)
		put16(l4 + 4, size);
	if (place >= 0 && size >= (uint32_t)place + 2) {
		put16(l4 + place, 0);
		put16(l4 + place,
		      reference_l4_checksum(ip, frame->l4 - frame->l3, size, frame->protocol));
		// Zero would say that there is none (RFC 768).
		if (frame->protocol == IPPROTO_UDP && !get16(l4 + place))
			put16(l4 + place, 0xffff);
	}
	if (ip[0] >> 4 == 4) {
		put16(ip + 2, frame->size - frame->l3);
		put16(ip + 10, 0);
		put16(ip + 10, reference_checksum(ip, (ip[0] & 15u) * 4, 0));
	} else {
		put16(ip + 4, frame->size - frame->l3 - IPV6_HEADER_SIZE);
	}
}

void frame_quote(struct frame *frame, const struct frame *quoted, uint32_t size)
{
	uint32_t all = quoted->size - quoted->l3;

	if (size > all)
		size = all;
	memcpy(frame_append(frame, size), quoted->data + quoted->l3, size);
}

uint8_t *guard_put(const void *data, uint32_t size)
{
	static uint8_t *memory;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = 16 * page;
	uint8_t *start;

	if (!memory) {
		memory = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(memory != MAP_FAILED);
		assert_int_equal(mprotect(memory + room, page, PROT_NONE), 0);
	}
	assert_true(size <= room);
	start = memory + room - size;
	memcpy(start, data, size);
	return start;
}

enum drop_reason frame_parse(const struct frame *frame, struct packet *packet)
{
	return packet_parse(guard_put(frame->data, frame->size), frame->size, frame->size, packet);
}

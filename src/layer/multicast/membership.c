#include "layer/multicast/membership.h"

#include <arpa/inet.h>

#include "packet/header.h"

#define IGMP_QUERY     0x11
#define IGMP_V1_REPORT 0x12
#define IGMP_V2_REPORT 0x16
#define IGMP_LEAVE     0x17
#define IGMP_V3_REPORT 0x22
#define MLD_QUERY      130
#define MLD_V1_REPORT  131
#define MLD_DONE       132
#define MLD_V2_REPORT  143

#define IGMP_SIZE 8  // a message of versions 1 and 2, and the head of a version 3 report
#define MLD_SIZE  24 // a message of version 1
#define MLD_HEAD  8  // the head of a version 2 report

// RFC 3376 section 4.2.12
enum record_type {
	RECORD_IS_INCLUDE = 1,
	RECORD_IS_EXCLUDE,
	RECORD_TO_INCLUDE,
	RECORD_TO_EXCLUDE,
	RECORD_ALLOW,
	RECORD_BLOCK,
};

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

bool membership_is(const struct packet *packet)
{
	if (packet->kind != PACKET_IP || !packet->l4_offset)
		return false;
	if (ip_is_v4(&packet->source))
		return packet->key.protocol == IPPROTO_IGMP;
	return packet->key.protocol == IPPROTO_ICMPV6 &&
	       ((packet->icmp_type >= MLD_QUERY && packet->icmp_type <= MLD_DONE) ||
		packet->icmp_type == MLD_V2_REPORT);
}

// Bytes of a record without its sources, and of its group.
static uint32_t record_head(bool v4)
{
	return v4 ? 8 : 20;
}

static struct ip_address read_group(const uint8_t *bytes, bool v4)
{
	struct ip_address group;
	uint32_t word;

	if (v4) {
		memcpy(&word, bytes, 4);
		return ip_from_v4(word);
	}
	memcpy(&group, bytes, 16);
	return group;
}

// Of the message's own family: an IPv4-mapped address in MLD is none.
static bool is_group(const struct ip_address *address, bool v4)
{
	return ip_is_multicast(address) && ip_is_v4(address) == v4 &&
	       !(v4 && address->bytes[12] == 255);
}

static uint32_t record_size(const uint8_t *record, bool v4)
{
	return record_head(v4) + read16(record + 2) * (v4 ? 4u : 16u) + record[1] * 4u;
}

static bool check_records(const uint8_t *data, const struct membership_message *message,
			  uint32_t end)
{
	uint32_t offset = message->offset;

	for (uint32_t i = 0; i < message->left; i++) {
		struct ip_address group;

		if (offset + record_head(message->v4) > end)
			return false;
		group = read_group(data + offset + 4, message->v4);
		if (!is_group(&group, message->v4))
			return false;
		offset += record_size(data + offset, message->v4);
		if (offset > end)
			return false;
	}
	return true;
}

static enum drop_reason read_igmp(const uint8_t *data, uint32_t size, const struct packet *packet,
				  struct membership_message *message)
{
	const uint8_t *igmp = data + packet->l4_offset;
	struct ip_address group;

	message->offset = packet->l4_offset + IGMP_SIZE;
	switch (igmp[0]) {
	case IGMP_QUERY:
		message->query = true;
		return DROP_NONE;
	case IGMP_V1_REPORT:
	case IGMP_V2_REPORT:
	case IGMP_LEAVE:
		message->single = true;
		message->leave = igmp[0] == IGMP_LEAVE;
		message->offset = packet->l4_offset + 4u;
		message->left = 1;
		group = read_group(igmp + 4, true);
		return is_group(&group, true) ? DROP_NONE : DROP_MEMBERSHIP_MALFORMED;
	case IGMP_V3_REPORT:
		message->left = read16(igmp + 6);
		return check_records(data, message, packet->l4_offset + size)
			       ? DROP_NONE
			       : DROP_MEMBERSHIP_MALFORMED;
	default:
		// Of multicast routers, which no workload is.
		return DROP_MULTICAST;
	}
}

static enum drop_reason read_mld(const uint8_t *data, uint32_t size, const struct packet *packet,
				 struct membership_message *message)
{
	static const struct ip_address unspecified;
	const uint8_t *mld = data + packet->l4_offset;
	struct ip_address group;

	// RFC 3810 section 5, RFC 3590
	if (packet->ttl != 1 ||
	    (!ip_is_link_local(&packet->source) && !ip_equal(&packet->source, &unspecified)))
		return DROP_MEMBERSHIP_MALFORMED;
	if (packet->icmp_type == MLD_V2_REPORT) {
		message->offset = packet->l4_offset + MLD_HEAD;
		message->left = read16(mld + 6);
		return check_records(data, message, packet->l4_offset + size)
			       ? DROP_NONE
			       : DROP_MEMBERSHIP_MALFORMED;
	}
	if (size < MLD_SIZE)
		return DROP_MEMBERSHIP_MALFORMED;
	message->query = packet->icmp_type == MLD_QUERY;
	if (message->query)
		return DROP_NONE;
	message->single = true;
	message->leave = packet->icmp_type == MLD_DONE;
	message->offset = packet->l4_offset + 8u;
	message->left = 1;
	group = read_group(mld + 8, false);
	return is_group(&group, false) ? DROP_NONE : DROP_MEMBERSHIP_MALFORMED;
}

enum drop_reason membership_read(const uint8_t *data, uint32_t available,
				 const struct packet *packet, struct membership_message *message)
{
	uint32_t end = packet->l3_offset + (uint32_t)packet->ip_length;
	uint32_t size = end - packet->l4_offset;
	uint64_t sum = 0;

	memset(message, 0, sizeof(*message));
	message->v4 = ip_is_v4(&packet->source);
	if (end > available || end < packet->l4_offset || size < IGMP_SIZE)
		return DROP_MEMBERSHIP_MALFORMED;
	if (!message->v4)
		sum = checksum_pseudo(&packet->source, &packet->destination, IPPROTO_ICMPV6, size);
	if (checksum_finish(checksum_add(sum, data + packet->l4_offset, size)) != 0)
		return DROP_MEMBERSHIP_MALFORMED;
	return message->v4 ? read_igmp(data, size, packet, message)
			   : read_mld(data, size, packet, message);
}

bool membership_next(const uint8_t *data, struct membership_message *message,
		     struct membership_record *record)
{
	const uint8_t *bytes;
	uint16_t sources;

	while (message->left) {
		bytes = data + message->offset;
		message->left--;
		if (message->single) {
			record->group = read_group(bytes, message->v4);
			record->member = !message->leave;
			return true;
		}
		message->offset += record_size(bytes, message->v4);
		record->group = read_group(bytes + 4, message->v4);
		sources = read16(bytes + 2);
		switch (bytes[0]) {
		case RECORD_IS_INCLUDE:
		case RECORD_TO_INCLUDE:
			record->member = sources > 0;
			return true;
		case RECORD_IS_EXCLUDE:
		case RECORD_TO_EXCLUDE:
		case RECORD_ALLOW:
			record->member = true;
			return true;
		case RECORD_BLOCK:
			record->member = false;
			return true;
		default: // RFC 3376 section 4.2.12: not understood, passed over
			break;
		}
	}
	return false;
}

// ---- writing

// Ethernet and IP with the router alert; returns where the message starts.
static uint32_t write_head(uint8_t *frame, const struct mac_address *mac,
			   const struct ip_address *source, const struct ip_address *destination,
			   uint32_t size)
{
	uint8_t *ip = frame + ETHERNET_HEADER_SIZE;
	bool v4 = ip_is_v4(source);
	uint16_t checksum;

	memset(frame, 0, MEMBERSHIP_FRAME_MAX);
	memcpy(frame + 6, mac, 6);
	if (v4) {
		memcpy(frame, (uint8_t[]){0x01, 0x00, 0x5e}, 3);
		frame[3] = destination->bytes[13] & 0x7f;
		memcpy(frame + 4, destination->bytes + 14, 2);
		frame[12] = ETHERNET_TYPE_IPV4 >> 8;
		ip[0] = 0x46;
		ip[1] = 0xc0; // RFC 3376 section 4
		ip[3] = (uint8_t)(IPV4_HEADER_SIZE + 4 + size);
		ip[8] = 1;
		ip[9] = IPPROTO_IGMP;
		memcpy(ip + 12, &source->words[3], 4);
		memcpy(ip + 16, &destination->words[3], 4);
		memcpy(ip + 20, (uint8_t[]){0x94, 4, 0, 0}, 4); // RFC 2113
		checksum = checksum_finish(checksum_add(0, ip, IPV4_HEADER_SIZE + 4));
		memcpy(ip + 10, &checksum, 2);
		return ETHERNET_HEADER_SIZE + IPV4_HEADER_SIZE + 4;
	}
	memcpy(frame, (uint8_t[]){0x33, 0x33}, 2);
	memcpy(frame + 2, destination->bytes + 12, 4);
	frame[12] = ETHERNET_TYPE_IPV6 >> 8;
	frame[13] = ETHERNET_TYPE_IPV6 & 0xff;
	ip[0] = 0x60;
	ip[5] = (uint8_t)(8 + size);
	ip[6] = IPPROTO_HOPOPTS;
	ip[7] = 1;
	memcpy(ip + 8, source, 16);
	memcpy(ip + 24, destination, 16);
	memcpy(ip + 40, (uint8_t[]){IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, 8); // RFC 2711
	return ETHERNET_HEADER_SIZE + IPV6_HEADER_SIZE + 8;
}

static uint32_t finish(uint8_t *frame, uint32_t offset, const struct ip_address *source,
		       const struct ip_address *destination, uint32_t size)
{
	uint64_t sum =
		ip_is_v4(source) ? 0 : checksum_pseudo(source, destination, IPPROTO_ICMPV6, size);
	uint16_t checksum = checksum_finish(checksum_add(sum, frame + offset, size));

	memcpy(frame + offset + 2, &checksum, 2);
	return offset + size;
}

static void write_group(uint8_t *to, const struct ip_address *group, bool v4)
{
	if (v4)
		memcpy(to, &group->words[3], 4);
	else
		memcpy(to, group, 16);
}

uint32_t membership_query_write(uint8_t frame[MEMBERSHIP_FRAME_MAX], const struct mac_address *mac,
				const struct ip_address *source, const struct ip_address *group,
				uint32_t seconds)
{
	bool v4 = ip_is_v4(source), general = !ip_is_multicast(group);
	struct ip_address everybody = v4 ? ip_from_v4(htonl(0xe0000001))
					 : (struct ip_address){.bytes = {0xff, 2, [15] = 1}};
	const struct ip_address *to = general ? &everybody : group;
	uint32_t size = v4 ? 12 : 28, offset = write_head(frame, mac, source, to, size);
	uint8_t *query = frame + offset;

	if (v4) {
		query[0] = IGMP_QUERY;
		query[1] = (uint8_t)(seconds * 10);
	} else {
		query[0] = MLD_QUERY;
		query[4] = (uint8_t)(seconds * 1000 >> 8);
		query[5] = (uint8_t)(seconds * 1000);
	}
	if (!general)
		write_group(query + (v4 ? 4 : 8), group, v4);
	query[size - 4] = MEMBERSHIP_ROBUSTNESS;
	query[size - 3] = MEMBERSHIP_QUERY_INTERVAL;
	return finish(frame, offset, source, to, size);
}

uint32_t membership_report_write(uint8_t frame[MEMBERSHIP_FRAME_MAX], const struct mac_address *mac,
				 const struct ip_address *source, const struct ip_address *group,
				 bool member)
{
	bool v4 = ip_is_v4(source);
	struct ip_address routers = v4 ? ip_from_v4(htonl(0xe0000016))
				       : (struct ip_address){.bytes = {0xff, 2, [15] = 0x16}};
	uint32_t size = 8 + record_head(v4),
		 offset = write_head(frame, mac, source, &routers, size);
	uint8_t *report = frame + offset;

	report[0] = v4 ? IGMP_V3_REPORT : MLD_V2_REPORT;
	report[7] = 1;
	report[8] = member ? RECORD_IS_EXCLUDE : RECORD_TO_INCLUDE;
	write_group(report + 12, group, v4);
	return finish(frame, offset, source, &routers, size);
}

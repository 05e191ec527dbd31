// Any bytes as an IGMP or MLD message: in a frame with right headers and checksums, before a page
// that can't be read. The first byte: bit 0, the family.

#include <netinet/in.h>

#include "fuzz.h"
#include "layer/multicast/membership.h"
#include "packet/header.h"

#define MESSAGE_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool v4 = size && (data[0] & 1);
	struct packet packet = {.l3_offset = 14, .ttl = 1};
	struct membership_message message;
	struct membership_record record;
	uint32_t records = 0;
	uint16_t checksum;
	uint8_t *frame;

	if (size < 9 || size > MESSAGE_MAX)
		return 0;
	data++;
	size--;
	packet.l4_offset = v4 ? 34 : 54;
	packet.ip_length = (uint16_t)(packet.l4_offset - 14 + size);
	packet.key.protocol = v4 ? IPPROTO_IGMP : IPPROTO_ICMPV6;
	packet.source = v4 ? ip_from_v4(htonl(0x0a01000b))
			   : (struct ip_address){.bytes = {0xfe, 0x80, [15] = 1}};
	packet.destination = v4 ? ip_from_v4(htonl(0xe0000016))
				: (struct ip_address){.bytes = {0xff, 2, [15] = 0x16}};
	frame = guard_room(packet.l4_offset + (uint32_t)size);
	memcpy(frame + packet.l4_offset, data, size);
	frame[packet.l4_offset + 2] = frame[packet.l4_offset + 3] = 0;
	checksum = checksum_finish(
		checksum_add(v4 ? 0
				: checksum_pseudo(&packet.source, &packet.destination,
						  IPPROTO_ICMPV6, (uint32_t)size),
			     frame + packet.l4_offset, (uint32_t)size));
	memcpy(frame + packet.l4_offset + 2, &checksum, 2);
	packet.icmp_type = v4 ? 0 : data[0];
	if (!membership_is(&packet) || membership_read(frame, packet.l4_offset + (uint32_t)size,
						       &packet, &message) != DROP_NONE)
		return 0;
	while (membership_next(frame, &message, &record)) {
		require(ip_is_multicast(&record.group));
		require(ip_is_v4(&record.group) == v4);
		require(++records <= size);
	}
	return 0;
}

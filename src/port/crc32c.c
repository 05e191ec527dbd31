#include "port/crc32c.h"

#include <string.h>

#include <rte_mbuf.h>

// By four bits at a time; SCTP with an unfinished checksum is rare.
static uint32_t crc_add(uint32_t crc, const uint8_t *data, uint32_t size)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (size--) {
		crc ^= *data++;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

bool crc32c_complete(struct rte_mbuf *packet, uint32_t start, uint32_t end, uint32_t field)
{
	uint8_t *place = rte_pktmbuf_mtod_offset(packet, uint8_t *, field);
	const struct rte_mbuf *segment;
	uint32_t crc = ~0U, left = end - start, offset = start, part;

	memset(place, 0, 4);
	for (segment = packet; segment && left; segment = segment->next) {
		if (offset >= segment->data_len) {
			offset -= segment->data_len;
			continue;
		}
		part = RTE_MIN(left, segment->data_len - offset);
		crc = crc_add(crc, rte_pktmbuf_mtod_offset(segment, const uint8_t *, offset), part);
		left -= part;
		offset = 0;
	}
	if (left)
		return false;
	crc = rte_cpu_to_le_32(~crc);
	memcpy(place, &crc, sizeof(crc));
	return true;
}

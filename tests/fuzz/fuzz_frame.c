#include "fuzz_frame.h"

#include <netinet/in.h>

#include "packet/header.h"
#include "packet/packet.h"

void frame_repair(uint8_t *frame, uint32_t size)
{
	static const uint32_t starts[] = {0, 50, 70};

	for (unsigned int i = 0; i < 3; i++) {
		uint32_t l3 = starts[i] + ETHERNET_HEADER_SIZE;
		uint8_t *ip = frame + l3;
		uint16_t sum;

		if (l3 + IPV6_HEADER_SIZE + ICMP_HEADER_SIZE > size)
			return;
		if (ip[-2] == 0x08 && ip[-1] == 0) {
			uint32_t header = (ip[0] & 15u) * 4;

			if (l3 + header > size)
				continue;
			ip[10] = ip[11] = 0;
			sum = checksum_finish(checksum_add(0, ip, header));
			memcpy(ip + 10, &sum, 2);
		} else if (ip[-2] == 0x86 && ip[-1] == 0xdd && ip[6] == IPPROTO_ICMPV6) {
			uint32_t payload = (uint32_t)ip[4] << 8 | ip[5];
			struct ip_address source, destination;
			uint64_t pseudo;

			if (payload < ICMP_HEADER_SIZE || l3 + IPV6_HEADER_SIZE + payload > size)
				continue;
			memcpy(&source, ip + 8, 16);
			memcpy(&destination, ip + 24, 16);
			ip[42] = ip[43] = 0;
			pseudo = checksum_pseudo(&source, &destination, IPPROTO_ICMPV6, payload);
			sum = checksum_finish(checksum_add(pseudo, ip + 40, payload));
			memcpy(ip + 42, &sum, 2);
		}
	}
}

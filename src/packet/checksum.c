#include "packet/header.h"

#include <arpa/inet.h>

uint64_t checksum_add(uint64_t sum, const void *data, uint32_t size)
{
	const uint8_t *bytes = data;
	uint32_t word;

	for (; size >= 4; size -= 4, bytes += 4) {
		memcpy(&word, bytes, 4);
		sum += word;
	}
	if (size) {
		word = 0;
		memcpy(&word, bytes, size);
		sum += word;
	}
	return sum;
}

uint16_t checksum_finish(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint64_t checksum_pseudo(const struct ip_address *source, const struct ip_address *destination,
			 uint8_t protocol, uint32_t length)
{
	uint64_t sum = (uint64_t)htonl(protocol) + htonl(length);
	bool v4 = ip_is_v4(source);

	for (unsigned int i = v4 ? 3 : 0; i < 4; i++)
		sum += (uint64_t)source->words[i] + destination->words[i];
	return sum;
}

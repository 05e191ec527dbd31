#include "layer/router_advertisement/router_advertisement.h"

#define SOLICITATION_SIZE 8
#define OPTION_SOURCE	  1
#define OPTION_UNIT	  8

enum drop_reason router_solicitation_read(const uint8_t *data, const struct packet *packet)
{
	static const struct ip_address unspecified;
	const uint8_t *option = data + packet->l4_offset + SOLICITATION_SIZE;
	const uint8_t *end = data + packet->l3_offset + packet->ip_length;

	if (end < option)
		return DROP_ND_MALFORMED;
	while (option < end) {
		if (end - option < OPTION_UNIT || option[1] == 0 ||
		    option[1] * OPTION_UNIT > end - option)
			return DROP_ND_MALFORMED;
		if (option[0] == OPTION_SOURCE) {
			if (ip_equal(&packet->source, &unspecified))
				return DROP_ND_MALFORMED;
			if (memcmp(option + 2, &packet->source_mac, 6) != 0)
				return DROP_ND_SPOOFED;
		}
		option += option[1] * OPTION_UNIT;
	}
	return DROP_NONE;
}

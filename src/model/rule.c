// The texts in a SecurityGroup's rules.

#include "model/rule.h"

#include <netinet/in.h>
#include <string.h>

// Decimal without leading zeros, up to `max`. Returns what follows, or NULL.
static const char *number_parse(const char *text, unsigned max, unsigned *number)
{
	unsigned value = 0;
	const char *c = text;

	for (; *c >= '0' && *c <= '9'; c++) {
		value = value * 10 + (unsigned)(*c - '0');
		if (value > max)
			return NULL;
	}
	if (c == text || (*text == '0' && c != text + 1))
		return NULL;
	*number = value;
	return c;
}

bool rule_protocol_parse(const char *text, int *protocol)
{
	static const struct {
		const char *name;
		int protocol;
	} names[] = {
		{"", RULE_PROTOCOL_ANY}, {"tcp", IPPROTO_TCP},	       {"udp", IPPROTO_UDP},
		{"sctp", IPPROTO_SCTP},	 {"icmp", RULE_PROTOCOL_ICMP},
	};
	unsigned number;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*protocol = names[i].protocol;
			return true;
		}
	}
	const char *end = number_parse(text, 255, &number);
	if (!end || *end)
		return false;
	*protocol = (int)number;
	return true;
}

bool rule_ports_parse(const char *text, uint16_t *first, uint16_t *last)
{
	unsigned low, high;

	if (!*text) {
		*first = 0;
		*last = UINT16_MAX;
		return true;
	}
	const char *end = number_parse(text, UINT16_MAX, &low);
	if (!end)
		return false;
	high = low;
	if (*end == '-')
		end = number_parse(end + 1, UINT16_MAX, &high);
	if (!end || *end || low == 0 || low > high)
		return false;
	*first = (uint16_t)low;
	*last = (uint16_t)high;
	return true;
}

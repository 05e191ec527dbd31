// Own, and not tcpdump's output: which port and point a packet was seen at, and why it was dropped,
// has to stand in the same line, and nothing has to be installed for it. For more than a line there
// is -w - and Wireshark or tcpdump behind it.

#include "cli/packet_summary.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TYPE_IPV4      0x0800
#define TYPE_ARP       0x0806
#define TYPE_VLAN      0x8100
#define TYPE_VLAN_MORE 0x88a8
#define TYPE_IPV6      0x86dd
#define PORT_VXLAN     4789
#define ICMP6_ND_FIRST 133

struct text {
	char *start;
	size_t used;
};

// Bytes from one header on: `here` were captured, `whole` were sent.
struct rest {
	const uint8_t *bytes;
	size_t here, whole;
};

static void say(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *text, const char *format, ...)
{
	size_t room = PACKET_SUMMARY_SIZE - text->used;
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(text->start + text->used, room, format, args);
	va_end(args);
	if (length > 0)
		text->used += (size_t)length < room ? (size_t)length : room - 1;
}

static unsigned read16(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

static uint32_t read32(const uint8_t *bytes)
{
	return (uint32_t)read16(bytes) << 16 | read16(bytes + 2);
}

// False: so much is not here, and that was said.
static bool has(const struct rest *rest, size_t size, struct text *text)
{
	if (rest->here >= size)
		return true;
	say(text, "[|truncated]");
	return false;
}

static struct rest behind(struct rest rest, size_t size)
{
	size_t whole = rest.whole < size ? rest.whole : size;
	size_t here = rest.here < size ? rest.here : size;

	return (struct rest){rest.bytes + here, rest.here - here, rest.whole - whole};
}

static void frame(struct text *text, struct rest rest, unsigned depth);

static void tcp(struct text *text, struct rest rest)
{
	static const char letters[] = "FSRP.UEW";
	const uint8_t *header = rest.bytes;
	char flags[16] = "none";
	size_t size, count = 0;

	if (!has(&rest, 20, text))
		return;
	size = (size_t)(header[12] >> 4) * 4;
	for (unsigned i = 0; letters[i]; i++)
		if (header[13] >> i & 1)
			flags[count++] = letters[i];
	if (count)
		flags[count] = 0;
	rest = behind(rest, size);
	say(text, "Flags [%s], seq %u", flags, read32(header + 4));
	if (rest.whole)
		say(text, ":%u", (uint32_t)(read32(header + 4) + rest.whole));
	if (header[13] & 16)
		say(text, ", ack %u", read32(header + 8));
	say(text, ", win %u, length %zu", read16(header + 14), rest.whole);
}

static void icmp4(struct text *text, struct rest rest)
{
	if (!has(&rest, 8, text))
		return;
	switch (rest.bytes[0]) {
	case 0:
	case 8:
		say(text, "ICMP echo %s, id %u, seq %u", rest.bytes[0] ? "request" : "reply",
		    read16(rest.bytes + 4), read16(rest.bytes + 6));
		break;
	case 3:
		say(text, "ICMP destination unreachable, code %u", rest.bytes[1]);
		if (rest.bytes[1] == 4)
			say(text, ", mtu %u", read16(rest.bytes + 6));
		break;
	case 11:
		say(text, "ICMP time exceeded, code %u", rest.bytes[1]);
		break;
	default:
		say(text, "ICMP type %u, code %u", rest.bytes[0], rest.bytes[1]);
		break;
	}
	say(text, ", length %zu", rest.whole);
}

static void icmp6(struct text *text, struct rest rest)
{
	static const char *const discovery[] = {"router solicitation", "router advertisement",
						"neighbor solicitation", "neighbor advertisement",
						"redirect"};
	char target[INET6_ADDRSTRLEN];
	unsigned type;

	if (!has(&rest, 8, text))
		return;
	type = rest.bytes[0];
	if (type == 128 || type == 129) {
		say(text, "ICMP6, echo %s, id %u, seq %u", type == 128 ? "request" : "reply",
		    read16(rest.bytes + 4), read16(rest.bytes + 6));
	} else if (type >= ICMP6_ND_FIRST && type < ICMP6_ND_FIRST + 5) {
		say(text, "ICMP6, %s", discovery[type - ICMP6_ND_FIRST]);
		if ((type == 135 || type == 136) && rest.here >= 24)
			say(text, ", %s %s", type == 135 ? "who has" : "tgt is",
			    inet_ntop(AF_INET6, rest.bytes + 8, target, sizeof(target)));
	} else if (type == 1 || type == 3) {
		say(text, "ICMP6, %s, code %u",
		    type == 1 ? "destination unreachable" : "time exceeded", rest.bytes[1]);
	} else if (type == 2) {
		say(text, "ICMP6, packet too big, mtu %u", read32(rest.bytes + 4));
	} else {
		say(text, "ICMP6, type %u, code %u", type, rest.bytes[1]);
	}
	say(text, ", length %zu", rest.whole);
}

static void udp(struct text *text, struct rest rest, unsigned depth)
{
	unsigned port;

	if (!has(&rest, 8, text))
		return;
	port = read16(rest.bytes + 2);
	rest = behind(rest, 8);
	if (port == PORT_VXLAN && rest.here >= 8 && depth < 2) {
		say(text, "VXLAN, vni %u: ", read32(rest.bytes + 4) >> 8);
		frame(text, behind(rest, 8), depth + 1);
	} else {
		say(text, "UDP, length %zu", rest.whole);
	}
}

static bool has_ports(unsigned protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

// `later`: a fragment that does not begin with the transport header.
static void transport(struct text *text, struct rest rest, unsigned protocol, bool later,
		      unsigned depth)
{
	if (later) {
		say(text, "fragment, protocol %u, length %zu", protocol, rest.whole);
		return;
	}
	switch (protocol) {
	case IPPROTO_TCP:
		tcp(text, rest);
		break;
	case IPPROTO_UDP:
		udp(text, rest, depth);
		break;
	case IPPROTO_ICMP:
		icmp4(text, rest);
		break;
	case IPPROTO_ICMPV6:
		icmp6(text, rest);
		break;
	case IPPROTO_SCTP:
		say(text, "SCTP, length %zu", rest.whole);
		break;
	default:
		say(text, "protocol %u, length %zu", protocol, rest.whole);
		break;
	}
}

static void endpoints(struct text *text, int family, const void *source, const void *destination,
		      const struct rest *rest, unsigned protocol, bool later)
{
	bool ports = !later && has_ports(protocol) && rest->here >= 4;
	char address[INET6_ADDRSTRLEN];

	say(text, "%s %s", family == AF_INET ? "IP" : "IP6",
	    inet_ntop(family, source, address, sizeof(address)));
	if (ports)
		say(text, ".%u", read16(rest->bytes));
	say(text, " > %s", inet_ntop(family, destination, address, sizeof(address)));
	if (ports)
		say(text, ".%u", read16(rest->bytes + 2));
	say(text, ": ");
}

// Behind what the IP header says is padding.
static struct rest cut(struct rest rest, size_t whole)
{
	if (rest.whole > whole)
		rest.whole = whole;
	if (rest.here > rest.whole)
		rest.here = rest.whole;
	return rest;
}

static void ipv4(struct text *text, struct rest rest, unsigned depth)
{
	const uint8_t *header = rest.bytes;
	size_t size;
	bool later;

	if (!has(&rest, 20, text))
		return;
	size = (size_t)(header[0] & 15) * 4;
	later = read16(header + 6) & 0x1fff;
	rest = behind(cut(rest, read16(header + 2)), size < 20 ? 20 : size);
	endpoints(text, AF_INET, header + 12, header + 16, &rest, header[9], later);
	transport(text, rest, header[9], later, depth);
}

static void ipv6(struct text *text, struct rest rest, unsigned depth)
{
	const uint8_t *header = rest.bytes;
	unsigned protocol;
	bool later = false;

	if (!has(&rest, 40, text))
		return;
	protocol = header[6];
	rest = behind(cut(rest, 40 + (size_t)read16(header + 4)), 40);
	// Extension headers.
	for (unsigned i = 0; i < 8 && rest.here >= 8 && !later; i++) {
		bool fragment = protocol == IPPROTO_FRAGMENT;
		size_t size = fragment ? 8 : ((size_t)rest.bytes[1] + 1) * 8;

		if (!fragment && protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING &&
		    protocol != IPPROTO_DSTOPTS)
			break;
		later = fragment && (read16(rest.bytes + 2) & 0xfff8);
		protocol = rest.bytes[0];
		rest = behind(rest, size);
	}
	endpoints(text, AF_INET6, header + 8, header + 24, &rest, protocol, later);
	transport(text, rest, protocol, later, depth);
}

static void arp(struct text *text, struct rest rest)
{
	char sender[INET_ADDRSTRLEN], target[INET_ADDRSTRLEN];
	const uint8_t *bytes = rest.bytes;

	if (!has(&rest, 28, text))
		return;
	inet_ntop(AF_INET, bytes + 14, sender, sizeof(sender));
	inet_ntop(AF_INET, bytes + 24, target, sizeof(target));
	if (read16(bytes + 6) == 1)
		say(text, "ARP, Request who-has %s tell %s", target, sender);
	else
		say(text, "ARP, Reply %s is-at %02x:%02x:%02x:%02x:%02x:%02x", sender, bytes[8],
		    bytes[9], bytes[10], bytes[11], bytes[12], bytes[13]);
	say(text, ", length %zu", rest.whole);
}

static void frame(struct text *text, struct rest rest, unsigned depth)
{
	unsigned type;

	if (!has(&rest, 14, text))
		return;
	type = read16(rest.bytes + 12);
	rest = behind(rest, 14);
	while ((type == TYPE_VLAN || type == TYPE_VLAN_MORE) && rest.here >= 4) {
		say(text, "vlan %u, ", read16(rest.bytes) & 0xfff);
		type = read16(rest.bytes + 2);
		rest = behind(rest, 4);
	}
	switch (type) {
	case TYPE_IPV4:
		ipv4(text, rest, depth);
		break;
	case TYPE_IPV6:
		ipv6(text, rest, depth);
		break;
	case TYPE_ARP:
		arp(text, rest);
		break;
	default:
		say(text, "ethertype 0x%04x, length %zu", type, rest.whole);
		break;
	}
}

void packet_summary(const uint8_t *bytes, size_t captured, size_t length,
		    char buffer[PACKET_SUMMARY_SIZE])
{
	struct text text = {.start = buffer};

	buffer[0] = 0;
	frame(&text, (struct rest){bytes, captured, length < captured ? captured : length}, 0);
}

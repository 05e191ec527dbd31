// From one IP family into the other: addresses in addresses, headers, checksums, errors.

#include "test.h"

#include <arpa/inet.h>

#include "packet/family.h"
#include "packet/parse.h"

static struct ip_address address(const char *text)
{
	struct ip_address result;

	assert_true(ip_parse(text, &result));
	return result;
}

// RFC 6052 section 2.4.
static void test_addresses_in_addresses(void **state)
{
	static const struct {
		const char *prefix;
		uint8_t length;
		const char *result;
	} cases[] = {
		{"2001:db8::", 32, "2001:db8:c000:221::"},
		{"2001:db8:100::", 40, "2001:db8:1c0:2:21::"},
		{"2001:db8:122::", 48, "2001:db8:122:c000:2:2100::"},
		{"2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::"},
		{"2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::"},
		{"2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33"},
		{"64:ff9b::", 96, "64:ff9b::192.0.2.33"},
	};
	struct ip_address v4 = address("192.0.2.33");

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ip_prefix prefix = {address(cases[i].prefix), cases[i].length};
		struct ip_address made = family_embed(&prefix, &v4),
				  want = address(cases[i].result);
		struct ip_address back = family_extract(cases[i].length, &made);

		check_case(ip_equal(&made, &want), "%s/%u\n", cases[i].prefix, cases[i].length);
		check_case(ip_equal(&back, &v4), "%s/%u back\n", cases[i].prefix, cases[i].length);
	}
}

// RFC 6052 section 3.1.
static void test_forbidden_addresses(void **state)
{
	static const struct {
		const char *address;
		bool well_known, other; // forbidden there
	} cases[] = {
		{"8.8.8.8", false, false},	   {"10.0.0.0", true, false},
		{"9.255.255.255", false, false},   {"11.0.0.0", false, false},
		{"172.15.255.255", false, false},  {"172.31.255.255", true, false},
		{"192.168.1.1", true, false},	   {"100.127.255.255", true, false},
		{"100.128.0.0", false, false},	   {"198.19.255.255", true, false},
		{"198.20.0.0", false, false},	   {"192.0.0.171", true, false},
		{"192.0.1.0", false, false},	   {"127.0.0.1", true, true},
		{"0.0.0.0", true, true},	   {"169.254.169.254", true, true},
		{"223.255.255.255", false, false}, {"224.0.0.1", true, true},
		{"255.255.255.255", true, true},
	};
	struct ip_prefix well_known = {address("64:ff9b::"), 96},
			 other = {address("2001:db8::"), 96};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ip_address v4 = address(cases[i].address);

		check_case(family_is_forbidden(&well_known, &v4) == cases[i].well_known &&
				   family_is_forbidden(&other, &v4) == cases[i].other,
			   "%s\n", cases[i].address);
	}
}

#define PAYLOAD 37

// An Ethernet frame with a right checksum; `protocol` is the IP version's own.
static uint32_t make_frame(uint8_t *frame, const struct flow_key *key, bool request,
			   const uint8_t *payload, uint32_t size)
{
	bool v4 = ip_is_v4(&key->source),
	     icmp = key->protocol == IPPROTO_ICMP || key->protocol == IPPROTO_ICMPV6;
	uint32_t header = v4 ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	uint32_t l4_size = (key->protocol == IPPROTO_TCP ? 20 : 8) + size, field;
	uint8_t *ip = frame + ETHERNET_HEADER_SIZE, *l4 = ip + header;
	uint16_t value = htons((uint16_t)(v4 ? header + l4_size : l4_size));

	memset(frame, 0, ETHERNET_HEADER_SIZE + header + l4_size);
	frame[5] = 1;
	frame[11] = 2;
	frame[12] = v4 ? 0x08 : 0x86;
	frame[13] = v4 ? 0x00 : 0xdd;
	if (v4) {
		ip[0] = 0x45;
		ip[1] = 0x2e;
		memcpy(ip + 2, &value, 2);
		ip[8] = 61;
		ip[9] = key->protocol;
		memcpy(ip + 12, &key->source.words[3], 4);
		memcpy(ip + 16, &key->destination.words[3], 4);
		value = checksum_finish(checksum_add(0, ip, header));
		memcpy(ip + 10, &value, 2);
	} else {
		ip[0] = 0x62;
		ip[1] = 0xe0;
		memcpy(ip + 4, &value, 2);
		ip[6] = key->protocol;
		ip[7] = 61;
		memcpy(ip + 8, &key->source, 16);
		memcpy(ip + 24, &key->destination, 16);
	}
	memcpy(l4, &key->source_port, 2);
	memcpy(l4 + 2, &key->destination_port, 2);
	field = key->protocol == IPPROTO_TCP ? 16 : 6;
	if (key->protocol == IPPROTO_TCP) {
		l4[12] = 0x50;
		l4[13] = TCP_ACK;
		l4[15] = 9;
	} else if (key->protocol == IPPROTO_UDP) {
		value = htons((uint16_t)l4_size);
		memcpy(l4 + 4, &value, 2);
	} else {
		uint8_t type = v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;

		if (request)
			type = v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST;
		l4[0] = type;
		l4[1] = l4[2] = l4[3] = 0;
		memcpy(l4 + 4, request ? &key->source_port : &key->destination_port, 2);
		field = 2;
	}
	memcpy(l4 + l4_size - size, payload, size);
	value = checksum_finish(checksum_add(
		v4 && icmp
			? 0
			: checksum_pseudo(&key->source, &key->destination, key->protocol, l4_size),
		l4, l4_size));
	memcpy(l4 + field, &value, 2);
	return ETHERNET_HEADER_SIZE + header + l4_size;
}

static struct packet parse(const uint8_t *frame, uint32_t size)
{
	struct packet packet;

	memset(&packet, 0, sizeof(packet));
	assert_int_equal(packet_parse(frame, size, size, &packet), DROP_NONE);
	return packet;
}

// A frame that was translated is the one that would have been made in the other family.
static void check_translated(const struct flow_key *from, const struct flow_key *to, bool request)
{
	uint8_t frame[256], want[256], got[256], header[IPV6_HEADER_SIZE], payload[PAYLOAD];
	struct flow_key back = flow_key_reverse(to, 9);
	uint32_t size, wanted,
		new_size = ip_is_v4(&to->source) ? IPV4_HEADER_SIZE : IPV6_HEADER_SIZE;
	struct packet packet;

	for (unsigned int i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	size = make_frame(frame, from, request, payload, sizeof(payload));
	wanted = make_frame(want, to, request, payload, sizeof(payload));
	packet = parse(frame, size);
	assert_true(family_can(frame, &packet));
	assert_int_equal((int)size + family_growth(&packet), (int)wanted);
	family_translate(frame, &packet, &back, 0, false, 0, header);
	memcpy(got, want, ETHERNET_HEADER_SIZE);
	memcpy(got + ETHERNET_HEADER_SIZE, header, new_size);
	memcpy(got + ETHERNET_HEADER_SIZE + new_size, frame + packet.l4_offset,
	       size - packet.l4_offset);
	assert_memory_equal(got, want, wanted);
}

static void test_packets(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6};

	for (unsigned int i = 0; i < sizeof(protocols); i++) {
		bool icmp = protocols[i] == IPPROTO_ICMPV6;
		struct flow_key inside = {
			.source = address("fd00:1::b"),
			.destination = address("64:ff9b::198.51.100.9"),
			.source_port = htons(40000),
			.destination_port = htons(icmp ? ICMP6_ECHO_REQUEST << 8 : 80),
			.protocol = protocols[i],
		};
		struct flow_key outside = family_key(&inside, true), in_again;

		outside.source = address("203.0.113.64");
		outside.source_port = htons(1025);
		outside.destination = address("198.51.100.9");
		assert_int_equal(outside.protocol, icmp ? IPPROTO_ICMP : protocols[i]);
		check_translated(&inside, &outside, true);
		// And its answer.
		outside = flow_key_reverse(&outside, 9);
		in_again = flow_key_reverse(&inside, 9);
		check_translated(&outside, &in_again, false);
	}
}

// A router says that what was sent needs fragmentation, 1400. Returns the frame's size.
static uint32_t make_error(uint8_t *frame, const struct ip_address *to, const uint8_t *quoted,
			   uint32_t size)
{
	struct flow_key router = {
		.source = address("192.0.2.1"), .destination = *to, .protocol = IPPROTO_ICMP};
	uint16_t value;

	size = make_frame(frame, &router, false, quoted + ETHERNET_HEADER_SIZE,
			  size - ETHERNET_HEADER_SIZE);
	frame[34] = 3;
	frame[35] = 4;
	frame[40] = 1400 >> 8;
	frame[41] = 1400 & 255;
	frame[36] = frame[37] = 0;
	value = checksum_finish(checksum_add(0, frame + 34, size - 34));
	memcpy(frame + 36, &value, 2);
	return size;
}

// A router in IPv4 refuses what a workload has sent in IPv6.
static void test_error(void **state)
{
	struct flow_key inside = {
		.source = address("fd00:1::b"),
		.destination = address("64:ff9b::198.51.100.9"),
		.source_port = htons(40000),
		.destination_port = htons(80),
		.protocol = IPPROTO_UDP,
	};
	struct flow_key outside = inside, back;
	uint8_t quoted[256], sent[256], frame[512], result[FAMILY_ERROR_SIZE],
		payload[PAYLOAD] = {5};
	struct ip_address wanted = address("64:ff9b::192.0.2.1"), got;
	uint32_t size, sent_size, made;
	struct packet packet;

	outside.source = address("203.0.113.64");
	outside.source_port = htons(1025);
	outside.destination = address("198.51.100.9");
	size = make_frame(quoted, &outside, false, payload, sizeof(payload));
	sent_size = make_frame(sent, &inside, false, payload, sizeof(payload));
	size = make_error(frame, &outside.source, quoted, size);
	packet = parse(frame, size);
	assert_int_equal(packet.kind, PACKET_ICMP_ERROR);
	back = inside;
	assert_true(family_can(frame, &packet));
	made = family_translate_error(frame, &packet, &back, 1, result);
	assert_int_equal(made,
			 IPV6_HEADER_SIZE + ICMP_HEADER_SIZE + sent_size - ETHERNET_HEADER_SIZE);
	memcpy(&got, result + 8, 16);
	assert_true(ip_equal(&got, &wanted));
	assert_int_equal(result[7], 60);
	assert_int_equal(result[40], 2);
	assert_int_equal(ntohl(read32(result + 44)), 1420);
	assert_int_equal(checksum_finish(checksum_add(checksum_pseudo(&wanted, &inside.source,
								      IPPROTO_ICMPV6, made - 40),
						      result + 40, made - 40)),
			 0);
	// What it quotes is what was sent.
	assert_memory_equal(result + 48, sent + ETHERNET_HEADER_SIZE,
			    sent_size - ETHERNET_HEADER_SIZE);
}

// Of ICMP only what quotes an echo has a meaning there, whatever an identifier looks like.
static void test_error_about_icmp(void **state)
{
	static const struct {
		uint8_t type;
		bool can;
	} cases[] = {{ICMP_ECHO_REQUEST, true}, {ICMP_ECHO_REPLY, true}, {13, false}, {16, false}};
	uint8_t quoted[256], frame[512], result[FAMILY_ERROR_SIZE], payload[PAYLOAD] = {5};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct flow_key outside = {
			.source = address("203.0.113.64"),
			.destination = address("198.51.100.9"),
			.source_port = htons(ICMP_ECHO_REQUEST << 8),
			.destination_port = htons(ICMP_ECHO_REQUEST << 8),
			.protocol = IPPROTO_ICMP,
		};
		uint32_t size = make_frame(quoted, &outside, true, payload, sizeof(payload));
		struct packet packet;
		struct flow_key back;

		quoted[34] = cases[i].type;
		size = make_error(frame, &outside.source, quoted, size);
		packet = parse(frame, size);
		back = flow_key_reverse(&packet.key, 9);
		back.source = address("fd00:1::b");
		back.destination = address("64:ff9b::198.51.100.9");
		back.protocol = IPPROTO_ICMPV6;
		assert_int_equal(family_translate_error(frame, &packet, &back, 1, result) != 0,
				 cases[i].can);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_in_addresses),
		cmocka_unit_test(test_forbidden_addresses),
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_error_about_icmp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// IGMP and MLD: what is read from each version's messages, what is refused, and what is written.

#include "test.h"

#include <netinet/in.h>

#include "frame.h"
#include "layer/multicast/membership.h"
#include "packet/header.h"

#define HOST "52:54:00:00:00:01"

// A message from hex digits: 'C' stands for the checksum's place, which is filled in.
struct message_case {
	const char *bytes;
	enum drop_reason reason;
	const char *records; // "+GROUP " and "-GROUP " one after the other; "?" for a query
};

#define V4(a)	  "e00100" a // 224.1.0.x
#define V6(a)	  "ff0500000000000000000000000000" a
#define V4_SOURCE "0a010001"
#define V6_SOURCE "fd000000000000000000000000000001"

static const struct message_case igmp[] = {
	{"1100CCCC00000000", DROP_NONE, "?"},
	{"1164CCCC0000000002000000", DROP_NONE, "?"},
	{"1200CCCC" V4("07"), DROP_NONE, "+224.1.0.7 "},
	{"1600CCCC" V4("07"), DROP_NONE, "+224.1.0.7 "},
	{"1700CCCC" V4("07"), DROP_NONE, "-224.1.0.7 "},
	{"1600CCCC0a010007", DROP_MEMBERSHIP_MALFORMED, ""},
	{"1600CCCCffffffff", DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC00000000", DROP_NONE, ""},
	{"2200CCCC0000000102000000" V4("01"), DROP_NONE, "+224.1.0.1 "},
	{"2200CCCC0000000104000000" V4("01"), DROP_NONE, "+224.1.0.1 "},
	{"2200CCCC0000000103000000" V4("01"), DROP_NONE, "-224.1.0.1 "},
	{"2200CCCC0000000101000000" V4("01"), DROP_NONE, "-224.1.0.1 "},
	{"2200CCCC0000000105000001" V4("01") V4_SOURCE, DROP_NONE, "+224.1.0.1 "},
	{"2200CCCC0000000106000001" V4("01") V4_SOURCE, DROP_NONE, "-224.1.0.1 "},
	{"2200CCCC0000000103000002" V4("01") V4_SOURCE V4_SOURCE, DROP_NONE, "+224.1.0.1 "},
	// With auxiliary data, and one of a type that nobody knows.
	{"2200CCCC0000000304010001" V4("01") V4_SOURCE "deadbeef"
						       "09000000" V4("02") "03000000" V4("03"),
	 DROP_NONE, "+224.1.0.1 -224.1.0.3 "},
	// Behind the last record: ignored.
	{"2200CCCC0000000104000000" V4("01") "deadbeef", DROP_NONE, "+224.1.0.1 "},
	// Longer than the message is.
	{"2200CCCC0000000204000000" V4("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC0000000104000001" V4("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC000000010400ffff" V4("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC0000000104ff0000" V4("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC0000ffff04000000" V4("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"2200CCCC0000000104000000"
	 "0a010001",
	 DROP_MEMBERSHIP_MALFORMED, ""},
	{"1600CCCC", DROP_MEMBERSHIP_MALFORMED, ""},
	{"1600"
	 "beef" V4("07"),
	 DROP_MEMBERSHIP_MALFORMED, ""},
	{"1300CCCC" V4("07"), DROP_MULTICAST, ""},
};

static const struct message_case mld[] = {
	{"8200CCCC27100000"
	 "00000000000000000000000000000000",
	 DROP_NONE, "?"},
	{"8300CCCC00000000" V6("07"), DROP_NONE, "+ff05::7 "},
	{"8400CCCC00000000" V6("07"), DROP_NONE, "-ff05::7 "},
	{"8300CCCC0000000000000000000000000000ffffef030122", DROP_MEMBERSHIP_MALFORMED, ""},
	{"8300CCCC00000000" V6_SOURCE, DROP_MEMBERSHIP_MALFORMED, ""},
	{"8300CCCC00000000", DROP_MEMBERSHIP_MALFORMED, ""},
	{"8f00CCCC0000000104000000" V6("01"), DROP_NONE, "+ff05::1 "},
	{"8f00CCCC0000000203000000" V6("01") "05000001" V6("02") V6_SOURCE, DROP_NONE,
	 "-ff05::1 +ff05::2 "},
	{"8f00CCCC0000000106000001" V6("01") V6_SOURCE, DROP_NONE, "-ff05::1 "},
	{"8f00CCCC0000000204000000" V6("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"8f00CCCC0000000104000001" V6("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"8f00CCCC000000010400ffff" V6("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"8f00CCCC0000000104010000" V6("01"), DROP_MEMBERSHIP_MALFORMED, ""},
	{"8f00"
	 "beef"
	 "0000000104000000" V6("01"),
	 DROP_MEMBERSHIP_MALFORMED, ""},
};

static void make(struct frame *frame, const char *bytes, const char *source, uint8_t ttl)
{
	bool v4 = strchr(source, '.') != NULL;
	uint32_t size = (uint32_t)strlen(bytes) / 2;
	uint64_t sum = 0;
	uint16_t checksum;
	uint8_t *message;

	frame_ethernet(frame, v4 ? "01:00:5e:00:00:16" : "33:33:00:00:00:16", HOST, 0);
	frame_ip(frame, source, v4 ? "224.0.0.22" : "ff02::16", ttl, v4 ? 4 : 0);
	if (!v4)
		frame_extension(frame, IPPROTO_HOPOPTS, 8);
	frame_protocol(frame, v4 ? IPPROTO_IGMP : IPPROTO_ICMPV6);
	message = frame_append(frame, size);
	for (uint32_t i = 0; i < size; i++) {
		unsigned int byte = 0;

		sscanf(bytes + 2 * i, "%2x", &byte);
		message[i] = bytes[2 * i] == 'C' ? 0 : (uint8_t)byte;
	}
	frame_finish(frame);
	if (!strchr(bytes, 'C')) {
		memset(message + 2, 0xbe, 2);
		return;
	}
	memset(message + 2, 0, 2);
	if (!v4) {
		struct ip_address from = address(source), to = address("ff02::16");

		sum = checksum_pseudo(&from, &to, IPPROTO_ICMPV6, size);
	}
	checksum = checksum_finish(checksum_add(sum, message, size));
	memcpy(message + 2, &checksum, 2);
}

static void read_all(const struct message_case *c, const char *source, uint8_t ttl,
		     enum drop_reason reason)
{
	struct membership_message message;
	struct membership_record record;
	char records[256] = "", text[IP_TEXT_SIZE];
	struct packet packet;
	struct frame frame;
	uint8_t *data;

	make(&frame, c->bytes, source, ttl);
	data = guard_put(frame.data, frame.size);
	// ICMPv6 that is too short is no packet at all.
	if (packet_parse(data, frame.size, frame.size, &packet) != DROP_NONE) {
		assert_int_not_equal(c->reason, DROP_NONE);
		return;
	}
	check_case(membership_is(&packet), "%s", c->bytes);
	check_case(membership_read(data, frame.size, &packet, &message) == reason, "%s\n",
		   c->bytes);
	if (reason != DROP_NONE)
		return;
	if (message.query)
		strcat(records, "?");
	while (membership_next(data, &message, &record)) {
		strcat(records, record.member ? "+" : "-");
		strcat(records, ip_format(&record.group, text));
		strcat(records, " ");
	}
	check_case(strcmp(records, c->records) == 0, "%s: %s\n", c->bytes, records);
	// What is not all in one piece is not read.
	check_case(membership_read(data, frame.size - 1, &packet, &message) != DROP_NONE, "%s\n",
		   c->bytes);
}

static void test_igmp(void **state)
{
	for (size_t i = 0; i < sizeof(igmp) / sizeof(*igmp); i++) {
		read_all(&igmp[i], "10.1.0.11", 1, igmp[i].reason);
		read_all(&igmp[i], "0.0.0.0", 1, igmp[i].reason);
	}
}

static void test_mld(void **state)
{
	for (size_t i = 0; i < sizeof(mld) / sizeof(*mld); i++) {
		read_all(&mld[i], "fe80::1", 1, mld[i].reason);
		read_all(&mld[i], "::", 1, mld[i].reason);
		// From afar.
		read_all(&mld[i], "fe80::1", 2, DROP_MEMBERSHIP_MALFORMED);
		read_all(&mld[i], "fd00:1::11", 1, DROP_MEMBERSHIP_MALFORMED);
	}
}

// What is written is read again.
static void test_written(void **state)
{
	static const char *const cases[][3] = {{"10.1.0.1", "239.1.2.3", "01:00:5e:01:02:03"},
					       {"0.0.0.0", "239.129.2.3", "01:00:5e:01:02:03"},
					       {"fe80::1", "ff05::1:3", "33:33:00:01:00:03"}};
	static const struct ip_address general;

	for (size_t i = 0; i < 3 * 4; i++) {
		struct ip_address source = address(cases[i / 4][0]),
				  group = address(cases[i / 4][1]);
		struct mac_address own = mac("02:53:4c:00:00:01"), to = mac(cases[i / 4][2]);
		bool v4 = ip_is_v4(&source), query = i & 1, specific = i & 2;
		struct membership_message message;
		struct membership_record record;
		struct packet packet;
		struct frame frame;

		frame.size = query ? membership_query_write(frame.data, &own, &source,
							    specific ? &group : &general, 10)
				   : membership_report_write(frame.data, &own, &source, &group,
							     specific);
		assert_true(frame.size <= MEMBERSHIP_FRAME_MAX);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_true(mac_equal(&packet.source_mac, &own));
		assert_int_equal(packet.ttl, 1);
		assert_int_equal(packet.ip_length + ETHERNET_HEADER_SIZE, frame.size);
		assert_int_equal(membership_read(frame.data, frame.size, &packet, &message),
				 DROP_NONE);
		assert_int_equal(message.query, query);
		if (query && specific) {
			assert_true(mac_equal(&packet.destination_mac, &to));
			assert_true(ip_equal(&packet.destination, &group));
		}
		if (query) {
			uint8_t *max = frame.data + packet.l4_offset;

			assert_int_equal(v4 ? max[1] : max[4] << 8 | max[5], v4 ? 100 : 10000);
			assert_false(membership_next(frame.data, &message, &record));
			continue;
		}
		assert_true(membership_next(frame.data, &message, &record));
		assert_true(ip_equal(&record.group, &group));
		assert_int_equal(record.member, specific);
		assert_false(membership_next(frame.data, &message, &record));
	}
}

static void test_others(void **state)
{
	struct packet packet;
	struct frame frame;

	frame_ethernet(&frame, "33:33:00:00:00:01", HOST, 0);
	frame_ip(&frame, "fe80::1", "ff02::1", 1, 0);
	frame_icmp(&frame, ICMP6_ECHO_REQUEST, 0, 0);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_false(membership_is(&packet));
	frame_ethernet(&frame, "01:00:5e:00:00:16", HOST, 0);
	frame_ip(&frame, "10.1.0.11", "224.0.0.22", 1, 0);
	frame_udp(&frame, 1, 2);
	frame_finish(&frame);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	assert_false(membership_is(&packet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_igmp),
		cmocka_unit_test(test_mld),
		cmocka_unit_test(test_written),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// DHCPv6: messages read at the edge of memory, and what becomes of each kind.

#include "test.h"

#include "frame.h"
#include "layer/dhcpv6/dhcpv6.h"

#define CLIENT	 "\0\1\0\x0a\0\3\0\1\x52\x54\0\0\0\1"
#define SERVER	 "\0\2\0\x0a\0\3\0\1\2\x53\x4c\0\x13\x89"
#define OTHER	 "\0\2\0\x0a\0\3\0\1\2\x53\x4c\0\x13\x8a"
#define OWN	 "\0\5\0\x18\xfd\0\0\1\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0"
#define FOREIGN	 "\0\5\0\x18\xfd\0\0\7\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0"
#define IA(size) "\0\3\0" size "IAID\0\0\0\0\0\0\0\0"

struct message_case {
	const char *data;
	uint32_t size;
	enum drop_reason reason; // of the answer; DROP_TRUNCATED: it can't even be read
	uint8_t type;
	int status; // first status in the answer, -1: none
};

#define MESSAGE(kind, rest) kind "\1\2\3" rest, sizeof(kind "\1\2\3" rest) - 1

static const struct message_case cases[] = {
	{MESSAGE("\1", CLIENT IA("\x0c")), DROP_NONE, DHCPV6_ADVERTISE, -1},
	{MESSAGE("\1", CLIENT IA("\x0c") "\0\x0e\0\0"), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\1", CLIENT), DROP_NONE, DHCPV6_ADVERTISE, -1},
	{MESSAGE("\1", IA("\x0c")), DROP_DHCP_MALFORMED, 0, 0},
	{MESSAGE("\1", CLIENT SERVER), DROP_DHCP_MALFORMED, 0, 0},
	{MESSAGE("\3", CLIENT SERVER IA("\x28") OWN), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\3", CLIENT SERVER IA("\x28") FOREIGN), DROP_NONE, DHCPV6_REPLY,
	 DHCPV6_NOT_ON_LINK},
	{MESSAGE("\3", CLIENT OTHER IA("\x0c")), DROP_DHCP_UNANSWERED, 0, 0},
	{MESSAGE("\3", CLIENT IA("\x0c")), DROP_DHCP_MALFORMED, 0, 0},
	{MESSAGE("\4", CLIENT IA("\x28") OWN), DROP_NONE, DHCPV6_REPLY, DHCPV6_SUCCESS},
	{MESSAGE("\4", CLIENT IA("\x28") FOREIGN), DROP_NONE, DHCPV6_REPLY, DHCPV6_NOT_ON_LINK},
	{MESSAGE("\4", CLIENT IA("\x0c")), DROP_DHCP_UNANSWERED, 0, 0},
	{MESSAGE("\5", CLIENT SERVER IA("\x28") FOREIGN), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\6", CLIENT IA("\x28") OWN), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\6", CLIENT SERVER IA("\x28") OWN), DROP_DHCP_MALFORMED, 0, 0},
	{MESSAGE("\x08", CLIENT SERVER IA("\x28") OWN), DROP_NONE, DHCPV6_REPLY, DHCPV6_SUCCESS},
	{MESSAGE("\x09", CLIENT SERVER IA("\x28") OWN), DROP_NONE, DHCPV6_REPLY, DHCPV6_SUCCESS},
	{MESSAGE("\x0b", CLIENT), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\x0b", ""), DROP_NONE, DHCPV6_REPLY, -1},
	{MESSAGE("\x0b", CLIENT IA("\x0c")), DROP_DHCP_MALFORMED, 0, 0},
	{MESSAGE("\x0b", OTHER), DROP_DHCP_UNANSWERED, 0, 0},
	{MESSAGE("\2", CLIENT SERVER), DROP_DHCP_SPOOFED, 0, 0},
	{MESSAGE("\7", CLIENT SERVER), DROP_DHCP_SPOOFED, 0, 0},
	{MESSAGE("\x0a", CLIENT SERVER), DROP_DHCP_SPOOFED, 0, 0},
	{MESSAGE("\x0c", ""), DROP_DHCP_SPOOFED, 0, 0},
	{MESSAGE("\x0d", ""), DROP_DHCP_SPOOFED, 0, 0},
	{MESSAGE("\x0e", CLIENT), DROP_DHCP_UNANSWERED, 0, 0},
	{MESSAGE("\1", CLIENT CLIENT), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", "\0\1\0\2\0\3"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT "\0\3\0\x0bIAID\0\0\0\0\0\0\0"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT IA("\x10") "\0\5\0\x18"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT IA("\x10") "\0\5\0\0"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT "\0\6\0\3\0\1\2"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT "\0\x0f\0\3\0\2x"), DROP_TRUNCATED, 0, 0},
	{MESSAGE("\1", CLIENT "\0"), DROP_TRUNCATED, 0, 0},
};

static struct dhcpv6_server server = {
	.identifier = {0, 3, 0, 1, 2, 0x53, 0x4c, 0, 0x13, 0x89}, .lease = 100, .mtu = 1400};
static struct boot boot;

// The first status code anywhere in an answer, or -1.
static int first_status(const uint8_t *data, uint32_t size)
{
	for (uint32_t at = 4; at + 4 <= size;) {
		uint32_t code = (uint32_t)data[at] << 8 | data[at + 1];
		uint32_t length = (uint32_t)data[at + 2] << 8 | data[at + 3];

		if (code == DHCPV6_OPTION_STATUS)
			return data[at + 4] << 8 | data[at + 5];
		// Into an identity, behind its times.
		at += code == DHCPV6_OPTION_IA_NA ? 16 : 4 + length;
	}
	return -1;
}

static void test_messages(void **state)
{
	struct ip_address own = address("fd00:1::11");
	struct ip_prefix prefix = {.address = address("fd00:1::"), .length = 64};
	struct dhcpv6_offer offer = {.server = &server,
				     .addresses = &own,
				     .address_count = 1,
				     .prefixes = &prefix,
				     .prefix_count = 1,
				     .host_name = "web-1",
				     .domain = "example.org",
				     .boot = &boot};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct message_case *this = &cases[i];
		struct dhcpv6_message message, again;
		uint8_t reply[DHCPV6_MESSAGE_MAX];
		enum drop_reason reason;
		uint32_t size;
		bool read = dhcpv6_read(guard_put(this->data, this->size), this->size, &message);

		check_case(read == (this->reason != DROP_TRUNCATED), "case %u\n", i);
		for (uint32_t cut = 0; cut < this->size; cut++)
			dhcpv6_read(guard_put(this->data, cut), cut, &again);
		if (!read || !dhcpv6_read((const uint8_t *)this->data, this->size, &message))
			continue;
		reason = dhcpv6_answer(&offer, &message, false, reply, &size);
		check_case(reason == this->reason, "case %u: %s\n", i, drop_reason_name(reason));
		check_case((size != 0) == (reason == DROP_NONE), "case %u\n", i);
		if (!size)
			continue;
		check_case(reply[0] == this->type && memcmp(reply + 1, "\1\2\3", 3) == 0,
			   "case %u: type %u\n", i, reply[0]);
		check_case(first_status(reply, size) == this->status, "case %u\n", i);
		assert_true(dhcpv6_read(reply, size, &again));
		assert_memory_equal(again.server.data, server.identifier, DHCPV6_DUID_SIZE);
		assert_true(!message.client.data == !again.client.data);
	}
}

// What no message has room for is left out whole.
static void test_room(void **state)
{
	static const uint8_t data[64];

	for (uint32_t limit = 4; limit < 40; limit++) {
		uint8_t message[64] = {0};
		struct dhcpv6_writer writer = {.message = message, .used = 4, .limit = limit};
		bool room = limit >= 4 + 4 + 20;

		message[limit] = 0x5a;
		assert_int_equal(dhcpv6_write(&writer, 1, data, 20), room);
		assert_int_equal(writer.used, room ? 28 : 4);
		assert_int_equal(message[limit], 0x5a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

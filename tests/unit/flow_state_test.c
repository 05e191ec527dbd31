// What may open a connection, with which state it begins, and the protocols without a handshake.

#include "test.h"

#include <netinet/in.h>

#include "flow/state.h"
#include "packet/header.h"

#define SYN  TCP_SYN
#define ACK  TCP_ACK
#define FIN  TCP_FIN
#define RST  TCP_RST
#define PSH  TCP_PSH
#define S(x) FLOW_STATE_##x

static const uint8_t nonsense[] = {0,
				   PSH,
				   TCP_URG,
				   PSH | TCP_URG,
				   SYN | FIN,
				   SYN | RST,
				   FIN | RST,
				   FIN,
				   FIN | PSH,
				   FIN | PSH | TCP_URG,
				   SYN | FIN | ACK,
				   FIN | RST | ACK,
				   0xff,
				   SYN | FIN | RST};

static struct packet tcp(uint8_t flags)
{
	struct packet packet = {.tcp_flags = flags};

	packet.key.protocol = IPPROTO_TCP;
	return packet;
}

static void test_may_open(void **state)
{
	struct packet packet;

	for (unsigned int pick_up = 0; pick_up < 2; pick_up++) {
		for (size_t i = 0; i < sizeof(nonsense); i++) {
			packet = tcp(nonsense[i]);
			check_case(flow_state_may_open(&packet, pick_up) == DROP_TCP_FLAGS,
				   "flags %02x\n", nonsense[i]);
		}
		packet = tcp(RST);
		assert_int_equal(flow_state_may_open(&packet, pick_up), DROP_NO_CONNECTION);
		packet = tcp(RST | ACK);
		assert_int_equal(flow_state_may_open(&packet, pick_up), DROP_NO_CONNECTION);
		packet = tcp(SYN);
		assert_int_equal(flow_state_may_open(&packet, pick_up), DROP_NONE);
		// Explicit congestion notification asks with two more bits (RFC 3168).
		packet = tcp(SYN | 0xc0);
		assert_int_equal(flow_state_may_open(&packet, pick_up), DROP_NONE);
	}
	for (uint8_t flags = 0; flags < 2; flags++) {
		static const uint8_t middle[] = {ACK, PSH | ACK, SYN | ACK, FIN | ACK};

		for (size_t i = 0; i < sizeof(middle); i++) {
			packet = tcp(middle[i]);
			assert_int_equal(flow_state_may_open(&packet, false), DROP_NO_CONNECTION);
			assert_int_equal(flow_state_may_open(&packet, true), DROP_NONE);
		}
	}
}

// An answer that nobody asked for opens nothing.
static void test_icmp_may_open(void **state)
{
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int reply = 0; reply < 2; reply++) {
			struct packet packet = {.icmp_reply = (uint8_t)reply};

			packet.key.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
			assert_int_equal(flow_state_may_open(&packet, true),
					 reply ? DROP_NO_CONNECTION : DROP_NONE);
		}
	}
}

static void test_open(void **state)
{
	static const struct {
		uint8_t protocol, key_flags, tcp_flags;
		uint16_t state;
	} cases[] = {
		{IPPROTO_TCP, 0, SYN, S(SYN_SENT)},
		{IPPROTO_TCP, 0, SYN | ACK, S(PICKED_UP) | FLOW_LOOSE},
		{IPPROTO_TCP, 0, ACK, S(PICKED_UP) | FLOW_LOOSE},
		{IPPROTO_TCP, 0, PSH | ACK, S(PICKED_UP) | FLOW_LOOSE},
		{IPPROTO_TCP, 0, FIN | ACK, S(CLOSING) | FLOW_LOOSE | FLOW_FIN(FLOW_ORIGINAL)},
		{IPPROTO_UDP, 0, 0, S(UNREPLIED)},
		{IPPROTO_ICMP, 0, 0, S(ICMP)},
		{IPPROTO_ICMPV6, 0, 0, S(ICMP)},
		{IPPROTO_GRE, 0, 0, S(UNREPLIED)},
		{IPPROTO_ESP, 0, 0, S(UNREPLIED)},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet packet = {.tcp_flags = cases[i].tcp_flags};
		struct flow_account account = {.state = 0};

		packet.key.protocol = cases[i].protocol;
		packet.key.flags = cases[i].key_flags;
		flow_state_open(&account, &packet, false);
		check_case(account.state == cases[i].state, "case %zu: %x\n", i, account.state);
	}
}

// Flags that nobody sends change nothing, in any state.
static void test_nonsense(void **state)
{
	for (unsigned int s = S(SYN_SENT); s <= S(CLOSED); s++)
		for (unsigned int loose = 0; loose < 2; loose++)
			for (size_t i = 0; i < sizeof(nonsense); i++) {
				struct packet packet = tcp(nonsense[i]);
				struct flow_account account = {
					.state = (uint16_t)(loose ? s | FLOW_LOOSE : s),
				};
				struct flow_account before = account;

				check_case(flow_account_packet(NULL, &account, FLOW_REPLY, &packet,
							       60, 9) == FLOW_BREAKS,
					   "%s, flags %02x\n", flow_state_name(s), nonsense[i]);
				assert_memory_equal(&account, &before, sizeof(account));
			}
}

static void test_other_protocols(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_GRE, IPPROTO_ESP, IPPROTO_DCCP, IPPROTO_UDPLITE,
					    253};
	struct packet packet = {.key = {.protocol = IPPROTO_UDP}};
	struct flow_account account = {.state = S(UNREPLIED)};

	flow_account_packet(NULL, &account, FLOW_ORIGINAL, &packet, 60, 1);
	assert_int_equal(account.state, S(UNREPLIED));
	flow_account_packet(NULL, &account, FLOW_REPLY, &packet, 60, 1);
	assert_int_equal(account.state, S(REPLIED));
	flow_account_packet(NULL, &account, FLOW_ORIGINAL, &packet, 60, 1);
	assert_int_equal(account.state, S(REPLIED));
	for (size_t i = 0; i < sizeof(protocols); i++) {
		packet.key.protocol = protocols[i];
		account.state = S(UNREPLIED);
		flow_account_packet(NULL, &account, FLOW_ORIGINAL, &packet, 60, 1);
		assert_int_equal(account.state, S(UNREPLIED));
		flow_account_packet(NULL, &account, FLOW_REPLY, &packet, 60, 1);
		assert_int_equal(account.state, S(OTHER));
	}
	packet.key.protocol = IPPROTO_ICMP;
	account.state = S(ICMP);
	flow_account_packet(NULL, &account, FLOW_REPLY, &packet, 60, 1);
	assert_int_equal(account.state, S(ICMP));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_may_open),
		cmocka_unit_test(test_icmp_may_open),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_other_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

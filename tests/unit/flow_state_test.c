// The state of a connection: what may open one, and what each packet does to each state.

#include "test.h"

#include <netinet/in.h>

#include "flow/state.h"
#include "packet/header.h"

#define SYN TCP_SYN
#define ACK TCP_ACK
#define FIN TCP_FIN
#define RST TCP_RST
#define PSH TCP_PSH

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

	for (size_t i = 0; i < sizeof(nonsense); i++) {
		packet = tcp(nonsense[i]);
		check_case(flow_state_may_open(&packet) == DROP_TCP_FLAGS, "flags %02x\n",
			   nonsense[i]);
	}
	packet = tcp(RST);
	assert_int_equal(flow_state_may_open(&packet), DROP_NO_CONNECTION);
	packet = tcp(RST | ACK);
	assert_int_equal(flow_state_may_open(&packet), DROP_NO_CONNECTION);
	packet = tcp(SYN);
	assert_int_equal(flow_state_may_open(&packet), DROP_NONE);
	// Explicit congestion notification asks with two more bits (RFC 3168).
	packet = tcp(SYN | 0xc0);
	assert_int_equal(flow_state_may_open(&packet), DROP_NONE);
	packet = tcp(ACK);
	assert_int_equal(flow_state_may_open(&packet), DROP_NONE);
	// A fragment shows none.
	packet = tcp(0);
	packet.key.flags = FLOW_KEY_FRAGMENT | FLOW_KEY_ONE_WAY;
	assert_int_equal(flow_state_may_open(&packet), DROP_NONE);
}

// An answer that nobody asked for opens nothing.
static void test_icmp_may_open(void **state)
{
	static const uint8_t replies[2][4] = {{0, 14, 16, 18}, {129, 129, 129, 129}};

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int type = 0; type < 256; type++) {
			struct packet packet = {.icmp_type = (uint8_t)type};
			bool reply = memchr(replies[v6], (int)type, 4) != NULL;

			packet.key.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
			assert_int_equal(flow_state_may_open(&packet),
					 reply ? DROP_NO_CONNECTION : DROP_NONE);
		}
	}
	struct packet fragment = {.key = {.protocol = IPPROTO_ICMP, .flags = FLOW_KEY_FRAGMENT}};

	assert_int_equal(flow_state_may_open(&fragment), DROP_NONE);
}

static void test_first(void **state)
{
	static const struct {
		uint8_t protocol, key_flags, tcp_flags;
		enum flow_state state;
	} cases[] = {
		{IPPROTO_TCP, 0, SYN, FLOW_STATE_SYN_SENT},
		{IPPROTO_TCP, 0, SYN | ACK, FLOW_STATE_PICKED_UP},
		{IPPROTO_TCP, 0, ACK, FLOW_STATE_PICKED_UP},
		{IPPROTO_TCP, 0, PSH | ACK, FLOW_STATE_PICKED_UP},
		{IPPROTO_TCP, 0, FIN | ACK, FLOW_STATE_CLOSING},
		{IPPROTO_TCP, 3, 0, FLOW_STATE_UNREPLIED},
		{IPPROTO_UDP, 0, 0, FLOW_STATE_UNREPLIED},
		{IPPROTO_UDP, 3, 0, FLOW_STATE_UNREPLIED},
		{IPPROTO_ICMP, 0, 0, FLOW_STATE_ICMP},
		{IPPROTO_ICMPV6, 0, 0, FLOW_STATE_ICMP},
		{IPPROTO_SCTP, 0, 0, FLOW_STATE_UNREPLIED},
		{IPPROTO_GRE, 0, 0, FLOW_STATE_UNREPLIED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct packet packet = {.tcp_flags = cases[i].tcp_flags};

		packet.key.protocol = cases[i].protocol;
		packet.key.flags = cases[i].key_flags;
		check_case(flow_state_first(&packet) == cases[i].state, "case %zu: %s\n", i,
			   flow_state_name(flow_state_first(&packet)));
	}
}

#define ORIGINAL FLOW_ORIGINAL
#define REPLY	 FLOW_REPLY

// One row a state: what it becomes by SYN, SYN+ACK, ACK, FIN+ACK, RST of either direction. `closed`
// is the other direction's FIN where the state has one.
#define S(name) FLOW_STATE_##name
#define REOPENS -1

static const struct {
	enum flow_state state;
	uint8_t closed;
	int after[5][2]; // by flags, by direction
} transitions[] = {
	{S(SYN_SENT),
	 0,
	 {{S(SYN_SENT), S(SYN_RECEIVED)},
	  {S(SYN_SENT), S(SYN_RECEIVED)},
	  {S(SYN_SENT), S(SYN_SENT)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSED), S(CLOSED)}}},
	{S(SYN_RECEIVED),
	 0,
	 {{S(SYN_RECEIVED), S(SYN_RECEIVED)},
	  {S(SYN_RECEIVED), S(SYN_RECEIVED)},
	  {S(ESTABLISHED), S(SYN_RECEIVED)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSED), S(CLOSED)}}},
	{S(ESTABLISHED),
	 0,
	 {{S(ESTABLISHED), S(ESTABLISHED)},
	  {S(ESTABLISHED), S(ESTABLISHED)},
	  {S(ESTABLISHED), S(ESTABLISHED)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSED), S(CLOSED)}}},
	// One side alone can't make it last.
	{S(PICKED_UP),
	 0,
	 {{S(PICKED_UP), S(PICKED_UP)},
	  {S(PICKED_UP), S(PICKED_UP)},
	  {S(PICKED_UP), S(ESTABLISHED)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSED), S(CLOSED)}}},
	// The opener has sent FIN: only the other side's ends it.
	{S(CLOSING),
	 1 << ORIGINAL,
	 {{S(CLOSING), S(CLOSING)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSING), S(TIME_WAIT)},
	  {S(CLOSED), S(CLOSED)}}},
	{S(CLOSING),
	 1 << REPLY,
	 {{S(CLOSING), S(CLOSING)},
	  {S(CLOSING), S(CLOSING)},
	  {S(CLOSING), S(CLOSING)},
	  {S(TIME_WAIT), S(CLOSING)},
	  {S(CLOSED), S(CLOSED)}}},
	{S(TIME_WAIT),
	 3,
	 {{REOPENS, REOPENS},
	  {S(TIME_WAIT), S(TIME_WAIT)},
	  {S(TIME_WAIT), S(TIME_WAIT)},
	  {S(TIME_WAIT), S(TIME_WAIT)},
	  {S(CLOSED), S(CLOSED)}}},
	{S(CLOSED),
	 0,
	 {{REOPENS, REOPENS},
	  {S(CLOSED), S(CLOSED)},
	  {S(CLOSED), S(CLOSED)},
	  {S(CLOSED), S(CLOSED)},
	  {S(CLOSED), S(CLOSED)}}},
};

static void test_transitions(void **state)
{
	static const uint8_t flags[5] = {SYN, SYN | ACK, ACK, FIN | ACK, RST};
	// Bits that say nothing about the state.
	static const uint8_t more[] = {0, PSH, TCP_URG, 0x40, 0xc0 | PSH};

	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
		for (unsigned int f = 0; f < 5; f++)
			for (unsigned int direction = 0; direction < 2; direction++)
				for (size_t m = 0; m < sizeof(more); m++) {
					struct packet packet = tcp(flags[f] | more[m]);
					struct flow_account account = {
						.state = transitions[i].state,
						.closed = transitions[i].closed,
						.last_seen = 7,
					};
					int wanted = transitions[i].after[f][direction];
					enum flow_progress progress = flow_account_packet(
						&account, direction, &packet, 100, 9);

					check_case(progress == (wanted == REOPENS ? FLOW_REOPENS
										  : FLOW_GOES_ON),
						   "%s, flags %02x, direction %u: progress %d\n",
						   flow_state_name(transitions[i].state), flags[f],
						   direction, progress);
					if (wanted == REOPENS)
						wanted = (int)transitions[i].state;
					check_case((int)account.state == wanted,
						   "%s, flags %02x, direction %u: %s\n",
						   flow_state_name(transitions[i].state), flags[f],
						   direction, flow_state_name(account.state));
					// Only what goes on is counted.
					assert_int_equal(account.packets[direction],
							 progress == FLOW_GOES_ON);
					assert_int_equal(account.bytes[direction],
							 progress == FLOW_GOES_ON ? 100 : 0);
					assert_int_equal(account.packets[!direction], 0);
					assert_int_equal(account.last_seen,
							 progress == FLOW_GOES_ON ? 9 : 7);
				}
}

// Flags that nobody sends change nothing, in any state.
static void test_nonsense(void **state)
{
	for (unsigned int s = S(SYN_SENT); s <= S(CLOSED); s++)
		for (size_t i = 0; i < sizeof(nonsense); i++) {
			struct packet packet = tcp(nonsense[i]);
			struct flow_account account = {.state = (uint8_t)s}, before = account;

			check_case(flow_account_packet(&account, REPLY, &packet, 60, 9) ==
					   FLOW_BREAKS,
				   "%s, flags %02x\n", flow_state_name(s), nonsense[i]);
			assert_memory_equal(&account, &before, sizeof(account));
		}
}

struct step {
	enum flow_direction_index direction;
	uint8_t flags;
	enum flow_state after;
};

static void play(const struct step *steps, size_t count, enum flow_state from)
{
	struct flow_account account = {.state = (uint8_t)from};

	for (size_t i = 0; i < count; i++) {
		struct packet packet = tcp(steps[i].flags);

		assert_int_equal(flow_account_packet(&account, steps[i].direction, &packet, 60, 1),
				 FLOW_GOES_ON);
		check_case(account.state == steps[i].after, "step %zu: %s\n", i,
			   flow_state_name(account.state));
	}
}

static void test_lives(void **state)
{
	static const struct step usual[] = {
		{REPLY, SYN | ACK, S(SYN_RECEIVED)},
		{ORIGINAL, ACK, S(ESTABLISHED)},
		{ORIGINAL, PSH | ACK, S(ESTABLISHED)},
		{REPLY, ACK, S(ESTABLISHED)},
		{REPLY, FIN | ACK, S(CLOSING)},
		{ORIGINAL, ACK, S(CLOSING)},
		{ORIGINAL, PSH | ACK, S(CLOSING)},
		{ORIGINAL, FIN | ACK, S(TIME_WAIT)},
		{REPLY, ACK, S(TIME_WAIT)},
		{ORIGINAL, FIN | ACK, S(TIME_WAIT)},
	};
	static const struct step simultaneous[] = {
		{REPLY, SYN, S(SYN_RECEIVED)},
		{REPLY, SYN | ACK, S(SYN_RECEIVED)},
		{ORIGINAL, SYN | ACK, S(SYN_RECEIVED)},
		{ORIGINAL, ACK, S(ESTABLISHED)},
	};
	static const struct step refused[] = {
		{REPLY, RST | ACK, S(CLOSED)},
		{ORIGINAL, ACK, S(CLOSED)},
	};

	play(usual, sizeof(usual) / sizeof(usual[0]), S(SYN_SENT));
	play(simultaneous, sizeof(simultaneous) / sizeof(simultaneous[0]), S(SYN_SENT));
	play(refused, sizeof(refused) / sizeof(refused[0]), S(SYN_SENT));
}

static void test_other_protocols(void **state)
{
	struct packet packet = {.key = {.protocol = IPPROTO_UDP}};
	struct flow_account account = {.state = S(UNREPLIED)};

	flow_account_packet(&account, ORIGINAL, &packet, 60, 1);
	assert_int_equal(account.state, S(UNREPLIED));
	flow_account_packet(&account, REPLY, &packet, 60, 1);
	assert_int_equal(account.state, S(REPLIED));
	flow_account_packet(&account, ORIGINAL, &packet, 60, 1);
	assert_int_equal(account.state, S(REPLIED));
	packet.key.protocol = IPPROTO_GRE;
	account.state = S(UNREPLIED);
	flow_account_packet(&account, ORIGINAL, &packet, 60, 1);
	assert_int_equal(account.state, S(UNREPLIED));
	flow_account_packet(&account, REPLY, &packet, 60, 1);
	assert_int_equal(account.state, S(OTHER));
	packet.key.protocol = IPPROTO_ICMP;
	account.state = S(ICMP);
	flow_account_packet(&account, REPLY, &packet, 60, 1);
	assert_int_equal(account.state, S(ICMP));
	// All fragments of a TCP packet pass, not the first one only.
	packet = tcp(0);
	packet.key.flags = FLOW_KEY_FRAGMENT | FLOW_KEY_ONE_WAY;
	account.state = S(UNREPLIED);
	assert_int_equal(flow_account_packet(&account, ORIGINAL, &packet, 60, 1), FLOW_GOES_ON);
	assert_int_equal(account.state, S(UNREPLIED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_may_open),	cmocka_unit_test(test_icmp_may_open),
		cmocka_unit_test(test_first),		cmocka_unit_test(test_transitions),
		cmocka_unit_test(test_nonsense),	cmocka_unit_test(test_lives),
		cmocka_unit_test(test_other_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

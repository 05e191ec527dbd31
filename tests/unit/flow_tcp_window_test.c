// Which numbers of TCP's segments, and of ICMP errors about them, fit to a connection's windows.

#include "flow_tcp_play.h"

static void test_window(void **state)
{
	static const struct step edges[] = {
		HANDSHAKE,
		// The other side has offered 1000 behind octet 1.
		{O, PSH | ACK, 1001, 1, 1, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
		{O, PSH | ACK, 1002 + 0x7fff0000u, 1, 1, 1000, OUT, S(ESTABLISHED)},
		{O, PSH | ACK, 0x80000001u, 1, 1, 1000, OUT, S(ESTABLISHED)},
		// Retransmission, and what is too old for one.
		{O, PSH | ACK, 1, 1, 1000, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 0, 1, 0, 1000, OUT, S(ESTABLISHED)},
		{O, PSH | ACK, 2, 1, 0, 1000, GOES, S(ESTABLISHED)},
		// Acknowledged: the window moves.
		{R, ACK, 1, 1002, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 2002, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 2003, 1, 100, 1000, OUT, S(ESTABLISHED)},
		{O, FIN | ACK, 2003, 1, 100, 1000, OUT, S(ESTABLISHED)},
	};
	static const struct step acknowledgements[] = {
		HANDSHAKE,
		{R, PSH | ACK, 1, 1, 500, 1000, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 501, 1, 500, 1000, GOES, S(ESTABLISHED)},
		// Not more than was sent.
		{O, ACK, 1, 1002, 0, 1000, OUT, S(ESTABLISHED)},
		{O, ACK, 1, 1001, 0, 1000, GOES, S(ESTABLISHED)},
		// A late one, and one that is later than a window.
		{O, ACK, 1, 501, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 0, 0, 1000, OUT, S(ESTABLISHED)},
	};
	static const struct step scaled[] = {
		HANDSHAKE_SCALED,
		// In the SYNs windows are not scaled: 2048, not 2048 << 7.
		{O, PSH | ACK, 2049, 1, 1, 64, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 2050, 1, 1, 64, OUT, S(ESTABLISHED)},
		{R, PSH | ACK, 1025, 1, 1, 16, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 1026, 1, 1, 16, OUT, S(ESTABLISHED)},
		{R, ACK, 1, 1, 0, 512, GOES, S(ESTABLISHED)}, // 65536 octets
		{O, PSH | ACK, 65537, 1, 1, 64, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 65538, 1, 1, 64, OUT, S(ESTABLISHED)},
		{O, ACK, 1, 1, 0, 4096, GOES, S(ESTABLISHED)}, // the other's are in units of 16
		{R, PSH | ACK, 65537, 1, 1, 16, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 65538, 1, 1, 16, OUT, S(ESTABLISHED)},
	};
	// Only one side has the option: windows are as they stand there.
	static const struct step one_side_scales[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT) | FLOW_SCALED(O), 8},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 1001, 1, 1, 1000, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
		{O, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
	};
	static const struct step other_side_scales[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED), 8},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
		{R, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
	};
	// The option of a later segment says nothing.
	static const struct step option_too_late[] = {
		HANDSHAKE,
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED), 14},
		{R, PSH | ACK, 1002, 1, 1, 1000, OUT, S(ESTABLISHED)},
	};
	static const struct step largest[] = {
		{O, SYN, 0, 0, 0, 65535, GOES, S(SYN_SENT) | FLOW_SCALED(O), 15},
		{R, SYN | ACK, 0, 1, 0, 65535, GOES,
		 S(SYN_RECEIVED) | FLOW_SCALED(O) | FLOW_SCALED(R), 15},
		{O, ACK, 1, 1, 0, 65535, GOES, S(ESTABLISHED)}, // 1 GiB
		{R, ACK, 1, 1, 0, 65535, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 0x3fffc000, 1, 60000, 65535, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 1, 1, 60000, 65535, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 0x3fffc000 + 60000, 0, 65535, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 0x7fff8000u + 60000, 1, 10, 65535, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 0x7fff8000u + 60001, 1, 10, 65535, OUT, S(ESTABLISHED)},
	};

	PLAY(edges);
	PLAY(acknowledgements);
	PLAY(scaled);
	PLAY(one_side_scales);
	PLAY(other_side_scales);
	PLAY(option_too_late);
	PLAY(largest);
}

// What real systems do and windows alone would not explain.
static void test_probes(void **state)
{
	static const struct step keep_alive[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 101, 0, 1000, GOES, S(ESTABLISHED)},
		// One octet back, with and without an octet of garbage (RFC 9293 section 3.8.4).
		{O, ACK, 100, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 101, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 100, 1, 1, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 0, 101, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 101, 1, 0, 1000, GOES, S(ESTABLISHED)},
	};
	static const struct step closed_window[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 1000, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1001, 0, 0, GOES, S(ESTABLISHED)},
		// An octet at the edge, or one back.
		{O, ACK, 1001, 1, 1, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1001, 0, 0, GOES, S(ESTABLISHED)},
		{O, ACK, 1000, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1001, 0, 0, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1002, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 1002, 1, 1000, 1000, GOES, S(ESTABLISHED)},
	};
	static const struct step never_open[] = {
		{O, SYN, 0, 0, 0, 0, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 0, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 0, GOES, S(ESTABLISHED)},
		{O, ACK, 0, 1, 0, 0, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 1, 1, 0, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1, 0, 0, GOES, S(ESTABLISHED)},
		{R, ACK, 0, 1, 0, 0, GOES, S(ESTABLISHED)},
	};
	// Holes are filled in any order; acknowledgements of what was lost before us come late.
	static const struct step holes[] = {
		HANDSHAKE,
		{O, PSH | ACK, 201, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 401, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 101, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 301, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 101, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 501, 0, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 101, 1, 400, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 501, 0, 1000, GOES, S(ESTABLISHED)},
	};
	// A GSO packet is one with a large payload.
	static const struct step large[] = {
		HANDSHAKE_SCALED,
		{R, ACK, 1, 1, 0, 512, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 1, 65000, 64, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 65001, 0, 512, GOES, S(ESTABLISHED)},
		{O, ACK, 65001, 1, 65000, 64, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 130001, 0, 512, GOES, S(ESTABLISHED)},
	};

	PLAY(keep_alive);
	PLAY(closed_window);
	PLAY(never_open);
	PLAY(holes);
	PLAY(large);
}

static struct flow_account established(void)
{
	static const struct step steps[] = {HANDSHAKE};
	struct flow_account account = {.last_seen = 0};

	for (size_t i = 0; i < 3; i++) {
		struct packet packet = {
			.key = {.protocol = IPPROTO_TCP},
			.tcp_flags = steps[i].flags,
			.tcp_seq = steps[i].seq,
			.tcp_end = steps[i].seq + !!(steps[i].flags & SYN),
			.tcp_ack = steps[i].ack,
			.tcp_window = steps[i].window,
		};

		if (i == 0)
			flow_state_open(&account, &packet, false);
		else
			assert_int_equal(flow_account_packet(NULL, &account, steps[i].direction,
							     &packet, 60, 1),
					 FLOW_GOES_ON);
	}
	assert_int_equal(account.state, S(ESTABLISHED));
	return account;
}

// What one worker wrote over another's number must not cost a packet: one window more is allowed.
static void test_near(void **state)
{
	static const struct {
		enum flow_direction_index direction;
		uint32_t seq, ack;
		bool tolerated;
	} cases[] = {
		{O, 1002, 1, true},  {O, 2001, 1, true},  {O, 2002, 1, false},
		{O, 1, 1001, true},  {O, 1, 1002, false}, {R, 1002, 1, true},
		{R, 2002, 1, false}, {R, 1, 501, true},	  {R, 1, 1002, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_account account = established(), before = account;
		struct packet packet = {
			.key = {.protocol = IPPROTO_TCP},
			.tcp_flags = ACK,
			.tcp_seq = cases[i].seq,
			.tcp_end = cases[i].seq,
			.tcp_ack = cases[i].ack,
			.tcp_window = 1000,
		};

		assert_int_equal(
			flow_account_packet(NULL, &account, cases[i].direction, &packet, 60, 1),
			FLOW_OUTSIDE);
		assert_false(
			flow_state_tolerates(&account, cases[i].direction, &packet, false, true));
		assert_memory_equal(&account, &before, sizeof(account));
		check_case(flow_state_tolerates(&account, cases[i].direction, &packet, true,
						false) == cases[i].tolerated,
			   "case %zu\n", i);
		if (!cases[i].tolerated)
			assert_memory_equal(&account, &before, sizeof(account));
		else
			assert_int_equal(account.ack[cases[i].direction], cases[i].ack);
	}
}

// The answers take another way: with mid-stream pick-up the opener's packets go on.
static void test_one_direction(void **state)
{
	struct packet packet = {.key = {.protocol = IPPROTO_TCP}, .tcp_flags = SYN, .tcp_end = 1};
	struct flow_account account = {.last_seen = 0};

	flow_state_open(&account, &packet, false);
	packet = (struct packet){.key = {.protocol = IPPROTO_TCP}, .tcp_flags = ACK};
	packet.tcp_seq = packet.tcp_end = 1;
	packet.tcp_ack = 12345;
	assert_int_equal(flow_account_packet(NULL, &account, O, &packet, 60, 1), FLOW_OUTSIDE);
	assert_false(flow_state_tolerates(&account, O, &packet, true, false));
	assert_int_equal(account.state, S(SYN_SENT));
	assert_true(flow_state_tolerates(&account, O, &packet, false, true));
	assert_int_equal(account.state, S(PICKED_UP) | FLOW_LOOSE);
	packet.tcp_seq = packet.tcp_end = 500000;
	assert_int_equal(flow_account_packet(NULL, &account, O, &packet, 60, 1), FLOW_GOES_ON);
	packet.tcp_flags = FIN | ACK;
	assert_int_equal(flow_account_packet(NULL, &account, O, &packet, 60, 1), FLOW_GOES_ON);
	assert_int_equal(flow_state_get(&account), S(CLOSING));
}

// An ICMP error must quote what may have been sent (RFC 5927 section 4.1).
static void test_quotes(void **state)
{
	struct flow_account account = established();
	struct packet packet = {.key = {.protocol = IPPROTO_TCP},
				.tcp_flags = ACK,
				.tcp_seq = 1,
				.tcp_end = 701,
				.tcp_ack = 1,
				.tcp_window = 1000};
	struct packet error = {.key = {.protocol = IPPROTO_TCP}};

	assert_int_equal(flow_account_packet(NULL, &account, O, &packet, 60, 1), FLOW_GOES_ON);
	error.tcp_seq = 1;
	assert_true(flow_state_quotes(&account, O, &error));
	error.tcp_seq = 701;
	assert_true(flow_state_quotes(&account, O, &error));
	error.tcp_seq = 702;
	assert_false(flow_state_quotes(&account, O, &error));
	error.tcp_seq = 701 - 65537;
	assert_false(flow_state_quotes(&account, O, &error));
	error.tcp_seq = 2;
	assert_false(flow_state_quotes(&account, R, &error));
	flow_state_loosen(&account);
	assert_true(flow_state_quotes(&account, R, &error));
	// Of a SYN, its own number.
	memset(&account, 0, sizeof(account));
	packet = (struct packet){.key = {.protocol = IPPROTO_TCP}, .tcp_flags = SYN};
	packet.tcp_seq = 77;
	packet.tcp_end = 78;
	flow_state_open(&account, &packet, false);
	error.tcp_seq = 77;
	assert_true(flow_state_quotes(&account, O, &error));
	error.tcp_seq = 79;
	assert_false(flow_state_quotes(&account, O, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window), cmocka_unit_test(test_probes),
		cmocka_unit_test(test_near),   cmocka_unit_test(test_one_direction),
		cmocka_unit_test(test_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

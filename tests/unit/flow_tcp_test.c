// How TCP connections begin and end: handshakes, closes, resets, and sides that have forgotten.

#include "flow_tcp_play.h"

static void test_open_and_close(void **state)
{
	static const struct step usual[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 101, 0, 1000, GOES, S(ESTABLISHED)},
		{R, PSH | ACK, 1, 101, 500, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 101, 501, 0, 1000, GOES, S(ESTABLISHED)},
		{R, FIN | ACK, 501, 101, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		{O, ACK, 101, 502, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		// Half closed, the other half goes on.
		{O, PSH | ACK, 101, 502, 900, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		{R, ACK, 502, 1001, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		{O, FIN | ACK, 1001, 502, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
		{R, ACK, 502, 1002, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
		// The last FIN once more, and its acknowledgement.
		{O, FIN | ACK, 1001, 502, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
		{R, ACK, 502, 1002, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
		{O, SYN, 70000, 0, 0, 1000, AGAIN, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
		{R, SYN, 70000, 0, 0, 1000, AGAIN, S(TIME_WAIT) | FLOW_FIN(R) | FLOW_FIN(O)},
	};
	static const struct step both_at_once[] = {
		HANDSHAKE,
		{O, FIN | ACK, 1, 1, 10, 1000, GOES, S(CLOSING) | FLOW_FIN(O)},
		{R, FIN | ACK, 1, 1, 10, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(O) | FLOW_FIN(R)},
		{O, ACK, 12, 12, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(O) | FLOW_FIN(R)},
		{R, ACK, 12, 12, 0, 1000, GOES, S(TIME_WAIT) | FLOW_FIN(O) | FLOW_FIN(R)},
	};
	static const struct step closed_before_established[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, FIN | ACK, 1, 1, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		{O, ACK, 1, 2, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(R)},
		{O, SYN, 999, 0, 0, 1000, AGAIN, S(CLOSING) | FLOW_FIN(R)},
	};

	PLAY(usual);
	PLAY(both_at_once);
	PLAY(closed_before_established);
}

static void test_handshake(void **state)
{
	static const struct step repeated[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		// The acknowledgement was lost behind us.
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
	};
	static const struct step another_number[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{O, SYN, 12345, 0, 0, 1000, AGAIN, S(SYN_SENT)},
	};
	static const struct step wrong_answers[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 0, 0, 1000, OUT, S(SYN_SENT)},
		{R, SYN | ACK, 0, 2, 0, 1000, OUT, S(SYN_SENT)},
		{R, SYN | ACK, 0, 0x80000000, 0, 1000, OUT, S(SYN_SENT)},
		{R, RST | ACK, 0, 2, 0, 0, OUT, S(SYN_SENT)},
		{R, RST, 0, 0, 0, 0, OUT, S(SYN_SENT)},
		{R, FIN | ACK, 1, 1, 0, 1000, OUT, S(SYN_SENT)},
		{R, PSH | ACK, 1, 1, 10, 1000, OUT, S(SYN_SENT)},
		// Before anything was answered there is nothing to acknowledge.
		{O, ACK, 1, 1, 0, 1000, OUT, S(SYN_SENT)},
		{O, PSH | ACK, 1, 1, 10, 1000, OUT, S(SYN_SENT)},
		{O, FIN | ACK, 1, 1, 0, 1000, OUT, S(SYN_SENT)},
		{O, SYN | ACK, 0, 1, 0, 1000, OUT, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
	};
	static const struct step wrong_acknowledgement[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 2, 0, 1000, OUT, S(SYN_RECEIVED)},
		{O, ACK, 1, 0x80000000, 0, 1000, OUT, S(SYN_RECEIVED)},
		{O, ACK, 5000, 1, 0, 1000, OUT, S(SYN_RECEIVED)},
		// Of the answering side alone nothing is established.
		{R, ACK, 1, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
	};
	static const struct step refused[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, RST | ACK, 0, 1, 0, 0, GOES, S(CLOSED)},
		{O, SYN, 0, 0, 0, 1000, AGAIN, S(CLOSED)},
	};
	static const struct step given_up[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{O, RST, 1, 0, 0, 0, GOES, S(CLOSED)},
	};
	static const struct step simultaneous[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN, 0, 0, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, SYN, 0, 0, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, PSH | ACK, 1, 1, 1000, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1001, 0, 1000, GOES, S(ESTABLISHED)},
	};
	static const struct step cookies[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, SYN | ACK, 100000, 1, 0, 2000, RENEW, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, OUT, S(SYN_RECEIVED)},
		{O, ACK, 1, 100001, 0, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 100001, 1, 1000, 2000, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 101001, 1000, 1000, GOES, S(ESTABLISHED)},
	};
	// TCP Fast Open (RFC 7413): data in the SYN, taken or not.
	static const struct step data_in_syn[] = {
		{O, SYN, 0, 0, 200, 1000, GOES, S(SYN_SENT)},
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 202, 0, 1000, OUT, S(SYN_SENT)},
		{R, SYN | ACK, 0, 101, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, PSH | ACK, 1, 101, 900, 1000, GOES, S(SYN_RECEIVED)},
		{O, PSH | ACK, 101, 1, 100, 1000, GOES, S(ESTABLISHED)},
	};

	PLAY(repeated);
	PLAY(another_number);
	PLAY(wrong_answers);
	PLAY(wrong_acknowledgement);
	PLAY(refused);
	PLAY(given_up);
	PLAY(simultaneous);
	PLAY(cookies);
	PLAY(data_in_syn);
}

static void test_reset(void **state)
{
	static const struct step by_sender[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		// Behind all that it has sent, though not acknowledged yet.
		{O, RST | ACK, 101, 1, 0, 0, GOES, S(CLOSED)},
		{R, ACK, 1, 1, 0, 1000, GOES, S(CLOSED)},
		{R, RST, 1, 0, 0, 0, GOES, S(CLOSED)},
		{R, ACK, 70000, 1, 0, 1000, OUT, S(CLOSED)},
		{R, FIN | ACK, 1, 1, 0, 1000, GOES, S(CLOSED) | FLOW_FIN(R)},
		{O, SYN, 5555, 0, 0, 1000, AGAIN, S(CLOSED) | FLOW_FIN(R)},
	};
	static const struct step by_answer[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{O, PSH | ACK, 101, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 101, 0, 1000, GOES, S(ESTABLISHED)},
		// Without memory of the connection: with the number that the other side asks for.
		{O, RST, 101, 0, 0, 0, GOES, S(CLOSED)},
	};
	static const struct step inexact[] = {
		HANDSHAKE,
		{O, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{R, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		// In the window: the receiver asks by a challenge ACK. The connection lives.
		{O, RST, 500, 0, 0, 0, PASS, S(ESTABLISHED)},
		{R, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, RST, 50, 0, 0, 0, PASS, S(ESTABLISHED)},
		// Outside.
		{O, RST, 1002, 0, 0, 0, OUT, S(ESTABLISHED)},
		{O, RST, 0x80000000u, 0, 0, 0, OUT, S(ESTABLISHED)},
		{R, RST, 0x80000000u, 0, 0, 0, OUT, S(ESTABLISHED)},
		{R, RST | ACK, 0xfff00000u, 101, 0, 0, OUT, S(ESTABLISHED)},
		// As asked for.
		{O, RST, 1, 0, 0, 0, GOES, S(CLOSED)},
	};
	static const struct step in_handshake[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		// A scanner has seen enough.
		{O, RST, 1, 0, 0, 0, GOES, S(CLOSED)},
	};
	// The server was quick, and then the SYN came again.
	static const struct step refused_late[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 100000, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{R, RST | ACK, 7, 2, 0, 0, OUT, S(SYN_RECEIVED)},
		{R, RST | ACK, 7, 1, 0, 0, GOES, S(CLOSED)},
	};
	static const struct step while_closing[] = {
		HANDSHAKE,
		{O, FIN | ACK, 1, 1, 0, 1000, GOES, S(CLOSING) | FLOW_FIN(O)},
		{R, RST | ACK, 1, 2, 0, 0, GOES, S(CLOSED) | FLOW_FIN(O)},
	};

	PLAY(by_sender);
	PLAY(by_answer);
	PLAY(inexact);
	PLAY(in_handshake);
	PLAY(refused_late);
	PLAY(while_closing);
}

// One side has forgotten the connection and opens it again with the same ports (RFC 9293 section
// 3.5.1, RFC 5961 section 4).
static void test_forgotten(void **state)
{
	static const struct step by_opener[] = {
		HANDSHAKE,
		{R, PSH | ACK, 1, 1, 100, 1000, GOES, S(ESTABLISHED)},
		{O, SYN, 900000, 0, 0, 1000, PASS, S(ESTABLISHED) | FLOW_RENEWED},
		{R, ACK, 101, 1, 0, 1000, GOES, S(ESTABLISHED) | FLOW_RENEWED},
		{O, RST, 1, 0, 0, 0, GOES, S(CLOSED) | FLOW_RENEWED},
		{O, SYN, 900000, 0, 0, 1000, AGAIN, S(CLOSED) | FLOW_RENEWED},
	};
	// The SYN was somebody else's: the opener goes on.
	static const struct step not_at_all[] = {
		HANDSHAKE,
		{O, SYN, 900000, 0, 0, 1000, PASS, S(ESTABLISHED) | FLOW_RENEWED},
		{R, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED) | FLOW_RENEWED},
		{O, PSH | ACK, 1, 1, 10, 1000, GOES, S(ESTABLISHED)},
		{R, SYN | ACK, 500000, 900001, 0, 1000, OUT, S(ESTABLISHED)},
		{R, RST | ACK, 500000, 900001, 0, 0, OUT, S(ESTABLISHED)},
	};
	static const struct step by_both[] = {
		HANDSHAKE,
		{R, SYN | ACK, 500000, 900001, 0, 1000, OUT, S(ESTABLISHED)},
		{O, SYN, 900000, 0, 0, 1000, PASS, S(ESTABLISHED) | FLOW_RENEWED},
		{R, SYN | ACK, 500000, 900001, 0, 1000, ENDS, S(ESTABLISHED) | FLOW_RENEWED},
	};
	// A SYN of the answering side opens nothing on a live connection.
	static const struct step by_server[] = {
		HANDSHAKE,
		{R, SYN, 700000, 0, 0, 1000, OUT, S(ESTABLISHED)},
		{R, SYN, 500, 0, 0, 1000, GOES, S(ESTABLISHED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
	};
	// The server still has an older connection: its challenge ACK passes, and the reset.
	static const struct step older_at_server[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, ACK, 700000, 800000, 0, 1000, PASS, S(SYN_SENT)},
		{O, RST, 800000, 0, 0, 0, PASS, S(SYN_SENT)},
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
	};
	// The other worker saw the answer to the SYN before the reset.
	static const struct step older_and_answer[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, ACK, 700000, 800000, 0, 1000, PASS, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, RST, 800000, 0, 0, 0, PASS, S(SYN_RECEIVED)},
		{O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)},
		{O, RST, 800000, 0, 0, 0, OUT, S(ESTABLISHED)},
	};
	static const struct step half_open[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)},
		{O, SYN, 900000, 0, 0, 1000, PASS, S(SYN_RECEIVED) | FLOW_RENEWED},
		{R, ACK, 1, 1, 0, 1000, GOES, S(SYN_RECEIVED) | FLOW_RENEWED},
		{O, RST, 1, 0, 0, 0, GOES, S(CLOSED) | FLOW_RENEWED},
		{O, SYN, 900000, 0, 0, 1000, AGAIN, S(CLOSED) | FLOW_RENEWED},
	};

	PLAY(by_opener);
	PLAY(not_at_all);
	PLAY(by_both);
	PLAY(by_server);
	PLAY(older_at_server);
	PLAY(older_and_answer);
	PLAY(half_open);
	// A server that refuses with no numbers of its own.
	for (uint32_t first = 0; first < 3; first++) {
		const struct step refused[] = {
			HANDSHAKE,
			{O, SYN, 900000, 0, 0, 1000, PASS, S(ESTABLISHED) | FLOW_RENEWED},
			{R, RST | ACK, 0u - 0x80001000u, 900001, 0, 0, ENDS,
			 S(ESTABLISHED) | FLOW_RENEWED},
		};

		play(refused, sizeof(refused) / sizeof(refused[0]), false, first, 0x80001000u);
	}
}

// Without numbers the states go on all the same.
static void test_loose(void **state)
{
	static const struct step unchecked[] = {
		{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT) | FLOW_LOOSE},
		{R, SYN | ACK, 0, 77777, 0, 1000, GOES, S(SYN_RECEIVED) | FLOW_LOOSE},
		{O, ACK, 500000, 1, 0, 1000, GOES, S(ESTABLISHED) | FLOW_LOOSE},
		{R, PSH | ACK, 900000, 1, 0, 1000, GOES, S(ESTABLISHED) | FLOW_LOOSE},
		{O, SYN, 3, 0, 0, 1000, PASS, S(ESTABLISHED) | FLOW_LOOSE | FLOW_RENEWED},
		{R, SYN | ACK, 70000, 4, 0, 1000, PASS, S(ESTABLISHED) | FLOW_LOOSE | FLOW_RENEWED},
		{O, ACK, 4, 1, 0, 1000, GOES, S(ESTABLISHED) | FLOW_LOOSE},
		{R, FIN | ACK, 5, 5, 0, 1000, GOES, S(CLOSING) | FLOW_LOOSE | FLOW_FIN(R)},
		{O, RST, 123456, 0, 0, 0, GOES, S(CLOSED) | FLOW_LOOSE | FLOW_FIN(R)},
		{O, SYN, 3, 0, 0, 1000, AGAIN, S(CLOSED) | FLOW_LOOSE | FLOW_FIN(R)},
	};
	static const struct step picked_up[] = {
		{O, PSH | ACK, 9, 9, 100, 1000, GOES, S(PICKED_UP) | FLOW_LOOSE},
		{O, PSH | ACK, 900000, 9, 100, 1000, GOES, S(PICKED_UP) | FLOW_LOOSE},
		{O, SYN, 3, 0, 0, 1000, AGAIN, S(PICKED_UP) | FLOW_LOOSE},
		{R, ACK, 77, 500000, 100, 1000, GOES, S(ESTABLISHED) | FLOW_LOOSE},
		{O, FIN | ACK, 1, 1, 0, 1000, GOES, S(CLOSING) | FLOW_LOOSE | FLOW_FIN(O)},
		{R, FIN | ACK, 1, 1, 0, 1000, GOES,
		 S(TIME_WAIT) | FLOW_LOOSE | FLOW_FIN(O) | FLOW_FIN(R)},
	};

	PLAY_LOOSE(unchecked);
	PLAY(picked_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_and_close), cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_reset),	       cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_loose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// TCP connections packet by packet: what each one is taken for, and the state that it leaves
// behind. Every sequence is played with initial sequence numbers that wrap soon, and with ones that
// do not.

#include "test.h"

#include <netinet/in.h>

#include "flow/state.h"

#define O     FLOW_ORIGINAL
#define R     FLOW_REPLY
#define SYN   TCP_SYN
#define ACK   TCP_ACK
#define PSH   TCP_PSH
#define FIN   TCP_FIN
#define RST   TCP_RST
#define S(x)  FLOW_STATE_##x
#define GOES  FLOW_GOES_ON
#define PASS  FLOW_PASSES
#define OUT   FLOW_OUTSIDE
#define AGAIN FLOW_REOPENS
#define RENEW FLOW_RENEWS
#define ENDS  FLOW_ENDS

struct step {
	enum flow_direction_index direction;
	uint8_t flags;
	// Counted from the sender's, and from the other side's initial sequence number.
	uint32_t seq, ack;
	uint32_t length; // of the payload
	uint16_t window;
	enum flow_progress progress;
	uint16_t state; // with the bits above it
	uint8_t scale;	// shift + 1
};

// Windows of 1000 octets without scaling.
#define HANDSHAKE                                                     \
	{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},                   \
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)}, \
	{                                                             \
		O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)           \
	}

// 64 KiB windows, scaled by 2^4 and 2^7.
#define HANDSHAKE_SCALED                                                                \
	{O, SYN, 0, 0, 0, 1024, GOES, S(SYN_SENT) | FLOW_SCALED(O), 5},                 \
		{R, SYN | ACK, 0,    1,                                                 \
		 0, 2048,      GOES, S(SYN_RECEIVED) | FLOW_SCALED(O) | FLOW_SCALED(R), \
		 8},                                                                    \
	{                                                                               \
		O, ACK, 1, 1, 0, 64, GOES, S(ESTABLISHED)                               \
	}

static void play(const struct step *steps, size_t count, bool loose, uint32_t first,
		 uint32_t second)
{
	const uint32_t start[2] = {first, second};
	struct flow_account account = {.last_seen = 0};

	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		enum flow_direction_index d = step->direction;
		enum flow_progress progress = FLOW_GOES_ON;
		struct flow_account before;
		struct packet packet = {
			.key = {.protocol = IPPROTO_TCP},
			.tcp_flags = step->flags,
			.tcp_seq = start[d] + step->seq,
			.tcp_ack = step->flags & ACK ? start[!d] + step->ack : 0,
			.tcp_window = step->window,
			.tcp_scale = step->scale,
		};

		packet.tcp_end = packet.tcp_seq + step->length + !!(step->flags & (SYN | FIN));
		before = account;
		if (i == 0)
			flow_state_open(&account, &packet, loose);
		else
			progress = flow_account_packet(&account, d, &packet, 60, (uint32_t)i);
		check_case(progress == step->progress, "from %u, %u: step %zu: progress %d\n",
			   first, second, i, progress);
		if (progress == FLOW_RENEWS)
			flow_state_renew(&account, &packet);
		check_case(account.state == step->state, "from %u, %u: step %zu: %s (%x)\n", first,
			   second, i, flow_state_name(flow_state_get(&account)), account.state);
		if (i == 0)
			continue;
		// What is outside changes nothing at all; what only passes keeps nothing alive.
		if (progress == FLOW_OUTSIDE || progress == FLOW_REOPENS || progress == FLOW_ENDS)
			assert_memory_equal(&account, &before, sizeof(account));
		if (progress != FLOW_GOES_ON)
			assert_int_equal(account.last_seen, before.last_seen);
		else
			assert_int_equal(account.packets[d], before.packets[d] + 1);
	}
}

static void play_all(const struct step *steps, size_t count, bool loose)
{
	static const uint32_t starts[][2] = {
		{1000, 5000},
		{0, 0},
		{UINT32_MAX, UINT32_MAX},
		{UINT32_MAX - 500, 77},
		{77, UINT32_MAX - 500},
		{INT32_MAX - 500u, INT32_MAX},
		{0x80000000u, 0xffffff00},
		{UINT32_MAX - 60000, UINT32_MAX - 100000},
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		play(steps, count, loose, starts[i][0], starts[i][1]);
}

#define PLAY(steps)	  play_all(steps, sizeof(steps) / sizeof((steps)[0]), false)
#define PLAY_LOOSE(steps) play_all(steps, sizeof(steps) / sizeof((steps)[0]), true)

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
			assert_int_equal(
				flow_account_packet(&account, steps[i].direction, &packet, 60, 1),
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

		assert_int_equal(flow_account_packet(&account, cases[i].direction, &packet, 60, 1),
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
	assert_int_equal(flow_account_packet(&account, O, &packet, 60, 1), FLOW_OUTSIDE);
	assert_false(flow_state_tolerates(&account, O, &packet, true, false));
	assert_int_equal(account.state, S(SYN_SENT));
	assert_true(flow_state_tolerates(&account, O, &packet, false, true));
	assert_int_equal(account.state, S(PICKED_UP) | FLOW_LOOSE);
	packet.tcp_seq = packet.tcp_end = 500000;
	assert_int_equal(flow_account_packet(&account, O, &packet, 60, 1), FLOW_GOES_ON);
	packet.tcp_flags = FIN | ACK;
	assert_int_equal(flow_account_packet(&account, O, &packet, 60, 1), FLOW_GOES_ON);
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

	assert_int_equal(flow_account_packet(&account, O, &packet, 60, 1), FLOW_GOES_ON);
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
		cmocka_unit_test(test_open_and_close), cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_window),	       cmocka_unit_test(test_probes),
		cmocka_unit_test(test_reset),	       cmocka_unit_test(test_forgotten),
		cmocka_unit_test(test_loose),	       cmocka_unit_test(test_near),
		cmocka_unit_test(test_one_direction),  cmocka_unit_test(test_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

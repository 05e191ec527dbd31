// SCTP associations packet by packet: chunks, verification tags and the state that they leave.

#include "test.h"

#include <netinet/in.h>

#include "flow/state.h"

#define O     FLOW_ORIGINAL
#define R     FLOW_REPLY
#define C(x)  (1u << SCTP_##x)
#define S(x)  FLOW_STATE_SCTP_##x
#define GOES  FLOW_GOES_ON
#define PASS  FLOW_PASSES
#define OUT   FLOW_OUTSIDE
#define AGAIN FLOW_REOPENS
#define ASKED (S(OPENING) | FLOW_ANSWERED)
#define UP    (S(ESTABLISHED) | FLOW_ANSWERED)

struct step {
	enum flow_direction_index direction;
	uint16_t chunks; // 0: DATA alone
	uint32_t tag, initiate_tag;
	enum flow_progress progress;
	uint16_t state;
	uint8_t reflected;
};

// The opener's tag is 0xaaaa, the other side's 0xbbbb: each packet has its receiver's.
#define HANDSHAKE                                                                                 \
	{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)}, {R, C(INIT_ACK), 0xaaaa, 0xbbbb, GOES, ASKED}, \
		{O, C(COOKIE_ECHO), 0xbbbb, 0, GOES, ASKED},                                      \
	{                                                                                         \
		R, C(COOKIE_ACK), 0xaaaa, 0, GOES, UP                                             \
	}

static struct flow_account play(const struct step *steps, size_t count)
{
	struct flow_account account = {.last_seen = 0};

	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		enum flow_progress progress = FLOW_GOES_ON;
		struct flow_account before = account;
		struct packet packet = {
			.key = {.protocol = IPPROTO_SCTP},
			.sctp_chunks = step->chunks,
			.sctp_tag = step->tag,
			.sctp_initiate_tag = step->initiate_tag,
			.sctp_reflected = step->reflected,
		};

		if (i == 0)
			flow_state_open(&account, &packet, false);
		else
			progress = flow_account_packet(NULL, &account, step->direction, &packet, 60,
						       (uint32_t)i);
		check_case(progress == step->progress, "step %zu: progress %d\n", i, progress);
		check_case(account.state == step->state, "step %zu: %s (%x)\n", i,
			   flow_state_name(flow_state_get(&account)), account.state);
		if (progress == FLOW_OUTSIDE || progress == FLOW_REOPENS)
			assert_memory_equal(&account, &before, sizeof(account));
	}
	return account;
}

#define PLAY(steps) play(steps, sizeof(steps) / sizeof((steps)[0]))

static void test_life(void **state)
{
	static const struct step usual[] = {
		HANDSHAKE,
		{O, 0, 0xbbbb, 0, GOES, UP},
		{R, 0, 0xaaaa, 0, GOES, UP},
		{O, C(SHUTDOWN), 0xbbbb, 0, GOES, S(SHUTDOWN) | FLOW_ANSWERED},
		{R, C(SHUTDOWN_ACK), 0xaaaa, 0, GOES, S(SHUTDOWN) | FLOW_ANSWERED},
		{O, C(SHUTDOWN_COMPLETE), 0xbbbb, 0, GOES, FLOW_STATE_CLOSED | FLOW_ANSWERED},
		// Repeated, because it was lost behind us: without the association, the tag is the
		// sender's own.
		{R, C(SHUTDOWN_ACK), 0xaaaa, 0, GOES, FLOW_STATE_CLOSED | FLOW_ANSWERED},
		{O, C(SHUTDOWN_COMPLETE), 0xaaaa, 0, GOES, FLOW_STATE_CLOSED | FLOW_ANSWERED, 1},
		{O, C(INIT), 0, 0xcccc, AGAIN, FLOW_STATE_CLOSED | FLOW_ANSWERED},
		{R, C(INIT), 0, 0xcccc, AGAIN, FLOW_STATE_CLOSED | FLOW_ANSWERED},
	};
	static const struct step aborted[] = {
		HANDSHAKE,
		{R, C(ABORT), 0x1234, 0, OUT, UP},
		{R, C(ABORT), 0xaaaa, 0, OUT, UP, 1},
		{R, C(ABORT), 0xaaaa, 0, GOES, FLOW_STATE_CLOSED | FLOW_ANSWERED},
	};
	static const struct step forgotten[] = {
		HANDSHAKE,
		{O, 0, 0xbbbb, 0, GOES, UP},
		{R, C(ABORT), 0xbbbb, 0, GOES, FLOW_STATE_CLOSED | FLOW_ANSWERED, 1},
	};
	static const struct step refused[] = {
		{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)},
		{R, C(ABORT), 0xaaaa, 0, GOES, FLOW_STATE_CLOSED},
		{O, C(INIT), 0, 0xaaaa, AGAIN, FLOW_STATE_CLOSED},
	};

	PLAY(usual);
	PLAY(aborted);
	PLAY(forgotten);
	PLAY(refused);
}

static void test_opening(void **state)
{
	static const struct step repeated[] = {
		{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)},
		{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)},
		{R, C(INIT_ACK), 0xaaaa, 0xbbbb, GOES, ASKED},
		// A server without memory has another tag for each INIT; the opener chooses.
		{R, C(INIT_ACK), 0xaaaa, 0xdddd, GOES, ASKED},
		{O, C(COOKIE_ECHO), 0xbbbb, 0, GOES, ASKED},
		{R, C(COOKIE_ACK), 0xaaaa, 0, GOES, UP},
		{O, 0, 0xdddd, 0, OUT, UP},
		{O, 0, 0xbbbb, 0, GOES, UP},
	};
	static const struct step wrong[] = {
		{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)},
		{R, C(INIT_ACK), 0xaaab, 0xbbbb, OUT, S(OPENING)},
		{R, C(COOKIE_ACK), 0, 0, OUT, S(OPENING)},
		{O, C(COOKIE_ECHO), 0xbbbb, 0, OUT, S(OPENING)},
		{O, 0, 0xbbbb, 0, OUT, S(OPENING)},
		{R, C(ABORT), 0xbbbb, 0, OUT, S(OPENING)},
		{O, C(INIT), 0, 0xeeee, AGAIN, S(OPENING)},
		{R, C(INIT_ACK), 0xaaaa, 0xbbbb, GOES, ASKED},
		// The opener alone establishes nothing.
		{O, C(COOKIE_ACK), 0xbbbb, 0, GOES, ASKED},
	};
	// Both at once (section 5.2.1), and a restart (section 5.2.2): tags that were not seen.
	static const struct step collision[] = {
		{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)},
		{R, C(INIT), 0, 0xbbbb, PASS, S(OPENING) | FLOW_LOOSE},
		{R, C(INIT_ACK), 0xaaaa, 0xbbbb, GOES, ASKED | FLOW_LOOSE},
		{O, C(INIT_ACK), 0xbbbb, 0xaaaa, GOES, ASKED | FLOW_LOOSE},
		{R, C(COOKIE_ECHO), 0xaaaa, 0, GOES, ASKED | FLOW_LOOSE},
		{O, C(COOKIE_ACK), 0xbbbb, 0, GOES, UP | FLOW_LOOSE},
	};
	static const struct step restart[] = {
		HANDSHAKE,
		{O, C(INIT), 0, 0xcccc, PASS, UP | FLOW_LOOSE},
		{R, C(INIT_ACK), 0xcccc, 0xdddd, GOES, UP | FLOW_LOOSE},
		{O, C(COOKIE_ECHO), 0xdddd, 0, GOES, UP | FLOW_LOOSE},
		{R, C(COOKIE_ACK), 0xcccc, 0, GOES, UP | FLOW_LOOSE},
	};

	PLAY(repeated);
	PLAY(wrong);
	PLAY(collision);
	PLAY(restart);
}

static void test_may_open(void **state)
{
	for (unsigned int chunk = 0; chunk < 16; chunk++) {
		struct packet packet = {.key = {.protocol = IPPROTO_SCTP},
					.sctp_chunks = (uint16_t)(1u << chunk)};
		bool never = chunk == SCTP_ABORT || chunk == SCTP_SHUTDOWN_COMPLETE;
		bool init = chunk == SCTP_INIT;

		assert_int_equal(flow_state_may_open(&packet, false),
				 init ? DROP_NONE : DROP_NO_CONNECTION);
		assert_int_equal(flow_state_may_open(&packet, true),
				 never ? DROP_NO_CONNECTION : DROP_NONE);
	}
}

static void test_picked_up(void **state)
{
	static const struct step steps[] = {
		{O, 0, 0x1111, 0, GOES, FLOW_STATE_PICKED_UP | FLOW_LOOSE},
		{O, 0, 0x1111, 0, GOES, FLOW_STATE_PICKED_UP | FLOW_LOOSE},
		{R, 0, 0x2222, 0, GOES, S(ESTABLISHED) | FLOW_LOOSE},
		{R, C(ABORT), 0x2222, 0, GOES, FLOW_STATE_CLOSED | FLOW_LOOSE},
	};
	static const struct step one_direction[] = {{O, C(INIT), 0, 0xaaaa, GOES, S(OPENING)}};
	struct flow_account account;
	struct packet packet = {.key = {.protocol = IPPROTO_SCTP},
				.sctp_chunks = C(COOKIE_ECHO),
				.sctp_tag = 0x7777};

	PLAY(steps);
	account = PLAY(one_direction);
	assert_int_equal(flow_account_packet(NULL, &account, O, &packet, 60, 1), FLOW_OUTSIDE);
	assert_false(flow_state_tolerates(&account, O, &packet, true, false));
	assert_true(flow_state_tolerates(&account, O, &packet, false, true));
	assert_int_equal(account.state, FLOW_STATE_PICKED_UP | FLOW_LOOSE);
}

static void test_quotes(void **state)
{
	static const struct step steps[] = {HANDSHAKE};
	struct flow_account account = PLAY(steps);
	struct packet error = {.key = {.protocol = IPPROTO_SCTP}, .sctp_tag = 0xbbbb};

	assert_true(flow_state_quotes(&account, O, &error));
	assert_false(flow_state_quotes(&account, R, &error));
	error.sctp_tag = 0xaaaa;
	assert_true(flow_state_quotes(&account, R, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),	 cmocka_unit_test(test_opening),
		cmocka_unit_test(test_may_open), cmocka_unit_test(test_picked_up),
		cmocka_unit_test(test_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// A TCP connection from its first SYN to the end of TIME-WAIT, as somebody between the two sides
// can know it. What each packet does in each state is told in docs/reference/connections.md.
//
// Where a side may have forgotten the connection, it has to be able to find out: the packets of
// that conversation (RFC 5961: SYN, challenge ACK, RST) pass without proving anything.

#include "flow/handshake.h"

// Octets that a SYN may carry (RFC 7413): one segment.
#define SYN_DATA_MAX 65535

// By so much a window may grow without sequence numbers losing their order.
#define WIDER_MAX (1u << 28)

static uint32_t load32(const _Atomic uint32_t *from)
{
	return atomic_load_explicit(from, memory_order_relaxed);
}

static void store32(_Atomic uint32_t *to, uint32_t value)
{
	atomic_store_explicit(to, value, memory_order_relaxed);
}

static void store16(_Atomic uint16_t *to, uint32_t value)
{
	atomic_store_explicit(to, (uint16_t)value, memory_order_relaxed);
}

static enum flow_state state_of(uint16_t word)
{
	return word & FLOW_STATE_MASK;
}

// Flags that no implementation sends together (and that scanners send).
static bool flags_nonsense(uint8_t flags)
{
	if ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST)))
		return true;
	if ((flags & TCP_FIN) && (flags & TCP_RST))
		return true;
	// Everything but a SYN and a RST carries ACK (RFC 9293 section 3.1).
	return !(flags & (TCP_SYN | TCP_RST | TCP_ACK));
}

// ---- the beginning

enum drop_reason tcp_may_open(const struct packet *packet, bool pick_up)
{
	if (flags_nonsense(packet->tcp_flags))
		return DROP_TCP_FLAGS;
	if (packet->tcp_flags & TCP_RST)
		return DROP_NO_CONNECTION;
	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN || pick_up)
		return DROP_NONE;
	return DROP_NO_CONNECTION;
}

// In the middle of a stream the window scales are not known.
static uint16_t picked_up(const struct packet *packet)
{
	if (packet->tcp_flags & TCP_FIN)
		return FLOW_STATE_CLOSING | FLOW_LOOSE | FLOW_FIN(FLOW_ORIGINAL);
	return FLOW_STATE_PICKED_UP | FLOW_LOOSE;
}

// Until the answer to the SYN, `ack` holds where its data starts: acknowledgements begin there.
void tcp_open(struct flow_account *account, const struct packet *packet, bool loose)
{
	uint32_t state = loose ? FLOW_STATE_SYN_SENT | FLOW_LOOSE : FLOW_STATE_SYN_SENT;

	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) {
		store16(&account->state, picked_up(packet));
		return;
	}
	if (packet->tcp_scale) {
		state |= FLOW_SCALED(FLOW_ORIGINAL);
		atomic_store_explicit(&account->scales, packet->tcp_scale - 1,
				      memory_order_relaxed);
	}
	store32(&account->end[FLOW_ORIGINAL], packet->tcp_end);
	store32(&account->ack[FLOW_ORIGINAL], packet->tcp_seq + 1);
	store16(&account->window[FLOW_ORIGINAL], packet->tcp_window);
	store16(&account->state, state);
}

// A window as it stands in a SYN, in units of the scale that later ones have.
static uint32_t scale_down(uint32_t window, uint32_t scale)
{
	return (window + (1u << scale) - 1) >> scale;
}

// Takes the answer's numbers, SYN or SYN and ACK. Returns the state's bits that follow.
static uint16_t answer(struct flow_account *account, const struct packet *packet, uint16_t word)
{
	uint32_t sent = load32(&account->end[FLOW_ORIGINAL]), window = packet->tcp_window;
	uint32_t scales = atomic_load_explicit(&account->scales, memory_order_relaxed) & 15;

	// Both sides must have the option (RFC 7323 section 2.2).
	if ((word & FLOW_SCALED(FLOW_ORIGINAL)) && packet->tcp_scale) {
		uint32_t opener =
			atomic_load_explicit(&account->window[FLOW_ORIGINAL], memory_order_relaxed);

		store16(&account->window[FLOW_ORIGINAL], scale_down(opener, scales));
		window = scale_down(window, packet->tcp_scale - 1u);
		scales |= (packet->tcp_scale - 1u) << 4;
		word |= FLOW_SCALED(FLOW_REPLY);
	} else {
		scales = 0;
		word &= (uint16_t)~FLOW_SCALED(FLOW_ORIGINAL);
	}
	atomic_store_explicit(&account->scales, (uint8_t)scales, memory_order_relaxed);
	store16(&account->window[FLOW_REPLY], window);
	store32(&account->end[FLOW_REPLY], packet->tcp_end);
	store32(&account->ack[FLOW_REPLY], packet->tcp_flags & TCP_ACK ? packet->tcp_ack : sent);
	store32(&account->ack[FLOW_ORIGINAL], packet->tcp_seq + 1);
	return word;
}

// A server without memory of it (RFC 4987 section 3.6) answers a repeated SYN with another number.
void flow_state_renew(struct flow_account *account, const struct packet *packet)
{
	uint16_t word = atomic_load_explicit(&account->state, memory_order_relaxed);

	// The windows were scaled already, or not.
	if (!(word & FLOW_SCALED(FLOW_REPLY)) != !packet->tcp_scale) {
		flow_state_loosen(account);
		return;
	}
	store16(&account->window[FLOW_REPLY],
		packet->tcp_scale ? scale_down(packet->tcp_window, packet->tcp_scale - 1u)
				  : packet->tcp_window);
	store32(&account->end[FLOW_REPLY], packet->tcp_end);
	store32(&account->ack[FLOW_REPLY], packet->tcp_ack);
	store32(&account->ack[FLOW_ORIGINAL], packet->tcp_seq + 1);
}

// In syn-sent: from behind the SYN up to the data that it may have carried.
static bool acknowledges_syn(const struct flow_account *account, const struct packet *packet)
{
	uint32_t first = load32(&account->ack[FLOW_ORIGINAL]);

	return (packet->tcp_flags & TCP_ACK) &&
	       packet->tcp_ack - first <= load32(&account->end[FLOW_ORIGINAL]) - first;
}

// Changes the state if nobody else has meanwhile; false: look again.
static bool change(struct flow_account *account, uint16_t *word, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(&account->state, word, (uint16_t)to,
						       memory_order_relaxed, memory_order_relaxed);
}

static enum flow_progress close(struct flow_account *account, uint16_t word)
{
	while (state_of(word) != FLOW_STATE_CLOSED &&
	       !change(account, &word, (word & ~FLOW_STATE_MASK) | FLOW_STATE_CLOSED))
		continue;
	return FLOW_GOES_ON;
}

// Nobody but the opener has been heard.
static enum flow_progress syn_sent_original(struct flow_account *account, uint16_t word,
					    const struct packet *packet)
{
	uint8_t flags = packet->tcp_flags;

	if (flags & TCP_RST) {
		// To an old connection's challenge ACK it has other numbers.
		if ((word & FLOW_LOOSE) || packet->tcp_seq == load32(&account->end[FLOW_ORIGINAL]))
			return close(account, word);
		return FLOW_PASSES;
	}
	if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return FLOW_OUTSIDE;
	return packet->tcp_seq + 1 == load32(&account->ack[FLOW_ORIGINAL]) ? FLOW_GOES_ON
									   : FLOW_REOPENS;
}

static enum flow_progress syn_sent_reply(struct flow_account *account, uint16_t word,
					 const struct packet *packet)
{
	uint8_t flags = packet->tcp_flags;
	bool fits = (word & FLOW_LOOSE) || acknowledges_syn(account, packet);

	if (flags & TCP_RST)
		return fits ? close(account, word) : FLOW_OUTSIDE;
	if (flags & TCP_SYN) {
		uint32_t bits;

		// Without ACK it is the other half of a simultaneous open.
		if ((flags & TCP_ACK) && !fits)
			return FLOW_OUTSIDE;
		bits = answer(account, packet, word) & ~FLOW_STATE_MASK;
		while (state_of(word) == FLOW_STATE_SYN_SENT &&
		       !change(account, &word,
			       bits | (word & FLOW_LOOSE) | FLOW_STATE_SYN_RECEIVED))
			continue;
		return FLOW_GOES_ON;
	}
	// A challenge ACK of an older connection: the opener answers with a reset.
	return (flags & TCP_FIN) || packet->tcp_end != packet->tcp_seq ? FLOW_OUTSIDE : FLOW_PASSES;
}

// ---- with numbers of both sides

static bool fits(const struct flow_account *account, enum flow_direction_index direction,
		 const struct packet *packet)
{
	struct flow_window window = flow_window_get(account, direction);

	return flow_window_has_sequence(&window, packet->tcp_seq, packet->tcp_end) &&
	       (!(packet->tcp_flags & TCP_ACK) || flow_window_has_ack(&window, packet->tcp_ack));
}

// The opener's SYN. Its own repetition, or it has forgotten the connection: the other side then
// says so (RFC 5961 section 4.2), which ends it.
static enum flow_progress syn_again(struct flow_account *account, uint16_t word,
				    const struct packet *packet)
{
	if (state_of(word) == FLOW_STATE_SYN_RECEIVED &&
	    packet->tcp_end == load32(&account->end[FLOW_ORIGINAL]))
		return FLOW_GOES_ON;
	atomic_fetch_or_explicit(&account->state, FLOW_RENEWED, memory_order_relaxed);
	return FLOW_PASSES;
}

static enum flow_progress syn(struct flow_account *account, uint16_t word,
			      enum flow_direction_index direction, const struct packet *packet)
{
	bool ack = packet->tcp_flags & TCP_ACK;

	switch (state_of(word)) {
	case FLOW_STATE_PICKED_UP:
	case FLOW_STATE_CLOSING:
	case FLOW_STATE_TIME_WAIT:
	case FLOW_STATE_CLOSED:
		if (!ack)
			return FLOW_REOPENS;
		break;
	default:
		break;
	}
	if (!ack && direction == FLOW_ORIGINAL)
		return syn_again(account, word, packet);
	if (word & FLOW_LOOSE)
		return FLOW_PASSES;
	if (state_of(word) == FLOW_STATE_SYN_RECEIVED && direction == FLOW_REPLY && ack &&
	    packet->tcp_end != load32(&account->end[FLOW_REPLY]) &&
	    load32(&account->end[FLOW_ORIGINAL]) - packet->tcp_ack <= SYN_DATA_MAX)
		return FLOW_RENEWS;
	if (fits(account, direction, packet))
		return FLOW_GOES_ON;
	// The other side agrees to the opener's new connection: neither has this one any more.
	return ack && direction == FLOW_REPLY && (word & FLOW_RENEWED) ? FLOW_ENDS : FLOW_OUTSIDE;
}

// A reset ends the connection if its number is the one that the receiver expects: what it has
// acknowledged, or the end of all that was sent. Elsewhere in the window the receiver asks again by
// a challenge ACK (RFC 5961 section 3.2).
static enum flow_progress reset(struct flow_account *account, uint16_t word,
				enum flow_direction_index direction, const struct packet *packet)
{
	struct flow_window window = flow_window_get(account, direction);

	if ((word & FLOW_LOOSE) || packet->tcp_seq == window.other_ack ||
	    packet->tcp_seq == window.end)
		return close(account, word);
	// The answer to a SYN has no number of its own.
	if (direction == FLOW_REPLY && (packet->tcp_flags & TCP_ACK)) {
		if (state_of(word) == FLOW_STATE_SYN_RECEIVED &&
		    packet->tcp_ack == window.other_end)
			return close(account, word);
		if ((word & FLOW_RENEWED) && packet->tcp_seq == 0)
			return FLOW_ENDS;
	}
	// To an old connection's packet that came just before the answer to the SYN.
	if (direction == FLOW_ORIGINAL && state_of(word) == FLOW_STATE_SYN_RECEIVED)
		return FLOW_PASSES;
	return flow_window_has_sequence(&window, packet->tcp_seq, packet->tcp_end) ? FLOW_PASSES
										   : FLOW_OUTSIDE;
}

static uint16_t next_state(uint16_t word, enum flow_direction_index direction, uint8_t flags)
{
	enum flow_state state = state_of(word);

	// One side alone must not make an entry that stays for hours.
	if ((state == FLOW_STATE_SYN_RECEIVED && direction == FLOW_ORIGINAL) ||
	    (state == FLOW_STATE_PICKED_UP && direction == FLOW_REPLY))
		state = FLOW_STATE_ESTABLISHED;
	if (flags & TCP_FIN)
		word |= FLOW_FIN(direction);
	if (state != FLOW_STATE_CLOSED && (word & FLOW_FIN(FLOW_ORIGINAL)) &&
	    (word & FLOW_FIN(FLOW_REPLY)))
		state = FLOW_STATE_TIME_WAIT;
	else if (state != FLOW_STATE_CLOSED && (flags & TCP_FIN))
		state = FLOW_STATE_CLOSING;
	// Established is this and nothing else: the fast path compares once.
	if (state == FLOW_STATE_ESTABLISHED)
		word &= FLOW_LOOSE | FLOW_RENEWED;
	// The opener has not forgotten it.
	if (direction == FLOW_ORIGINAL)
		word &= (uint16_t)~FLOW_RENEWED;
	return (uint16_t)((word & ~FLOW_STATE_MASK) | state);
}

static enum flow_progress move_on(struct flow_account *account, uint16_t word,
				  enum flow_direction_index direction, uint8_t flags)
{
	for (;;) {
		uint16_t next = next_state(word, direction, flags);

		if (next == word || change(account, &word, next))
			return FLOW_GOES_ON;
	}
}

enum flow_progress flow_tcp_packet(struct flow_account *account,
				   enum flow_direction_index direction, const struct packet *packet)
{
	uint16_t word = atomic_load_explicit(&account->state, memory_order_relaxed);
	uint8_t flags = packet->tcp_flags;

	if (flags_nonsense(flags))
		return FLOW_BREAKS;
	if (state_of(word) == FLOW_STATE_SYN_SENT)
		return direction == FLOW_ORIGINAL ? syn_sent_original(account, word, packet)
						  : syn_sent_reply(account, word, packet);
	if (flags & TCP_SYN)
		return syn(account, word, direction, packet);
	if (flags & TCP_RST)
		return reset(account, word, direction, packet);
	if (!(word & FLOW_LOOSE) && !flow_window_pass(account, direction, packet))
		return FLOW_OUTSIDE;
	return move_on(account, word, direction, flags);
}

bool tcp_tolerates(struct flow_account *account, enum flow_direction_index direction,
		   const struct packet *packet, bool near, bool pick_up)
{
	uint16_t word = atomic_load_explicit(&account->state, memory_order_relaxed);
	struct flow_window window = flow_window_get(account, direction), wide = window;
	uint32_t more = window.other_size < WIDER_MAX ? window.other_size : WIDER_MAX;

	if (packet->tcp_flags & (TCP_SYN | TCP_RST))
		return false;
	if (state_of(word) == FLOW_STATE_SYN_SENT) {
		// The other direction goes another way.
		if (!pick_up || direction != FLOW_ORIGINAL)
			return false;
		store16(&account->state, picked_up(packet));
		return true;
	}
	if (!near)
		return false;
	wide.end -= more;
	wide.other_ack += more;
	wide.ack -= window.size;
	wide.other_end += window.size;
	if (!flow_window_has_sequence(&wide, packet->tcp_seq, packet->tcp_end) ||
	    !flow_window_has_ack(&wide, packet->tcp_ack))
		return false;
	flow_window_move(account, direction, &window, packet);
	return move_on(account, word, direction, packet->tcp_flags) == FLOW_GOES_ON;
}

// What was sent and may not have arrived yet; before the answer, the SYN.
bool tcp_quotes(const struct flow_account *account, enum flow_direction_index direction,
		const struct packet *error)
{
	struct flow_window window = flow_window_get(account, direction);
	uint32_t back = window.other_size > SYN_DATA_MAX ? window.other_size : SYN_DATA_MAX;

	return window.end - error->tcp_seq <= back + 1;
}

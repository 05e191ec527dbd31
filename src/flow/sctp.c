// An SCTP association by its chunks and verification tags (RFC 9260 sections 4, 5 and 8.5). One
// pair of addresses is one connection; other paths of the same association open none by themselves,
// for they begin without INIT.

#include "flow/handshake.h"

static uint32_t tag_of(const struct flow_account *account, enum flow_direction_index direction)
{
	return atomic_load_explicit(&account->tag[direction], memory_order_relaxed);
}

static void set_tag(struct flow_account *account, enum flow_direction_index direction, uint32_t tag)
{
	atomic_store_explicit(&account->tag[direction], tag, memory_order_relaxed);
}

static bool has(const struct packet *packet, unsigned int chunk)
{
	return packet->sctp_chunks & (1u << chunk);
}

enum drop_reason sctp_may_open(const struct packet *packet, bool pick_up)
{
	if (has(packet, SCTP_INIT))
		return DROP_NONE;
	if (!pick_up || has(packet, SCTP_ABORT) || has(packet, SCTP_SHUTDOWN_COMPLETE))
		return DROP_NO_CONNECTION;
	return DROP_NONE;
}

void sctp_open(struct flow_account *account, const struct packet *packet, bool loose)
{
	uint32_t state = loose ? FLOW_STATE_SCTP_OPENING | FLOW_LOOSE : FLOW_STATE_SCTP_OPENING;

	if (!has(packet, SCTP_INIT))
		state = FLOW_STATE_PICKED_UP | FLOW_LOOSE;
	set_tag(account, FLOW_REPLY, packet->sctp_initiate_tag);
	atomic_store_explicit(&account->state, (uint16_t)state, memory_order_relaxed);
}

static enum flow_progress init(struct flow_account *account, enum flow_state state,
			       enum flow_direction_index direction, const struct packet *packet)
{
	switch (state) {
	case FLOW_STATE_SCTP_OPENING:
		if (direction == FLOW_ORIGINAL)
			return packet->sctp_initiate_tag == tag_of(account, FLOW_REPLY)
				       ? FLOW_GOES_ON
				       : FLOW_REOPENS;
		break;
	case FLOW_STATE_SCTP_ESTABLISHED:
		break;
	default:
		return FLOW_REOPENS;
	}
	// Both at once, or a restart of one side: new tags follow, or the old ones stay (section
	// 5.2).
	flow_state_loosen(account);
	return FLOW_PASSES;
}

static bool tag_fits(struct flow_account *account, uint16_t word,
		     enum flow_direction_index direction, const struct packet *packet)
{
	bool opening = (word & FLOW_STATE_MASK) == FLOW_STATE_SCTP_OPENING;

	if (word & FLOW_LOOSE)
		return true;
	// Of several answers the opener takes the one that it gives back.
	if (opening && direction == FLOW_ORIGINAL && has(packet, SCTP_COOKIE_ECHO))
		return word & FLOW_ANSWERED;
	if (packet->sctp_reflected)
		direction = !direction;
	return packet->sctp_tag == tag_of(account, direction);
}

static uint16_t next_state(uint16_t word, enum flow_direction_index direction,
			   const struct packet *packet)
{
	enum flow_state state = word & FLOW_STATE_MASK;

	if (state == FLOW_STATE_CLOSED)
		return word;
	if (has(packet, SCTP_ABORT) || has(packet, SCTP_SHUTDOWN_COMPLETE))
		state = FLOW_STATE_CLOSED;
	else if (has(packet, SCTP_SHUTDOWN) || has(packet, SCTP_SHUTDOWN_ACK))
		state = FLOW_STATE_SCTP_SHUTDOWN;
	else if (state == FLOW_STATE_PICKED_UP && direction == FLOW_REPLY)
		state = FLOW_STATE_SCTP_ESTABLISHED;
	else if (state == FLOW_STATE_SCTP_OPENING && has(packet, SCTP_COOKIE_ACK) &&
		 (direction == FLOW_REPLY || (word & FLOW_LOOSE)))
		state = FLOW_STATE_SCTP_ESTABLISHED;
	return (uint16_t)((word & ~FLOW_STATE_MASK) | state);
}

enum flow_progress flow_sctp_packet(struct flow_account *account,
				    enum flow_direction_index direction,
				    const struct packet *packet)
{
	uint16_t word = atomic_load_explicit(&account->state, memory_order_relaxed), next;
	bool opening = (word & FLOW_STATE_MASK) == FLOW_STATE_SCTP_OPENING;

	if (has(packet, SCTP_INIT))
		return init(account, word & FLOW_STATE_MASK, direction, packet);
	if (!tag_fits(account, word, direction, packet))
		return FLOW_OUTSIDE;
	if (opening && direction == FLOW_REPLY && has(packet, SCTP_INIT_ACK)) {
		set_tag(account, FLOW_ORIGINAL, packet->sctp_initiate_tag);
		atomic_fetch_or_explicit(&account->state, FLOW_ANSWERED, memory_order_relaxed);
		return FLOW_GOES_ON;
	}
	if (opening && direction == FLOW_ORIGINAL && has(packet, SCTP_COOKIE_ECHO))
		set_tag(account, FLOW_ORIGINAL, packet->sctp_tag);
	do
		next = next_state(word, direction, packet);
	while (next != word &&
	       !atomic_compare_exchange_weak_explicit(&account->state, &word, next,
						      memory_order_relaxed, memory_order_relaxed));
	return FLOW_GOES_ON;
}

bool sctp_tolerates(struct flow_account *account, enum flow_direction_index direction,
		    const struct packet *packet, bool pick_up)
{
	uint16_t word = atomic_load_explicit(&account->state, memory_order_relaxed);

	// The other direction goes another way.
	if (!pick_up || direction != FLOW_ORIGINAL || has(packet, SCTP_ABORT) ||
	    word != FLOW_STATE_SCTP_OPENING)
		return false;
	atomic_store_explicit(&account->state, FLOW_STATE_PICKED_UP | FLOW_LOOSE,
			      memory_order_relaxed);
	return true;
}

bool sctp_quotes(const struct flow_account *account, enum flow_direction_index direction,
		 const struct packet *error)
{
	return error->sctp_tag == tag_of(account, direction);
}

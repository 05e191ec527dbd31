#include "flow/state.h"

#include "flow/handshake.h"

static const char *const names[FLOW_STATE_COUNT] = {
#define X(name, text, seconds) [FLOW_STATE_##name] = text,
	FLOW_STATES(X)
#undef X
};

static const uint32_t timeouts[FLOW_STATE_COUNT] = {
#define X(name, text, seconds) [FLOW_STATE_##name] = seconds,
	FLOW_STATES(X)
#undef X
};

const char *flow_state_name(enum flow_state state)
{
	return names[state];
}

uint32_t flow_state_timeout(enum flow_state state)
{
	return timeouts[state];
}

enum drop_reason flow_state_may_open(const struct packet *packet, bool pick_up)
{
	// Its key has the identifier where rules look for type and code.
	if (packet->icmp_reply)
		return DROP_NO_CONNECTION;
	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		return tcp_may_open(packet, pick_up);
	case IPPROTO_SCTP:
		return sctp_may_open(packet, pick_up);
	default:
		return DROP_NONE;
	}
}

void flow_state_open(struct flow_account *account, const struct packet *packet, bool loose)
{
	enum flow_state state = FLOW_STATE_UNREPLIED;

	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		tcp_open(account, packet, loose);
		return;
	case IPPROTO_SCTP:
		sctp_open(account, packet, loose);
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		state = FLOW_STATE_ICMP;
		break;
	default:
		break;
	}
	atomic_store_explicit(&account->state, (uint16_t)state, memory_order_relaxed);
}

void flow_state_loosen(struct flow_account *account)
{
	// Those before them have none; there the state is the whole word.
	if (flow_state_has_numbers(account))
		atomic_fetch_or_explicit(&account->state, FLOW_LOOSE, memory_order_relaxed);
}

void flow_state_replied(struct flow_charges *charges, struct flow_account *account,
			uint8_t protocol)
{
	uint16_t state = protocol == IPPROTO_UDP ? FLOW_STATE_REPLIED : FLOW_STATE_OTHER;

	atomic_store_explicit(&account->state, state, memory_order_relaxed);
	flow_charge_settle(charges, account);
}

bool flow_state_quotes(const struct flow_account *account, enum flow_direction_index direction,
		       const struct packet *error)
{
	if (atomic_load_explicit(&account->state, memory_order_relaxed) & FLOW_LOOSE)
		return true;
	switch (error->key.protocol) {
	case IPPROTO_TCP:
		return tcp_quotes(account, direction, error);
	case IPPROTO_SCTP:
		return sctp_quotes(account, direction, error);
	default:
		return true;
	}
}

bool flow_state_tolerates(struct flow_account *account, enum flow_direction_index direction,
			  const struct packet *packet, bool near, bool pick_up)
{
	if (packet->key.protocol == IPPROTO_TCP)
		return tcp_tolerates(account, direction, packet, near, pick_up);
	return sctp_tolerates(account, direction, packet, pick_up);
}

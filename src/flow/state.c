#include "flow/state.h"

#include "packet/header.h"

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

// Flags that no implementation sends together (and that scanners send).
static bool tcp_flags_nonsense(uint8_t flags)
{
	if ((flags & TCP_SYN) && (flags & (TCP_FIN | TCP_RST)))
		return true;
	if ((flags & TCP_FIN) && (flags & TCP_RST))
		return true;
	// Everything but a SYN and a RST carries ACK (RFC 9293 section 3.1).
	return !(flags & (TCP_SYN | TCP_RST | TCP_ACK));
}

// An answer that nobody asked for. Its key has the identifier where rules look for type and code.
static bool icmp_reply(const struct packet *packet)
{
	uint8_t type = packet->icmp_type;

	if (packet->key.protocol == IPPROTO_ICMP)
		return type == ICMP_ECHO_REPLY || type == 14 || type == 16 || type == 18;
	return packet->key.protocol == IPPROTO_ICMPV6 && type == ICMP6_ECHO_REPLY;
}

enum drop_reason flow_state_may_open(const struct packet *packet)
{
	if (packet->key.flags & FLOW_KEY_FRAGMENT)
		return DROP_NONE;
	if (icmp_reply(packet))
		return DROP_NO_CONNECTION;
	if (packet->key.protocol != IPPROTO_TCP)
		return DROP_NONE;
	if (tcp_flags_nonsense(packet->tcp_flags))
		return DROP_TCP_FLAGS;
	if (packet->tcp_flags & TCP_RST)
		return DROP_NO_CONNECTION;
	return DROP_NONE;
}

enum flow_state flow_state_first(const struct packet *packet)
{
	if (packet->key.flags & FLOW_KEY_FRAGMENT)
		return FLOW_STATE_UNREPLIED;
	switch (packet->key.protocol) {
	case IPPROTO_TCP:
		if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return FLOW_STATE_SYN_SENT;
		return packet->tcp_flags & TCP_FIN ? FLOW_STATE_CLOSING : FLOW_STATE_PICKED_UP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return FLOW_STATE_ICMP;
	default:
		return FLOW_STATE_UNREPLIED;
	}
}

enum flow_progress flow_state_tcp(struct flow_account *account, enum flow_direction_index direction,
				  uint8_t flags)
{
	enum flow_state state = atomic_load_explicit(&account->state, memory_order_relaxed);
	uint8_t closed;

	if (tcp_flags_nonsense(flags))
		return FLOW_BREAKS;
	if (flags & TCP_RST) {
		state = FLOW_STATE_CLOSED;
	} else if (flags & TCP_SYN) {
		bool ended = state == FLOW_STATE_TIME_WAIT || state == FLOW_STATE_CLOSED;

		// A new connection with the ports of one that has ended (RFC 9293 section 3.6.1).
		if (!(flags & TCP_ACK) && ended)
			return FLOW_REOPENS;
		// The answer, or the other half of a simultaneous open.
		if (state == FLOW_STATE_SYN_SENT && direction == FLOW_REPLY)
			state = FLOW_STATE_SYN_RECEIVED;
	} else if (flags & TCP_FIN) {
		closed = atomic_fetch_or_explicit(&account->closed, (uint8_t)(1 << direction),
						  memory_order_relaxed);
		closed |= (uint8_t)(1 << direction);
		if (state != FLOW_STATE_CLOSED)
			state = closed == 3 ? FLOW_STATE_TIME_WAIT : FLOW_STATE_CLOSING;
	} else if ((state == FLOW_STATE_SYN_RECEIVED && direction == FLOW_ORIGINAL) ||
		   (state == FLOW_STATE_PICKED_UP && direction == FLOW_REPLY)) {
		// One side alone must not make an entry that stays for hours.
		state = FLOW_STATE_ESTABLISHED;
	}
	atomic_store_explicit(&account->state, (uint8_t)state, memory_order_relaxed);
	return FLOW_GOES_ON;
}

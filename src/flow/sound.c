#include "flow/sound.h"

#include "flow/state.h"

// The processes' clocks may differ a little: the time stamp counter's speed is measured by each.
#define CLOCKS_APART 300

#define FLAGS_KNOWN                                                                    \
	(FLOW_LIVE | FLOW_ONE_WAY | FLOW_RACED | FLOW_OFFLOADED | FLOW_NETWORK_APART | \
	 FLOW_HALF_OPEN | FLOW_MAPPED)

#define STATE_BITS                                                                       \
	(FLOW_STATE_MASK | FLOW_FIN(0) | FLOW_FIN(1) | FLOW_SCALED(0) | FLOW_SCALED(1) | \
	 FLOW_LOOSE | FLOW_RENEWED | FLOW_ANSWERED)

static bool state_is_sound(const struct flow *flow)
{
	uint16_t word = atomic_load_explicit(&flow->account.state, memory_order_relaxed);
	enum flow_state state = word & FLOW_STATE_MASK;

	if (word & ~STATE_BITS || state >= FLOW_STATE_COUNT)
		return false;
	switch (flow->direction[FLOW_ORIGINAL].key.protocol) {
	case IPPROTO_TCP:
		return state >= FLOW_STATE_SYN_SENT && state <= FLOW_STATE_CLOSED;
	case IPPROTO_SCTP:
		return state >= FLOW_STATE_SCTP_OPENING || state == FLOW_STATE_CLOSED ||
		       state == FLOW_STATE_PICKED_UP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return word == FLOW_STATE_ICMP || word == FLOW_STATE_OTHER;
	default:
		return word == FLOW_STATE_UNREPLIED || word == FLOW_STATE_REPLIED ||
		       word == FLOW_STATE_OTHER;
	}
}

static bool key_is_sound(const struct flow_key *key, uint8_t flags)
{
	return key->network && (key->flags & ~FLOW_KEY_SHIFT) == flags &&
	       ip_is_v4(&key->source) == ip_is_v4(&key->destination);
}

static uint16_t actions_of(const struct flow *flow)
{
	return flow_action_get(&flow->direction[FLOW_ORIGINAL]).flags |
	       flow_action_get(&flow->direction[FLOW_REPLY]).flags;
}

static bool keys_are_sound(const struct flow *flow)
{
	const struct flow_key *original = &flow->direction[FLOW_ORIGINAL].key;
	const struct flow_key *reply = &flow->direction[FLOW_REPLY].key;
	struct flow_key reverse = flow_key_reverse(original, reply->network);

	if (flow_has(&flow->account, FLOW_ONE_WAY))
		return key_is_sound(original, FLOW_KEY_ONE_WAY);
	if (!key_is_sound(original, 0) || !key_is_sound(reply, 0) ||
	    flow_key_equal(original, reply))
		return false;
	// What is translated may be anything, and is held against the objects by the layers.
	return actions_of(flow) & FLOW_ACTION_TRANSLATE || flow_key_equal(&reverse, reply);
}

static bool times_are_sound(const struct flow_account *account, uint32_t now)
{
	return (int32_t)(account->last_seen - now) <= CLOCKS_APART &&
	       (int32_t)(account->created - account->last_seen) <= CLOCKS_APART;
}

// What was rewritten in TCP's texts is not known any more, and numbers are shifted by it
// (worker/helper.c): such a connection would go wrong unseen.
static bool is_lost(const struct flow *flow)
{
	return flow->direction[FLOW_ORIGINAL].key.protocol == IPPROTO_TCP &&
	       actions_of(flow) & FLOW_ACTION_HELPED;
}

bool flow_is_sound(const struct flow *flow, uint32_t now)
{
	uint8_t flags = atomic_load_explicit(&flow->account.flags, memory_order_relaxed);

	return !(flags & ~FLAGS_KNOWN) && state_is_sound(flow) && keys_are_sound(flow) &&
	       times_are_sound(&flow->account, now) && !is_lost(flow);
}

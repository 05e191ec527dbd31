// The state of a connection, moved on by its packets.

#pragma once

#include "flow/flow.h"

enum flow_progress {
	FLOW_GOES_ON,
	FLOW_REOPENS, // the packet opens a new connection in place of this one, which has ended
	FLOW_BREAKS,  // no implementation sends such a packet
};

// State of a connection whose first packet is this one. A TCP packet in the middle of a stream is
// picked up, so that connections go on after a restart.
enum flow_state flow_state_first(const struct packet *packet);

// Can this packet open a connection? DROP_NONE, or why not.
enum drop_reason flow_state_may_open(const struct packet *packet);

// Moves a TCP connection on. Called for a packet with SYN, FIN or RST, without ACK, or in a state
// other than established.
enum flow_progress flow_state_tcp(struct flow_account *account, enum flow_direction_index direction,
				  uint8_t tcp_flags);

// Accounts a packet of `length` bytes and moves the state on. In the common case nothing is called.
static inline enum flow_progress flow_account_packet(struct flow_account *account,
						     enum flow_direction_index direction,
						     const struct packet *packet, uint32_t length,
						     uint32_t now)
{
	uint8_t state = atomic_load_explicit(&account->state, memory_order_relaxed);

	// Fragments show no flags.
	if (packet->key.protocol == IPPROTO_TCP && !(packet->key.flags & FLOW_KEY_FRAGMENT)) {
		if ((packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
		    state != FLOW_STATE_ESTABLISHED) {
			enum flow_progress progress =
				flow_state_tcp(account, direction, packet->tcp_flags);

			if (progress != FLOW_GOES_ON)
				return progress;
		}
	} else if (state == FLOW_STATE_UNREPLIED && direction == FLOW_REPLY) {
		state = packet->key.protocol == IPPROTO_UDP ? FLOW_STATE_REPLIED : FLOW_STATE_OTHER;
		atomic_store_explicit(&account->state, state, memory_order_relaxed);
	}
	account->packets[direction]++;
	account->bytes[direction] += length;
	account->last_seen = now;
	return FLOW_GOES_ON;
}

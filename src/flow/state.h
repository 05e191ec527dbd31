// The state of a connection, moved on by its packets.
//
// state.c   what may open a connection, and with which state
// tcp.c     handshake, windows, end (RFC 9293, 5961)
// sctp.c    chunks and tags (RFC 9260)
//
// Threads: any worker may account a packet of a live connection. What needs more than that (the
// connection ends, begins anew, or its numbers are set again) is for the owner alone.

#pragma once

#include "flow/charge.h"
#include "flow/window.h"

enum flow_progress {
	FLOW_GOES_ON, // accounted
	// In these nothing is accounted:
	FLOW_PASSES,  // the packet passes, and proves nothing about the connection
	FLOW_REOPENS, // it opens a new connection in place of this one, if it may
	FLOW_RENEWS,  // flow_state_renew, and it goes on
	FLOW_ENDS,    // the connection is nobody's any more; the packet does not pass
	FLOW_OUTSIDE, // its numbers do not fit
	FLOW_BREAKS,  // no implementation sends such a packet
};

// Can this packet open a connection? DROP_NONE, or why not. `pick_up`: also in the middle of one.
enum drop_reason flow_state_may_open(const struct packet *packet, bool pick_up);

// The first packet's state and numbers; `account` is all zero. `loose`: they are not held against
// later packets.
void flow_state_open(struct flow_account *account, const struct packet *packet, bool loose);

// A packet of a TCP connection that is no plain segment in the windows of an established one.
enum flow_progress flow_tcp_packet(struct flow_account *account,
				   enum flow_direction_index direction,
				   const struct packet *packet);
enum flow_progress flow_sctp_packet(struct flow_account *account,
				    enum flow_direction_index direction,
				    const struct packet *packet);

// The answer to a SYN once more, with other numbers. Owner.
void flow_state_renew(struct flow_account *account, const struct packet *packet);

// A packet outside: may it pass all the same? `near`: numbers that another worker wrote may have
// been lost, so one window more is allowed. `pick_up`: a handshake of which only one direction is
// seen. Owner.
bool flow_state_tolerates(struct flow_account *account, enum flow_direction_index direction,
			  const struct packet *packet, bool near, bool pick_up);

// Has its protocol numbers that are held against packets? Those before SYN_SENT have none.
static inline bool flow_state_has_numbers(const struct flow_account *account)
{
	return flow_state_get(account) >= FLOW_STATE_SYN_SENT;
}

// From now on numbers are not held against anything, where the protocol has any.
void flow_state_loosen(struct flow_account *account);

// Can the connection's packet in `direction` be what an ICMP error quotes? By the sequence number
// (RFC 5927 section 4.1) or tag in `error`.
bool flow_state_quotes(const struct flow_account *account, enum flow_direction_index direction,
		       const struct packet *error);

static inline void flow_account_count(struct flow_account *account,
				      enum flow_direction_index direction, uint32_t length)
{
	account->packets[direction]++;
	account->bytes[direction] += length;
}

// UDP and others: the first packet of the other side.
void flow_state_replied(struct flow_charges *charges, struct flow_account *account,
			uint8_t protocol);

// Accounts a packet of `length` bytes and moves the state on. In the common case nothing is called.
// `charges`: where its opener is charged; NULL: nowhere, it is a copy.
static inline enum flow_progress flow_account_packet(struct flow_charges *charges,
						     struct flow_account *account,
						     enum flow_direction_index direction,
						     const struct packet *packet, uint32_t length,
						     uint32_t now)
{
	uint16_t state = atomic_load_explicit(&account->state, memory_order_relaxed);

	if (packet->key.protocol == IPPROTO_TCP) {
		if ((packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK ||
		    (state != (FLOW_STATE_ESTABLISHED | FLOW_LOOSE) &&
		     (state != FLOW_STATE_ESTABLISHED ||
		      !flow_window_pass_next(account, direction, packet)))) {
			enum flow_progress progress = flow_tcp_packet(account, direction, packet);

			if (progress != FLOW_GOES_ON)
				return progress;
			flow_charge_settle(charges, account);
		}
	} else if (packet->key.protocol == IPPROTO_SCTP) {
		enum flow_progress progress = flow_sctp_packet(account, direction, packet);

		if (progress != FLOW_GOES_ON)
			return progress;
		flow_charge_settle(charges, account);
	} else if (__builtin_expect(state == FLOW_STATE_UNREPLIED && direction == FLOW_REPLY, 0)) {
		flow_state_replied(charges, account, packet->key.protocol);
	}
	flow_account_count(account, direction, length);
	account->last_seen = now;
	return FLOW_GOES_ON;
}

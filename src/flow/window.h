// What a TCP connection's two sides have sent, acknowledged and offered, and whether a segment fits
// (RFC 9293 section 3.10.7.4, RFC 5961 section 5.2). Sequence numbers wrap: only differences count.
//
// The receiver's right edge is not kept but bounded: its last acknowledgement and the largest
// window that it has ever offered. So a segment beyond a window that has shrunk passes here, and is
// for the receiver to judge.
//
// Threads: a direction's numbers are written by the worker that has its packets and read by the
// other direction's. A packet is forwarded after it was accounted, so whatever a side sends because
// of it finds its numbers.

#pragma once

#include "flow/flow.h"

// In octets.
static inline uint32_t flow_window_size(const struct flow_account *account,
					enum flow_direction_index direction)
{
	uint32_t scales = atomic_load_explicit(&account->scales, memory_order_relaxed);

	return (uint32_t)atomic_load_explicit(&account->window[direction], memory_order_relaxed)
	       << (scales >> (4 * direction) & 15);
}

struct flow_window {
	uint32_t end, ack;	       // the sender's
	uint32_t other_end, other_ack; // the receiver's
	uint32_t size, other_size;
};

static inline struct flow_window flow_window_get(const struct flow_account *account,
						 enum flow_direction_index direction)
{
	enum flow_direction_index other = direction ^ 1;

	return (struct flow_window){
		.end = atomic_load_explicit(&account->end[direction], memory_order_relaxed),
		.ack = atomic_load_explicit(&account->ack[direction], memory_order_relaxed),
		.other_end = atomic_load_explicit(&account->end[other], memory_order_relaxed),
		.other_ack = atomic_load_explicit(&account->ack[other], memory_order_relaxed),
		.size = flow_window_size(account, direction),
		.other_size = flow_window_size(account, other),
	};
}

// Not behind what the receiver may take, and not further back than it can have been asked to take:
// retransmissions, keep-alives (one octet back) and probes of a closed window fit.
static inline bool flow_window_has_sequence(const struct flow_window *window, uint32_t seq,
					    uint32_t end)
{
	uint32_t oldest = window->end - window->other_size - 1;
	// From there to the receiver's edge.
	int64_t span =
		(int32_t)(window->other_ack - window->end) + INT64_C(2) * window->other_size + 1;

	return (uint32_t)(end - oldest) <= (span > 0 ? span : 0) + (uint32_t)(end - seq);
}

// Acknowledges nothing that was not sent, and is not older than the sender's largest window.
static inline bool flow_window_has_ack(const struct flow_window *window, uint32_t ack)
{
	return ack - (window->ack - window->size) <= window->other_end - window->ack + window->size;
}

static inline uint32_t flow_sequence_max(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0 ? a : b;
}

static inline void flow_window_move(struct flow_account *account,
				    enum flow_direction_index direction,
				    const struct flow_window *window, const struct packet *packet)
{
	uint16_t size = atomic_load_explicit(&account->window[direction], memory_order_relaxed);

	atomic_store_explicit(&account->end[direction],
			      flow_sequence_max(packet->tcp_end, window->end),
			      memory_order_relaxed);
	atomic_store_explicit(&account->ack[direction],
			      flow_sequence_max(packet->tcp_ack, window->ack),
			      memory_order_relaxed);
	atomic_store_explicit(&account->window[direction],
			      packet->tcp_window > size ? packet->tcp_window : size,
			      memory_order_relaxed);
}

// A segment with ACK and without SYN. True: it fits, and has moved the windows.
static inline bool flow_window_pass(struct flow_account *account,
				    enum flow_direction_index direction,
				    const struct packet *packet)
{
	struct flow_window window = flow_window_get(account, direction);

	if (!flow_window_has_sequence(&window, packet->tcp_seq, packet->tcp_end) ||
	    !flow_window_has_ack(&window, packet->tcp_ack))
		return false;
	flow_window_move(account, direction, &window, packet);
	return true;
}

// The same for the usual segment, which goes on where the last one ended: that leaves little to
// compare. False says nothing.
static inline bool flow_window_pass_next_of(struct flow_account *account,
					    enum flow_direction_index direction,
					    const struct packet *packet)
{
	enum flow_direction_index other = direction ^ 1;
	uint32_t seq = packet->tcp_seq, ack = packet->tcp_ack;
	uint32_t own = atomic_load_explicit(&account->ack[direction], memory_order_relaxed);
	uint32_t sent = atomic_load_explicit(&account->end[other], memory_order_relaxed);
	uint32_t edge = atomic_load_explicit(&account->ack[other], memory_order_relaxed) +
			flow_window_size(account, other);

	if (seq != atomic_load_explicit(&account->end[direction], memory_order_relaxed) ||
	    (int32_t)((ack - own) | (sent - ack) | (edge - seq)) < 0)
		return false;
	atomic_store_explicit(&account->end[direction], packet->tcp_end, memory_order_relaxed);
	atomic_store_explicit(&account->ack[direction], ack, memory_order_relaxed);
	if (packet->tcp_window >
	    atomic_load_explicit(&account->window[direction], memory_order_relaxed))
		atomic_store_explicit(&account->window[direction], packet->tcp_window,
				      memory_order_relaxed);
	return true;
}

// Where the direction is a constant, so are addresses and shifts.
static inline bool flow_window_pass_next(struct flow_account *account,
					 enum flow_direction_index direction,
					 const struct packet *packet)
{
	return direction == FLOW_ORIGINAL ? flow_window_pass_next_of(account, FLOW_ORIGINAL, packet)
					  : flow_window_pass_next_of(account, FLOW_REPLY, packet);
}

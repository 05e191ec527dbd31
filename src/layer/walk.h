// The walk: the first packet of a connection goes through the layers, in the order of layers.c.
// Each one drops it under a reason or adds its part to the action. The same walk, with a listener,
// is `sluice trace`.
//
// Judging runs on workers: it reads the packet's key and the tables, and neither allocates, logs
// nor blocks.

#pragma once

#include "flow/flow.h"
#include "layer/tables.h"

struct object_set;
struct compile;
struct differences;

enum verdict {
	VERDICT_NEXT,	// as far as this layer goes
	VERDICT_DROP,	// walk->reason says why
	VERDICT_ANSWER, // Sluice itself is the destination: the gateway
};

#define WALK_VERDICTS 3

// What a worker's layers have decided, by index in `layers`. Written by that worker only.
struct walk_counts {
	uint64_t verdicts[LAYER_MAX][WALK_VERDICTS];
	uint64_t recalled; // walks that let a packet pass and were not made again
};

// With those that were recalled.
uint64_t walk_counts_get(const struct walk_counts *counts, unsigned int layer,
			 enum verdict verdict);

// Where a packet came from.
struct ingress {
	uint16_t port; // number
	// The node behind the uplink, 0 with what comes from an external network, else 0. With a
	// workload's port: the packet is the copy that is for this node, of one with several
	// receivers.
	uint16_t peer;
};

struct walk {
	const struct tables *tables;
	const struct packet *packet;
	struct ingress ingress;
	// The packet goes against the direction in which its live connection was opened.
	bool reply;
	// Of a live connection, or of one that is being opened: the key of the other direction's
	// packets, as they are received. NULL: not known, or there are none. By it all packets are
	// translated as the first one was.
	const struct flow_key *other;
	uint16_t before; // FLOW_ACTION_… that a live connection's direction had
	// Of a reply: the node that its connection was brought by, if that may have been from
	// outside (external_brought_by); or 0.
	uint16_t brought_by;

	uint32_t generation; // of the tables when the walk began
	// The packet's key as it leaves: the layers after the one that translates go by this one.
	struct flow_key leaving;
	// Number of the external address on which the connection that is opened has a mapping
	// (layer/nat), if it has one: it is taken when the connection is entered.
	uint32_t mapping;
	uint16_t mapping_network; // that of the address
	bool mapping_shared;
	// What comes from outside was announced by a message (layer/nat/announce.h): no rule needs
	// to allow it.
	bool expected;
	const struct network *network; // in which it was received
	// Routing domain in which the destination is looked for. Who translates a destination into
	// another domain sets this one. 0: none that is known.
	uint16_t domain;
	const struct endpoint *source; // NULL where no Port is known to be the sender
	const struct endpoint *destination;
	bool to_gateway; // the destination is the gateway itself
	bool unique;	 // a layer has looked at all of the packet's key: see recall.h
	// An address without an owner, that several Ports may use and that stood in the way. NULL:
	// none.
	const struct shared_address *asked;
	struct flow_action action;
	struct flow_rule rules[2]; // that allowed it: the opener's egress, the other side's ingress

	enum drop_reason reason;
	uint16_t dropped_at; // port number to whose account the drop goes

	// For trace: called with what a layer has to say. NULL for packets.
	void (*say)(void *context, const char *layer, const char *text);
	void *say_context;
	const char *layer_name;

	struct walk_counts *counts; // NULL: nothing is counted
};

enum layer_kind {
	LAYER_OPENING,	 // may the connection be opened? Replies need no leave of their own
	LAYER_DIRECTION, // holds for each direction: also judged for the reply that is to come
};

struct layer {
	const char *name;
	enum layer_kind kind;

	enum verdict (*judge)(struct walk *walk, const void *tables);

	// For a packet with several receivers: about its sender, without a destination, and then
	// about each receiver, walk->destination. NULL: nothing is to be said.
	enum verdict (*judge_sender)(struct walk *walk, const void *tables);
	enum verdict (*judge_receiver)(struct walk *walk, const void *tables);

	// Control thread. From the objects and the common tables to the layer's own; NULL where it
	// needs none.
	int (*compile)(const struct compile *compile, void **tables, struct error *err);
	void (*free)(void *tables);

	// Control thread. Says what of its tables is not as in others that were compiled from the
	// same objects (layer/compare.h); NULL where it has none.
	void (*compare)(const void *have, const void *want, const struct tables *common,
			struct differences *differences);
};

// All layers in the order of the walk, ended by NULL.
extern const struct layer *const layers[];

// Fills the walk's start from the packet: network, source, and how it leaves where that is known.
// Returns VERDICT_DROP where there is no such network or port.
enum verdict walk_begin(struct walk *walk);

// The connection's first packet, whichever direction the walk's packet has: as it was sent, and as
// it arrives.
void walk_opening(const struct walk *walk, struct flow_key *sent, struct flow_key *arrives);

// The walk's packet is to leave with other addresses or ports, which the caller sets in
// walk->leaving.
static inline void walk_translate(struct walk *walk)
{
	walk->action.flags |= FLOW_ACTION_TRANSLATE;
	if (ip_is_v4(&walk->leaving.destination) != ip_is_v4(&walk->packet->key.destination))
		walk->action.flags |= FLOW_ACTION_FAMILY;
}

static inline bool walk_translates(const struct walk *walk)
{
	return walk->action.flags & FLOW_ACTION_TRANSLATE;
}

// Runs the layers of walk_begin's walk. VERDICT_NEXT: allowed, walk->action is complete.
enum verdict walk_run(struct walk *walk);

// The same for a packet with several receivers: first the sender's side, then each receiver
// (an endpoint's index), after which walk->action is complete for that one.
enum verdict walk_run_sender(struct walk *walk);
enum verdict walk_run_receiver(struct walk *walk, uint32_t receiver);

// The number of the network in which replies to a finished walk's packet are received.
uint16_t walk_reply_network(const struct walk *walk);
// And their key.
struct flow_key walk_reply_key(const struct walk *walk);

// From a finished walk that was allowed: the direction of replies as it is to be expected. Its
// generation is 0 where the layers would not forward such a reply.
void walk_predict_reply(const struct walk *walk, struct flow_direction *reply);

static inline enum verdict walk_drop(struct walk *walk, enum drop_reason reason)
{
	walk->reason = reason;
	return VERDICT_DROP;
}

// What a layer says in a trace. Costs a comparison otherwise.
#define walk_say(walk, ...)                               \
	do {                                              \
		if ((walk)->say)                          \
			walk_say_text(walk, __VA_ARGS__); \
	} while (0)

void walk_say_text(struct walk *walk, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

// MAC addresses as a hash: not a secret one, because what it lets through is rewritten to the right
// addresses or goes to the port where the sender is known.
static inline flow_ingress flow_ingress_make(struct ingress ingress,
					     const struct mac_address *destination,
					     const struct mac_address *source)
{
	uint64_t a = mac_number(destination) * 0x9e3779b97f4a7c15 ^
		     mac_number(source) * 0xc2b2ae3d27d4eb4f;

	a ^= a >> 32;
	// By which of its routers a packet comes from an external network is all the same.
	if (ingress.port == PORT_UPLINK && !ingress.peer)
		a = 0;
	return (uint64_t)ingress.port << 48 | (uint64_t)ingress.peer << 32 | (uint32_t)a;
}

// What it was made from, but for the MAC addresses.
static inline struct ingress flow_ingress_get(flow_ingress ingress)
{
	return (struct ingress){.port = (uint16_t)(ingress >> 48),
				.peer = (uint16_t)(ingress >> 32)};
}

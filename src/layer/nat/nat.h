// Addresses and ports that are others outside: NAT, port forwarding, floating addresses. Nothing is
// kept of a connection but the keys of its directions (worker/translation.c), and that it uses a
// mapping.

#pragma once

#include "layer/walk.h"

// In front of l3: what comes from outside to an address of ours.
extern const struct layer nat_destination_layer;
// Behind it: what goes outside, with an address of ours; and what was on its way to such a one
// turns back (hairpinning).
extern const struct layer nat_source_layer;

// Of a packet that was received, or will be, before its key is hashed: where this node has
// FloatingIps (tables->floating).
void nat_key_shift(const struct tables *tables, struct flow_key *key);

// Instead of the mapping that a finished walk has chosen: one whose external end differs from the
// inside end's share in the shard by `shift`, because the other end is translated, too. False:
// there is no port.
bool nat_choose_again(struct walk *walk, uint8_t shift);
// The connection that a finished walk has allowed uses a mapping, which it takes. False: it is gone
// meanwhile.
bool nat_connection_begins(const struct walk *walk, uint32_t now);
// It was not entered after all.
void nat_connection_fails(const struct walk *walk);
// An earlier process had one that is FLOW_MAPPED. False: it can't have its mapping any more.
struct nat_mappings;
bool nat_connection_adopted(struct nat_mappings *mappings, const struct flow *flow, uint32_t now);
// It was not taken over after all, or had ended there already: nothing is held for it.
void nat_connection_forgotten(struct nat_mappings *mappings, const struct flow *flow);
// Of a FLOW_MAPPED one. `context`: the mappings.
void nat_connection_ended(void *context, const struct flow *flow);

// Ends mappings that were held for long enough, some in a turn of each worker's loop when there is
// nothing else to do, and once a second. Returns how many.
uint32_t nat_turn(const struct tables *tables, uint32_t worker, uint32_t now);

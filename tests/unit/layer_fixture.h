// Tables compiled from YAML, as the control thread does it, and frames judged as a worker does it.

#pragma once

#include <rte_mbuf.h>

#include "frame.h"
#include "layer/compile.h"
#include "layer/recall.h"

struct layer_fixture {
	const char *node;
	struct compile_numbers numbers;
	struct neighbours neighbours;
	uint32_t generation;
	bool uplink_closed; // its device, and so its MAC address, is not there yet
	struct tables *tables;
	struct recall *recall;
};

void fixture_open(struct layer_fixture *fixture, const char *node);
void fixture_close(struct layer_fixture *fixture);

// Puts other objects in force; they must be valid.
void fixture_apply(struct layer_fixture *fixture, const char *yaml);

// The Port's endpoint, or NULL.
const struct endpoint *fixture_endpoint(const struct tables *tables, const char *port);
uint16_t fixture_network(const struct tables *tables, const char *name);
uint16_t fixture_peer(const struct tables *tables, const char *name);

// A finished walk of a packet once more by what is recalled, made and then found, is the same.
void fixture_check_recall(const struct layer_fixture *fixture, const struct walk *walk,
			  enum verdict verdict);

// Walks the frame's packet, and checks that: from a Port of this node, or from the node `peer` in
// `network`. `packet` has to live as long as the walk.
enum verdict fixture_judge(const struct layer_fixture *fixture, const struct frame *frame,
			   struct ingress ingress, uint16_t network, struct packet *packet,
			   struct walk *walk);

// A packet buffer around memory of its own, not of a pool.
struct buffer {
	struct rte_mbuf mbuf;
	uint8_t data[2048];
};

void buffer_put(struct buffer *buffer, const void *data, uint32_t size);

// Two nodes, three tenants' networks, groups; used by several tests. This node is a.
extern const char fixture_yaml[];

#define GATEWAY_BLUE "02:53:4c:00:13:89"
#define GATEWAY_RED  "02:53:4c:00:13:8a"
#define GATEWAY_LONE "02:53:4c:00:13:8b"

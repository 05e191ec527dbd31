// Health checks of LoadBalancers' members.

#pragma once

#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"
#include "packet/packet.h"

struct rte_mbuf;
struct worker;

// UDP, between nodes.
#define HEALTH_PORT 17525
// How often a change is said.
#define HEALTH_TOLD 2

// By this node?
static inline bool member_is_asked(const struct tables *tables, const struct member_probe *probe)
{
	static const struct ip_address none;

	return probe->endpoint && !tables->endpoints[probe->endpoint].peer &&
	       !ip_equal(&probe->from, &none);
}

void health_turn(struct worker *worker, bool new_second);

// health_await.c: which other nodes are silent? Each second, by one worker.
void health_await(struct worker *worker);

// health.c, health_tell.c. True: it was an answer to a question, or from another node, and the mbuf
// is taken over.
bool health_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress);
bool health_heard(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		  struct ingress ingress);
void health_tell(struct worker *worker);
// The probe's member is healthy, or not any more.
void health_changed(struct worker *worker, const struct member_probe *probe);

// Is it worth a look?
static inline bool health_concerns(const struct tables *tables, const struct packet *packet,
				   struct ingress ingress)
{
	if (__builtin_expect(!tables->load_balancers->probe_count, 1) || packet->kind != PACKET_IP)
		return false;
	return ingress.port != PORT_UPLINK || (packet->key.protocol == IPPROTO_UDP &&
					       packet->key.destination_port == htons(HEALTH_PORT));
}

// Drops a packet and tells its sender, where a router would. What security groups drop, what was
// not addressed to a router, and what a workload may not send at all is dropped silently.
//
// Only a workload of this node and who is outside are told: this node routes for them, and so finds
// out all that there is to tell. What came through a tunnel was routed already, and is dropped
// silently.

#include "base/pages.h"
#include "layer/external/external.h"
#include "layer/gateway/error.h"
#include "layer/port_security/port_security.h"
#include "worker/worker.h"

// A second, and at once; for each port, and for all ports of a worker together.
#define PORT_ERRORS   100
#define PORT_BURST_OF 100
#define ALL_ERRORS    1000
#define ALL_BURST_OF  500

#define LIMITS_SIZE (65536 * sizeof(struct rate_limit))

bool reject_open(struct worker *worker)
{
	worker->reject_limits = pages_get(LIMITS_SIZE);
	return worker->reject_limits != NULL;
}

void reject_close(struct worker *worker)
{
	pages_free(worker->reject_limits, LIMITS_SIZE);
}

// Port number 0 is nobody's: its limit is the one of all together.
static bool within_limits(struct worker *worker, uint16_t port)
{
	uint64_t now = rte_rdtsc(), second = worker->engine->cycles_per_second;

	if (worker->trace)
		return true;
	return rate_limit_take(&worker->reject_limits[port], now, second / PORT_ERRORS,
			       PORT_BURST_OF) &&
	       rate_limit_take(&worker->reject_limits[0], now, second / ALL_ERRORS, ALL_BURST_OF);
}

// Is the sender who it says?
static bool is_genuine(struct walk *walk)
{
	if (walk->ingress.port == PORT_UPLINK)
		return external_source_layer.judge(walk, NULL) == VERDICT_NEXT;
	return walk->source && port_security_layer.judge(walk, NULL) == VERDICT_NEXT;
}

// NULL where the sender is not told.
static struct rte_mbuf *make_answer(struct worker *worker, const struct rte_mbuf *mbuf,
				    const struct packet *packet, struct ingress ingress,
				    enum drop_reason reason, uint32_t mtu)
{
	struct walk walk = {.tables = worker->tables, .packet = packet, .ingress = ingress};
	bool reset = gateway_reset_due(packet, reason);
	struct gateway_error error;
	struct ip_address from;
	struct rte_mbuf *answer;

	// Most reasons are silent, which costs nothing. Whoever drops it may not have come as far
	// as to look at the sender.
	if ((!reset && !gateway_error_choose(mbuf, packet, reason, mtu, &error)) ||
	    walk_begin(&walk) != VERDICT_NEXT || !is_genuine(&walk) ||
	    !gateway_error_due(worker->tables, walk.network, mbuf, packet) ||
	    !within_limits(worker, ingress.port))
		return NULL;
	answer = rte_pktmbuf_alloc(worker->engine->pool);
	if (!answer)
		return NULL;
	from = gateway_address(walk.network, packet, reason);
	if (reset)
		worker_say(worker, "gateway", "answers with a reset");
	else
		worker_say(worker, "gateway", "answers with ICMP type %u, code %u", error.type,
			   error.code);
	if (reset ? gateway_reset_write(answer, mbuf, packet, walk.network, &from)
		  : gateway_error_write(answer, mbuf, packet, walk.network, &from, error))
		return answer;
	rte_pktmbuf_free(answer);
	return NULL;
}

static void reject(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, enum drop_reason reason, uint32_t mtu)
{
	struct rte_mbuf *answer = NULL;
	struct packet first;

	// Told is what was sent: the first fragment.
	if (mbuf->ol_flags & MBUF_DATAGRAM) {
		packet_parse(rte_pktmbuf_mtod(mbuf, const uint8_t *), rte_pktmbuf_data_len(mbuf),
			     mbuf->pkt_len, &first);
		first.key.network = packet->key.network;
		packet = &first;
	}
	if (ingress.port != PORT_UPLINK || !ingress.peer)
		answer = make_answer(worker, mbuf, packet, ingress, reason, mtu);
	worker_drop(worker, mbuf, ingress.port, reason);
	if (answer)
		worker_answer(worker, answer, packet->key.network, ingress.port);
}

void worker_reject(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, enum drop_reason reason)
{
	reject(worker, mbuf, packet, ingress, reason, 0);
}

void worker_reject_size(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress, uint32_t mtu)
{
	reject(worker, mbuf, packet, ingress, DROP_TOO_BIG, mtu);
}

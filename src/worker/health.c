// Health checks: asks the members of LoadBalancers whose Ports are on this node, from their
// gateway's address, and takes what they answer. A question has nothing but its number, which is a
// random one: what answers it rightly has seen it. So each step follows from the segment that has
// come, whichever worker has it; what is counted is the worker's that has the port.

#include <arpa/inet.h>
#include <stdio.h>

#include <rte_random.h>

#include "layer/load_balancer/load_balancer.h"
#include "packet/datagram.h"
#include "packet/header.h"
#include "worker/health.h"
#include "worker/worker.h"

// The request, and headers before it.
#define REQUEST_MAX 512
#define FRAME_MAX   (14 + 40 + 20 + REQUEST_MAX)

// "HTTP/1.1 200"
#define STATUS_SIZE 12

static void put32(uint8_t *at, uint32_t value)
{
	value = htonl(value);
	memcpy(at, &value, sizeof(value));
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void send_message(struct worker *worker, const struct member_probe *probe, uint8_t protocol,
			 const uint8_t *message, uint32_t size)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[probe->endpoint];
	struct datagram datagram = {
		.destination_mac = endpoint->mac,
		.source_mac = endpoint->gateway_mac,
		.destination = probe->address,
		.source = probe->from,
		.hop_limit = DATAGRAM_HOP_LIMIT,
		.dont_fragment = true,
	};
	uint32_t offset = datagram_offset(&datagram);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	uint8_t *frame =
		mbuf ? (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(offset + size)) : NULL;

	if (!frame) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	memcpy(frame + offset, message, size);
	datagram_write(&datagram, frame, protocol,
		       protocol == IPPROTO_TCP ? TCP_CHECKSUM_OFFSET : ICMP_CHECKSUM_OFFSET, size);
	transmit_add(worker, mbuf, endpoint->port);
}

static void send_tcp(struct worker *worker, const struct member_probe *probe, uint32_t sequence,
		     uint32_t acknowledgement, uint8_t flags, const char *text)
{
	uint8_t segment[TCP_HEADER_SIZE + REQUEST_MAX] = {0};
	uint32_t size = (uint32_t)strlen(text);

	put16(segment, probe->number);
	put16(segment + 2, probe->port);
	put32(segment + 4, sequence);
	put32(segment + 8, acknowledgement);
	segment[12] = TCP_HEADER_SIZE / 4 << 4;
	segment[13] = flags;
	put16(segment + 14, 0xffff);
	memcpy(segment + TCP_HEADER_SIZE, text, size);
	send_message(worker, probe, IPPROTO_TCP, segment, TCP_HEADER_SIZE + size);
}

static void send_echo(struct worker *worker, const struct member_probe *probe, uint32_t question)
{
	bool v4 = ip_is_v4(&probe->address);
	uint8_t echo[ICMP_HEADER_SIZE + 4] = {v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST};

	put16(echo + 4, probe->number);
	put32(echo + ICMP_HEADER_SIZE, question);
	send_message(worker, probe, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, echo, sizeof(echo));
}

static void request_write(const struct worker *worker, const struct member_probe *probe,
			  char request[REQUEST_MAX])
{
	const struct load_balancer *balancer =
		&worker->tables->load_balancers->balancer[probe->balancer];
	bool v4 = ip_is_v4(&probe->address);
	char address[IP_TEXT_SIZE];

	snprintf(request, REQUEST_MAX,
		 "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: sluice\r\n"
		 "Connection: close\r\n\r\n",
		 balancer->health_path, v4 ? "" : "[", ip_format(&probe->address, address),
		 v4 ? "" : "]", probe->port);
}

// ---- asking, each second

static void ask(struct worker *worker, const struct member_probe *probe)
{
	struct member_health *health = probe->health;
	uint32_t question = (uint32_t)rte_rand() & ~MEMBER_GOOD;

	atomic_store_explicit(&health->question, question, memory_order_relaxed);
	health->asked_at = worker->now;
	health->waiting = true;
	if (probe->protocol == HEALTH_ICMP)
		send_echo(worker, probe, question);
	else
		send_tcp(worker, probe, question, 0, TCP_SYN, "");
}

// Live connections stay where they are, but UDP's (layer/load_balancer/judge.c); new ones look by
// themselves. So a member that comes and goes is no matter of all others' connections.
void health_changed(struct worker *worker, const struct member_probe *probe)
{
	const struct load_balancers *balancers = worker->tables->load_balancers;

	if (balancers->balancer[probe->balancer].has_datagrams)
		engine_judge_anew(worker->engine, worker->now);
}

static void count(struct worker *worker, const struct member_probe *probe, bool good)
{
	struct member_health *health = probe->health;
	bool down = member_found_down(health);

	health->waiting = false;
	health->good = good ? (uint8_t)RTE_MIN(health->good + 1, UINT8_MAX) : 0;
	health->bad = good ? 0 : (uint8_t)RTE_MIN(health->bad + 1, UINT8_MAX);
	if (down ? health->good < probe->rise : health->bad < probe->fall)
		return;
	atomic_store(&health->down, !down);
	health->tell = HEALTH_TOLD;
	health_changed(worker, probe);
}

static void look_after(struct worker *worker, const struct member_probe *probe)
{
	struct member_health *health = probe->health;
	uint32_t question = atomic_load_explicit(&health->question, memory_order_relaxed);
	uint32_t answered = atomic_load_explicit(&health->answered, memory_order_relaxed);

	if (health->waiting && (answered & ~MEMBER_GOOD) == question)
		count(worker, probe, answered & MEMBER_GOOD);
	else if (health->waiting && worker->now - health->asked_at >= probe->timeout)
		count(worker, probe, false);
	if (!health->waiting &&
	    (!health->asked_at || worker->now - health->asked_at >= probe->interval))
		ask(worker, probe);
}

void health_turn(struct worker *worker, bool new_second)
{
	const struct tables *tables = worker->tables;
	const struct load_balancers *balancers = tables->load_balancers;

	if (likely(!new_second) || !balancers)
		return;
	if (worker->index == 0)
		health_await(worker);
	for (uint32_t i = 0; i < balancers->probe_count; i++) {
		const struct member_probe *probe = &balancers->probes[i];
		const struct endpoint *endpoint = tables_endpoint(tables, probe->endpoint);

		if (member_is_asked(tables, probe) &&
		    tables->ports[endpoint->port].first_worker == worker->index)
			look_after(worker, probe);
	}
	if (worker->index == 0 && balancers->probe_count)
		health_tell(worker);
}

// ---- answers

static void answer(const struct member_probe *probe, uint32_t question, bool good)
{
	atomic_store_explicit(&probe->health->answered, question | (good ? MEMBER_GOOD : 0),
			      memory_order_relaxed);
}

// What has come of an HTTP answer is its beginning: 200 to 399?
static bool status_is_good(const struct rte_mbuf *mbuf, uint32_t offset)
{
	char copy[STATUS_SIZE];
	const char *status = rte_pktmbuf_read(mbuf, offset, STATUS_SIZE, copy);

	return status && memcmp(status, "HTTP/1.", 7) == 0 && status[8] == ' ' &&
	       (status[9] == '2' || status[9] == '3');
}

static void tcp_answer(struct worker *worker, const struct rte_mbuf *mbuf,
		       const struct packet *packet, const struct member_probe *probe)
{
	uint32_t question = atomic_load_explicit(&probe->health->question, memory_order_relaxed);
	uint32_t header =
		packet->l4_offset +
		(rte_pktmbuf_mtod(mbuf, const uint8_t *)[packet->l4_offset + 12] >> 4) * 4u;
	uint32_t end = packet->l3_offset + packet->ip_length;
	char request[REQUEST_MAX] = "";
	bool http = probe->protocol == HEALTH_HTTP;

	if (http)
		request_write(worker, probe, request);
	if (packet->tcp_flags & TCP_RST) {
		if (packet->tcp_ack == question + 1)
			answer(probe, question, false);
		return;
	}
	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) &&
	    packet->tcp_ack == question + 1) {
		if (http) {
			send_tcp(worker, probe, packet->tcp_ack, packet->tcp_seq + 1,
				 TCP_ACK | TCP_PSH, request);
			return;
		}
		answer(probe, question, true);
	} else if (http && packet->tcp_ack == question + 1 + (uint32_t)strlen(request)) {
		// Only that the request has come.
		if (end <= header && !(packet->tcp_flags & TCP_FIN))
			return;
		answer(probe, question,
		       end >= header + STATUS_SIZE && status_is_good(mbuf, header));
	}
	send_tcp(worker, probe, packet->tcp_ack, 0, TCP_RST, "");
}

static void echo_answer(const struct rte_mbuf *mbuf, const struct packet *packet,
			const struct member_probe *probe)
{
	uint32_t question = atomic_load_explicit(&probe->health->question, memory_order_relaxed);
	uint32_t copy;
	const void *data =
		rte_pktmbuf_read(mbuf, packet->l4_offset + ICMP_HEADER_SIZE, sizeof(copy), &copy);

	if (!data)
		return;
	memcpy(&copy, data, sizeof(copy));
	if (ntohl(copy) == question)
		answer(probe, question, true);
}

bool health_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		    struct ingress ingress)
{
	const struct load_balancers *balancers = worker->tables->load_balancers;
	bool tcp = packet->key.protocol == IPPROTO_TCP;
	const struct member_probe *probe;
	uint32_t found;

	if (worker->trace || (!tcp && !packet->icmp_reply))
		return false;
	found = lookup_find(&balancers->probes_by_number,
			    (struct lookup_key){{ntohs(packet->key.destination_port), 0, 0}});
	if (!found)
		return false;
	probe = &balancers->probes[found - 1];
	if (worker->tables->endpoints[probe->endpoint].port != ingress.port ||
	    !ip_equal(&probe->address, &packet->source) ||
	    !ip_equal(&probe->from, &packet->destination) ||
	    tcp == (probe->protocol == HEALTH_ICMP) ||
	    (tcp && ntohs(packet->key.source_port) != probe->port))
		return false;
	if (tcp)
		tcp_answer(worker, mbuf, packet, probe);
	else
		echo_answer(mbuf, packet, probe);
	rte_pktmbuf_free(mbuf);
	return true;
}

#include "worker/multicast.h"

#include "base/pages.h"
#include "layer/multicast/membership.h"
#include "layer/multicast/receivers.h"
#include "layer/port_security/port_security.h"
#include "worker/worker.h"

// In one turn of the loop.
#define NETWORKS_A_TURN 16
#define GROUPS_A_TURN	64

#define NETWORKS_MAX 65536

bool multicast_open(struct multicast *multicast)
{
	multicast->groups = groups_open();
	multicast->queriers = pages_get(NETWORKS_MAX * sizeof(*multicast->queriers));
	multicast->network_position = NETWORKS_MAX;
	multicast->group_position = GROUPS_MAX;
	return multicast->groups && multicast->queriers;
}

void multicast_close(struct multicast *multicast)
{
	groups_close(multicast->groups);
	pages_free(multicast->queriers, NETWORKS_MAX * sizeof(*multicast->queriers));
}

// ---- what Sluice says

static struct rte_mbuf *make_frame(struct worker *worker, const uint8_t *frame, uint32_t length)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	void *data = mbuf ? rte_pktmbuf_append(mbuf, (uint16_t)length) : NULL;

	if (data)
		memcpy(data, frame, length);
	return mbuf;
}

static struct rte_mbuf *make_query(struct worker *worker, const struct network *network, bool v4,
				   const struct ip_address *group, uint32_t seconds)
{
	struct ip_address source = network_own_address(network, v4);
	uint8_t frame[MEMBERSHIP_FRAME_MAX];

	return make_frame(
		worker, frame,
		membership_query_write(frame, &network->gateway_mac, &source, group, seconds));
}

static void query_port(struct worker *worker, const struct group *group, uint16_t port)
{
	struct rte_mbuf *mbuf = make_query(worker, &worker->tables->networks[group->network],
					   ip_is_v4(&group->address), &group->address, 1);

	if (mbuf)
		transmit_add(worker, mbuf, port);
}

static void query_all(struct worker *worker, const struct network *network, bool v4,
		      uint32_t seconds, uint32_t receivers)
{
	static const struct ip_address general;
	struct rte_mbuf *mbuf = make_query(worker, network, v4, &general, seconds);

	if (mbuf)
		replicate_own(worker, mbuf, network->number, receivers, 0);
}

// The other nodes hear whether somebody of this one is in the group.
static void tell(struct worker *worker, const struct network *network, const struct group *group)
{
	struct ip_address source = network_own_address(network, ip_is_v4(&group->address));
	uint8_t frame[MEMBERSHIP_FRAME_MAX];
	struct rte_mbuf *mbuf;

	if (!network->remote_count)
		return;
	mbuf = make_frame(worker, frame,
			  membership_report_write(frame, &network->gateway_mac, &source,
						  &group->address, group->local > 0));
	if (mbuf)
		replicate_own(worker, mbuf, network->number, REPLICATE_REMOTE, 0);
}

// ---- time

struct filter_context {
	struct worker *worker;
	struct group *group;
	const struct network *network; // NULL: it is gone
};

static bool keep_member(struct group_member *member, void *argument)
{
	const struct filter_context *context = argument;
	const struct tables *tables = context->worker->tables;
	const struct port_binding *binding;

	if (!context->network || (int32_t)(context->worker->now - member->expires) >= 0)
		return false;
	if (member->key >= GROUPS_NODE)
		return receivers_remote(tables, context->network,
					(uint16_t)(member->key - GROUPS_NODE)) != 0;
	binding = tables_port(tables, member->key);
	if (!binding || !binding->endpoint ||
	    tables->endpoints[binding->endpoint].network != context->group->network)
		return false;
	if (member->queries) {
		member->queries--;
		query_port(context->worker, context->group, (uint16_t)member->key);
	}
	return true;
}

static void look_after(struct worker *worker, struct group *group)
{
	struct filter_context context = {
		.worker = worker,
		.group = group,
		.network = tables_network(worker->tables, group->network),
	};
	uint32_t round = worker->multicast.queriers[group->network].tell;
	bool had_local = group->local > 0;

	groups_filter(worker->multicast.groups, group, keep_member, &context);
	if (had_local && !group->local)
		group->announce = MEMBERSHIP_ROBUSTNESS;
	else if (group->told != round && group->local && !group->announce)
		group->announce = 1;
	group->told = round;
	if (!context.network)
		group->announce = 0;
	if (group->announce) {
		group->announce--;
		tell(worker, context.network, group);
	}
	if (!group->members && !group->announce)
		groups_drop(worker->multicast.groups, group);
}

static void mark_urgent(struct worker *worker, const struct group *group)
{
	struct multicast *multicast = &worker->multicast;

	// The others wait for the next second.
	if (multicast->urgent_count < MULTICAST_URGENT_MAX)
		multicast->urgent[multicast->urgent_count++] =
			(uint32_t)(group - multicast->groups->groups);
}

// Soon after a start or a change of who is there, then more and more seldom: a port may come to
// life after the first query, and a node may hear of another later.
static void ask(struct worker *worker, const struct network *network)
{
	struct querier *querier = &worker->multicast.queriers[network->number];
	uint32_t seconds;
	bool v4 = !network->subnet_count, v6 = v4;

	if (querier->stamp != network->receivers_stamp || !querier->interval) {
		querier->stamp = network->receivers_stamp;
		querier->interval = 1;
		querier->next = worker->now;
	}
	if ((int32_t)(worker->now - querier->next) < 0)
		return;
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		v4 |= ip_is_v4(&network->subnets[i].prefix.address);
		v6 |= !ip_is_v4(&network->subnets[i].prefix.address);
	}
	seconds = RTE_MIN(querier->interval, (uint32_t)MEMBERSHIP_RESPONSE_INTERVAL);
	for (unsigned int family = 0; family < 2; family++) {
		if (!(family ? v6 : v4))
			continue;
		query_all(worker, network, !family, seconds, REPLICATE_LOCAL);
		// Between nodes all is told by those that know; asking is for who has started.
		if (querier->interval < MEMBERSHIP_QUERY_INTERVAL && network->remote_count)
			query_all(worker, network, !family, seconds, REPLICATE_REMOTE);
	}
	querier->tell++;
	querier->next = worker->now + querier->interval;
	querier->interval = RTE_MIN(querier->interval * 2, (uint32_t)MEMBERSHIP_QUERY_INTERVAL);
}

uint32_t multicast_turn(struct worker *worker, bool new_second)
{
	struct multicast *multicast = &worker->multicast;
	const struct tables *tables = worker->tables;
	struct groups *groups = multicast->groups;
	uint32_t workers = worker->engine->options.worker_count, done = 0;

	if (new_second) {
		multicast->network_position = worker->index;
		multicast->group_position = 0;
	}
	for (uint32_t i = 0; i < multicast->urgent_count; i++, done++)
		if (groups->groups[multicast->urgent[i]].network)
			look_after(worker, &groups->groups[multicast->urgent[i]]);
	multicast->urgent_count = 0;
	for (uint32_t i = 0;
	     i < NETWORKS_A_TURN && multicast->network_position < tables->network_count; i++) {
		const struct network *network = tables_network(tables, multicast->network_position);

		multicast->network_position += workers;
		done++;
		if (network && network->local_count && network->multicast_rate)
			ask(worker, network);
	}
	for (uint32_t i = 0; i < GROUPS_A_TURN && multicast->group_position < groups->groups_used;
	     i++) {
		struct group *group = &groups->groups[multicast->group_position++];

		done++;
		if (group->network)
			look_after(worker, group);
	}
	return done;
}

// ---- what is heard

static enum drop_reason check_sender(struct worker *worker, const struct packet *packet,
				     struct ingress ingress)
{
	const struct tables *tables = worker->tables;
	const struct network *network = tables_network(tables, packet->key.network);
	struct walk walk = walk_make(worker, packet, ingress);
	bool v4 = ip_is_v4(&packet->source);

	if (!network || walk_begin(&walk) != VERDICT_NEXT)
		return DROP_PORT_DOWN;
	if (!network->multicast_rate)
		return DROP_MULTICAST;
	if (ingress.port == PORT_UPLINK)
		return mac_equal(&packet->source_mac, &network->gateway_mac) ? DROP_NONE
									     : DROP_TUNNEL_SOURCE;
	if (!mac_equal(&packet->source_mac, &walk.source->mac))
		return DROP_SOURCE_MAC;
	walk.layer_name = port_security_layer.name;
	// Who has no address yet may join; link-local ones are the workload's own choice (and MLD
	// takes no others).
	if (v4 && packet->source.words[3] && port_security_layer.judge(&walk, NULL) != VERDICT_NEXT)
		return walk.reason;
	return replicate_within_rate(worker, network, ingress.port, 1) ? DROP_NONE
								       : DROP_MULTICAST_RATE;
}

static bool join(struct worker *worker, uint16_t network, const struct ip_address *address,
		 uint32_t key)
{
	struct groups *groups = worker->multicast.groups;
	struct group *group;

	switch (groups_join(groups, network, address, key, worker->now + MEMBERSHIP_LIFETIME)) {
	case GROUPS_FULL:
		return false;
	case GROUPS_FIRST:
		group = groups_find(groups, network, address);
		group->announce = MEMBERSHIP_ROBUSTNESS;
		mark_urgent(worker, group);
		return true;
	default:
		return true;
	}
}

static void leave(struct worker *worker, uint16_t network, const struct ip_address *address,
		  uint32_t key)
{
	struct groups *groups = worker->multicast.groups;
	struct group *group = groups_find(groups, network, address);
	struct group_member *member = group ? groups_member(groups, group, key) : NULL;

	if (!member)
		return;
	if (key >= GROUPS_NODE) {
		// The node has asked its ports.
		groups_remove(groups, group, key);
		mark_urgent(worker, group);
	} else if (!member->queries &&
		   (int32_t)(member->expires - worker->now) > MEMBERSHIP_LAST_QUERIES) {
		member->expires = worker->now + MEMBERSHIP_LAST_QUERIES;
		member->queries = MEMBERSHIP_LAST_QUERIES;
		mark_urgent(worker, group);
	}
}

// False where a record found no place.
static bool learn(struct worker *worker, const uint8_t *data, struct membership_message *message,
		  uint16_t network, uint32_t key)
{
	struct membership_record record;
	char text[IP_TEXT_SIZE];
	bool room = true;

	while (membership_next(data, message, &record)) {
		// What goes to everybody needs no members.
		if (receivers_of(&record.group) != RECEIVERS_MEMBERS)
			continue;
		worker_say(worker, "membership", "%s: %s", ip_format(&record.group, text),
			   record.member ? "a member" : "asked whether it still is a member");
		if (worker->trace)
			continue;
		if (record.member)
			room &= join(worker, network, &record.group, key);
		else
			leave(worker, network, &record.group, key);
	}
	return room;
}

void multicast_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress)
{
	enum drop_reason reason = check_sender(worker, packet, ingress);
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint16_t network = packet->key.network;
	struct membership_message message = {.query = false};

	if (reason == DROP_NONE)
		reason = membership_read(data, rte_pktmbuf_data_len(mbuf), packet, &message);
	if (reason == DROP_NONE && message.query && ingress.port != PORT_UPLINK)
		reason = DROP_MEMBERSHIP_QUERY;
	// A node asks: it hears within a second.
	if (reason == DROP_NONE && message.query && !worker->trace) {
		worker->multicast.queriers[network].tell++;
	} else if (reason == DROP_NONE && !message.query &&
		   !learn(worker, data, &message, network,
			  ingress.port == PORT_UPLINK ? GROUPS_NODE + ingress.peer
						      : ingress.port)) {
		reason = DROP_MEMBERSHIP_FULL;
	}
	if (reason == DROP_NONE)
		rte_pktmbuf_free(mbuf);
	else
		worker_drop(worker, mbuf, ingress.port, reason);
}

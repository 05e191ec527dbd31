// Load balancing: what was sent through the gateway to a virtual address goes to a member, from
// where it came; replies are turned back with the connection.

#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"

// The member that a live connection has, if it may keep it.
static const struct balancer_member *keep(struct walk *walk, const struct load_balancer *balancer,
					  const struct balanced_service *service)
{
	const struct balancer_member *member =
		balancer_member(balancer, &walk->leaving.destination);
	bool v4 = ip_is_v4(&walk->leaving.destination);
	enum balancer_family family = v4 ? BALANCER_V4 : BALANCER_V6;

	if (!member || walk->leaving.destination_port != service->member_port)
		return NULL;
	// Nobody ends UDP's connections, so they would stay for ever where nobody serves them.
	return walk->packet->key.protocol == IPPROTO_UDP && member_is_down(member->health[family])
		       ? NULL
		       : member;
}

static enum verdict balance(struct walk *walk, const struct balanced_service *service)
{
	const struct load_balancers *balancers = walk->tables->load_balancers;
	const struct load_balancer *balancer = &balancers->balancer[service->balancer];
	const struct flow_key *key = &walk->packet->key;
	bool v4 = ip_is_v4(&key->destination);
	const struct balancer_member *member;
	char text[IP_TEXT_SIZE];

	walk->unique = true;
	if (walk->other) {
		member = keep(walk, balancer, service);
		if (!member) {
			walk_say(walk, "LoadBalancer %s: the connection's member is gone",
				 balancer->name);
			return walk_drop(walk, DROP_TRANSLATION_GONE);
		}
	} else {
		member = balancer_choose(walk->tables, balancer, key);
		if (!member) {
			walk_say(walk, "LoadBalancer %s: no member takes it", balancer->name);
			return walk_drop(walk, DROP_NO_MEMBER);
		}
	}
	walk->leaving.destination = member->addresses[v4 ? BALANCER_V4 : BALANCER_V6];
	walk->leaving.destination_port = service->member_port;
	// Its own client: so that the reply comes back here.
	if (ip_equal(&walk->leaving.destination, &key->source))
		walk->leaving.source = key->destination;
	walk->domain = balancer->domain;
	walk_translate(walk);
	walk->action.flags |= FLOW_ACTION_BALANCED;
	walk_say(walk, "LoadBalancer %s: to member %s, %s port %u", balancer->name, member->name,
		 ip_format(&walk->leaving.destination, text), ntohs(service->member_port));
	return VERDICT_NEXT;
}

static enum verdict judge(struct walk *walk, const void *tables)
{
	const struct load_balancers *balancers = walk->tables->load_balancers;
	const struct packet *packet = walk->packet;
	const struct balanced_service *service;
	uint16_t domain;
	char text[IP_TEXT_SIZE];

	// Inside the network, or a reply: not for a virtual address.
	if (walk->destination || walk->reply)
		return VERDICT_NEXT;
	domain = balancers->count ? balancer_domain(walk->tables, walk->network->domain,
						    &packet->destination)
				  : 0;
	if (!domain) {
		if (!(walk->before & FLOW_ACTION_BALANCED))
			return VERDICT_NEXT;
		walk_say(walk, "%s is no virtual address any more",
			 ip_format(&packet->destination, text));
		return walk_drop(walk, DROP_TRANSLATION_GONE);
	}
	service = balancer_find(balancers, domain, &packet->key);
	if (service)
		return balance(walk, service);
	if (walk->before & FLOW_ACTION_BALANCED)
		return walk_drop(walk, DROP_TRANSLATION_GONE);
	walk->to_gateway = true;
	walk_say(walk, "%s is a virtual address, and nothing is balanced there",
		 ip_format(&packet->destination, text));
	return VERDICT_NEXT;
}

const struct layer load_balancer_layer = {
	.name = "load-balancer",
	.kind = LAYER_DIRECTION,
	.judge = judge,
};

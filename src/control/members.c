// Members of LoadBalancers: how many connections each has, which is counted in the connection table
// a piece at a time, so that packets pay nothing for it; and what becomes of their health.

#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>

#include "base/log.h"
#include "base/rate_limit.h"
#include "control/control.h"
#include "layer/load_balancer/health.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/tunnel/neighbour.h"

// Connections at a time; then others have their turn. Between two rounds is a second.
#define STEP	      8192
#define STEP_PAUSE_US 5000

// Lines of the log: a second, and at once.
#define LINES	    1
#define LINES_BURST 20

struct members {
	struct control *control;
	struct event *turn;
	uint32_t position; // of the round; 0: between two
	const struct tables *tables;
	uint64_t revision;     // of the objects with which the round began
	struct lookup counts;  // that it has so far: (balancer, member, family) to connections
	struct lookup counted; // of the last round, by who it is: see key_of
	struct rate_limit lines;
	uint32_t untold;
};

static uint64_t hash_name(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325; // FNV-1a

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
	return hash;
}

// The same in all tables.
static struct lookup_key key_of(const struct load_balancer *balancer,
				const struct balancer_member *member, uint32_t family)
{
	return (struct lookup_key){{hash_name(balancer->name), hash_name(member->name), family}};
}

// ---- counting

static bool is_over(const struct flow *flow)
{
	enum flow_state state = flow_state_get(&flow->account);

	return state == FLOW_STATE_TIME_WAIT || state == FLOW_STATE_CLOSED;
}

static bool add(const struct flow *flow, void *context)
{
	struct members *members = context;
	const struct flow_direction *original = &flow->direction[FLOW_ORIGINAL];
	uint32_t balancer, member;
	struct lookup_key key;

	if (!(flow_action_get(original).flags & FLOW_ACTION_BALANCED) || is_over(flow) ||
	    !balancer_find_member(members->tables, &original->key, &flow->direction[FLOW_REPLY].key,
				  &balancer, &member))
		return true;
	key = (struct lookup_key){{balancer, member, !ip_is_v4(&original->key.destination)}};
	// Without memory it stays as it is.
	lookup_add(&members->counts, key, lookup_find(&members->counts, key) + 1);
	return true;
}

static void publish(struct members *members)
{
	const struct load_balancers *balancers = members->tables->load_balancers;

	lookup_free(&members->counted);
	for (uint32_t i = 0; i < balancers->count; i++)
		for (uint32_t m = 0; m < balancers->balancer[i].member_count; m++)
			for (uint32_t family = 0; family < BALANCER_FAMILIES; family++) {
				uint32_t count = lookup_find(&members->counts,
							     (struct lookup_key){{i, m, family}});

				if (count)
					lookup_add(&members->counted,
						   key_of(&balancers->balancer[i],
							  &balancers->balancer[i].members[m],
							  family),
						   count);
			}
	lookup_free(&members->counts);
}

// True: the round has ended.
static bool count_on(struct members *members)
{
	struct control *control = members->control;

	if (members->revision != control->revision)
		members->position = 0;
	if (!members->position)
		lookup_free(&members->counts);
	members->revision = control->revision;
	members->tables = control->tables;
	if (!members->tables->load_balancers->count && !members->counted.count)
		return true;
	engine_read_begin(control->engine);
	flow_table_visit(control->engine->flows, &members->position, STEP, add, members);
	engine_read_end(control->engine);
	if (members->position)
		return false;
	publish(members);
	return true;
}

// ---- the log

static bool has_line(struct members *members)
{
	if (rate_limit_take(&members->lines, rte_get_tsc_cycles(), rte_get_tsc_hz() / LINES,
			    LINES_BURST))
		return true;
	members->untold++;
	return false;
}

static void tell(struct members *members, const struct member_probe *probe)
{
	const struct load_balancer *balancer =
		&members->control->tables->load_balancers->balancer[probe->balancer];
	const struct balancer_member *member = balancer_member(balancer, &probe->address);
	bool down = member_is_down(probe->health);
	char text[IP_TEXT_SIZE];

	probe->health->told = down;
	if (!has_line(members))
		return;
	ip_format(&probe->address, text);
	log_event(down ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  down ? "member is unhealthy" : "member is healthy again",
		  log_text("loadBalancer", balancer->name),
		  log_text("member", member ? member->name : text), log_text("address", text),
		  log_number("others", members->untold));
	members->untold = 0;
}

// Another node is silent, or not any more.
static void tell_node(struct members *members, const struct peer *peer)
{
	const struct tables *tables = members->control->tables;
	const struct load_balancers *balancers = tables->load_balancers;
	struct hearing *hearing = &peer->path->hearing;
	bool silent = atomic_load(&hearing->silent);
	uint32_t count = 0;

	hearing->told = silent;
	// Its time has begun anew, and it was not heard.
	if ((!silent && !hearing_has_word(hearing)) || !has_line(members))
		return;
	for (uint32_t i = 0; i < balancers->probe_count; i++)
		count += balancers->probes[i].awaited &&
			 tables->endpoints[balancers->probes[i].endpoint].peer == peer->number;
	log_event(silent ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		  silent ? "node is not heard" : "node is heard again",
		  log_text("node", peer->name), log_number("members", count),
		  log_number("others", members->untold));
	members->untold = 0;
}

// Of members that this node asks: each change is one node's to tell. Of the others, that their node
// is silent.
static void look_at_health(struct members *members)
{
	const struct tables *tables = members->control->tables;
	const struct load_balancers *balancers = tables->load_balancers;

	for (uint32_t i = 0; i < balancers->probe_count; i++) {
		const struct member_probe *probe = &balancers->probes[i];
		const struct endpoint *endpoint = tables_endpoint(tables, probe->endpoint);
		const struct peer *peer = probe->awaited ? &tables->peers[endpoint->peer] : NULL;

		if (peer && atomic_load(&peer->path->hearing.silent) != peer->path->hearing.told)
			tell_node(members, peer);
		if (endpoint && !endpoint->peer &&
		    member_is_down(probe->health) != probe->health->told)
			tell(members, probe);
	}
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
	static const struct timeval second = {.tv_sec = 1}, pause = {.tv_usec = STEP_PAUSE_US};
	struct members *members = context;

	if (!members->position)
		look_at_health(members);
	event_add(members->turn, count_on(members) ? &second : &pause);
}

bool members_open(struct control *control)
{
	struct members *members = calloc(1, sizeof(*members));

	control->members = members;
	if (!members)
		return false;
	members->control = control;
	members->turn = event_new(control->base, -1, 0, on_turn, members);
	if (!members->turn)
		return false;
	on_turn(-1, 0, members);
	return true;
}

void members_close(struct members *members)
{
	if (!members)
		return;
	if (members->turn)
		event_free(members->turn);
	lookup_free(&members->counts);
	lookup_free(&members->counted);
	free(members);
}

// ---- what others ask

static void give_reason(const struct tables *tables, const struct load_balancer *balancer,
			const struct ip_address *address, struct member_view *view)
{
	const struct endpoint *endpoint =
		tables_endpoint(tables, tables_find_address(tables, balancer->domain, address));

	if (endpoint && endpoint->peer)
		snprintf(view->reason, sizeof(view->reason), "node %s is not heard",
			 tables->peers[endpoint->peer].name);
}

static bool view_member(const struct control *control, const struct load_balancer *balancer,
			const struct balancer_member *member, uint32_t family,
			struct member_view *view)
{
	bool absent =
		!tables_find_address(control->tables, balancer->domain, &member->addresses[family]);

	if (!member->has[family] || !balancer->serves[family])
		return false;
	*view = (struct member_view){.balancer = balancer->name,
				     .member = member->name,
				     .address = &member->addresses[family],
				     .up = !absent && !member_is_down(member->health[family])};
	if (!absent && member_is_silent(member->health[family]))
		give_reason(control->tables, balancer, &member->addresses[family], view);
	view->state = absent				  ? "absent"
		      : !view->up			  ? "unhealthy"
		      : member->drains || !member->weight ? "draining"
							  : "up";
	if (control->members)
		view->connections =
			lookup_find(&control->members->counted, key_of(balancer, member, family));
	return true;
}

bool members_visit(const struct control *control, uint32_t index,
		   bool (*look)(void *context, const struct member_view *view), void *context)
{
	const struct load_balancers *balancers = control->tables->load_balancers;

	for (uint32_t i = 0; i < balancers->count; i++) {
		const struct load_balancer *balancer = &balancers->balancer[i];
		struct member_view view;

		if (index != UINT32_MAX && i != index)
			continue;
		for (uint32_t m = 0; m < balancer->member_count; m++)
			for (uint32_t family = 0; family < BALANCER_FAMILIES; family++)
				if (view_member(control, balancer, &balancer->members[m], family,
						&view) &&
				    !look(context, &view))
					return false;
	}
	return true;
}

// Who is charged with how many connections: as many as the connection table has? What differs is
// put right.
//
// Connections begin and end while the table is read, a part at a time. Differences that this may
// explain are none, nor is what was not the same at a second look.

#include <stdlib.h>

#include "base/pages.h"
#include "control/audit.h"

// Connections of a part.
#define STEP 2048

struct counted {
	uint32_t connections;
	uint32_t half_open;
};

struct audit_charges {
	uint32_t position;
	bool again;
	uint64_t changes; // of the table, and packets, when the look began
	uint64_t packets;
	struct counted *counted; // in the table; then what the charges have more
	struct counted *before;	 // that of the first look
};

// Connections that have begun or ended.
static uint64_t changes_of(const struct engine *engine)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		struct engine_worker_stats stats = engine_worker_stats(engine, i);

		sum += stats.connections_opened + stats.connections_ended;
	}
	return sum;
}

static uint64_t packets_of(const struct engine *engine)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < engine->options.worker_count; i++)
		sum += engine_worker_stats(engine, i).packets;
	return sum;
}

static bool add(const struct flow *flow, void *context)
{
	struct counted *counted = context;

	counted += flow_charge_number(flow->direction[FLOW_ORIGINAL].ingress);
	counted->connections++;
	counted->half_open += flow_has(&flow->account, FLOW_HALF_OPEN);
	return true;
}

static const char *opener_name(const struct control *control, uint32_t number)
{
	const struct tables *tables = control->tables;

	if (number < FLOW_CHARGE_NODES)
		return number < tables->port_count ? tables_port_name(tables, number) : "none";
	number -= FLOW_CHARGE_NODES;
	return number < tables->peer_count ? tables->peers[number].name : "none";
}

// What is used of them.
static bool is_used(const struct control *control, uint32_t number)
{
	return number < FLOW_CHARGE_NODES
		       ? number < control->port_count
		       : number - FLOW_CHARGE_NODES < control->tables->peer_count;
}

static uint32_t explain(uint32_t more, uint64_t slack)
{
	return (uint64_t)labs((int32_t)more) <= slack ? 0 : more;
}

// Leaves in `counted` what is not explained. False: that is nothing.
static bool subtract(const struct control *control, struct audit_charges *state)
{
	const struct flow_charge *charges = control->engine->flows->charges.list;
	uint64_t changed, moved;
	bool any = false;

	for (uint32_t i = 0; i < FLOW_CHARGES; i++) {
		struct counted *counted = &state->counted[i];

		if (!is_used(control, i))
			continue;
		counted->connections = atomic_load(&charges[i].connections) - counted->connections;
		counted->half_open = atomic_load(&charges[i].half_open) - counted->half_open;
	}
	// All that was done until now has been counted then.
	engine_settle(control->engine);
	changed = changes_of(control->engine) - state->changes;
	// Half-open ones also end by packets.
	moved = changed + packets_of(control->engine) - state->packets;
	for (uint32_t i = 0; i < FLOW_CHARGES; i++) {
		struct counted *counted = &state->counted[i];

		if (!is_used(control, i))
			continue;
		counted->connections = explain(counted->connections, changed);
		counted->half_open = explain(counted->half_open, moved);
		any |= counted->connections || counted->half_open;
	}
	return any;
}

static void mend(const struct control *control, uint32_t number, const char *what,
		 _Atomic uint32_t *count, uint32_t more, uint32_t before,
		 struct differences *differences)
{
	if (!more || more != before)
		return;
	differences_add(differences, "%s/%s is charged with %d %s too many",
			number < FLOW_CHARGE_NODES ? "Port" : "Node", opener_name(control, number),
			(int32_t)more, what);
	atomic_fetch_sub(count, more);
}

static void mend_all(const struct control *control, const struct audit_charges *state,
		     struct differences *differences)
{
	struct flow_charge *charges = control->engine->flows->charges.list;

	for (uint32_t i = 0; i < FLOW_CHARGES; i++) {
		const struct counted *now = &state->counted[i], *before = &state->before[i];

		if (!is_used(control, i))
			continue;
		mend(control, i, "connections", &charges[i].connections, now->connections,
		     before->connections, differences);
		mend(control, i, "half-open connections", &charges[i].half_open, now->half_open,
		     before->half_open, differences);
	}
}

// False: no memory.
static bool begin(const struct control *control, struct audit_charges *state)
{
	state->before = state->counted;
	state->counted = pages_get(FLOW_CHARGES * sizeof(*state->counted));
	state->changes = changes_of(control->engine);
	state->packets = packets_of(control->engine);
	return state->counted;
}

int audit_charges(const struct control *control, struct audit_charges **place,
		  struct differences *differences)
{
	struct audit_charges *state = *place;

	if (!state) {
		state = calloc(1, sizeof(*state));
		*place = state;
		if (!state || !begin(control, state))
			goto out;
	}
	engine_read_begin(control->engine);
	flow_table_visit(control->engine->flows, &state->position, STEP, add, state->counted);
	engine_read_end(control->engine);
	if (state->position)
		return 0;
	if (subtract(control, state)) {
		if (!state->again) {
			state->again = true;
			if (begin(control, state))
				return 0;
		} else {
			mend_all(control, state, differences);
		}
	}
out:
	audit_charges_free(state);
	*place = NULL;
	return -1;
}

void audit_charges_free(struct audit_charges *state)
{
	if (!state)
		return;
	pages_free(state->counted, FLOW_CHARGES * sizeof(*state->counted));
	pages_free(state->before, FLOW_CHARGES * sizeof(*state->before));
	free(state);
}

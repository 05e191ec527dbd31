// The audit: soon after the start, once a minute, and when it is asked for, what is in force is
// held against the objects. The tables are compiled anew, from nothing, and compared; so are
// devices, connections that the kernel forwards, and who is charged with connections. What differs
// is put right by putting all of it in force anew.
//
// It is done in steps, a turn of the event loop each. Where a step takes long, because there are
// many objects, the next audit comes later: all of them together cost a thousandth of a core at
// most.

#include "control/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "model/memory.h"

#define FIRST_MS   10000 // after the start
#define PAUSE_MS   60000
#define PAUSE_COST 2000 // times what it took

enum step {
	STEP_TABLES,
	STEP_DEVICES,
	STEP_OFFLOAD,
	STEP_CONNECTIONS,
	STEP_REPAIR,
	STEP_END,
};

// A call that asked for it.
struct waiting {
	struct waiting *next;
	struct rpc_call *call;
	bool begun; // with the present run; else it waits for the next one
};

struct audit {
	struct control *control;
	struct event *timer;
	enum step step;
	bool running;
	bool repaired;
	int64_t took; // microseconds of the processor
	struct differences found[AUDIT_AREAS];
	struct audit_offload *offload; // while it is looked at
	struct audit_charges *charges; // likewise
	struct waiting *waiting;
	uint64_t runs;
	uint64_t counts[AUDIT_AREAS];
	uint64_t not_repaired;
};

static const char *const area_names[AUDIT_AREAS] = {"tables", "devices", "offload", "connections"};

static int64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static size_t total(const struct audit *audit)
{
	size_t count = 0;

	for (int area = 0; area < AUDIT_AREAS; area++)
		count += audit->found[area].count;
	return count;
}

// ---- the steps

// Compiled without those in force, of which nothing is taken over.
static int compile_anew(struct control *control, struct tables **tables, struct error *err)
{
	const struct object_set *in_force = control->in_force;
	int result;

	control->in_force = NULL;
	result = control_compile(control, control->objects, tables, err);
	control->in_force = in_force;
	return result;
}

static void look_at_tables(struct control *control, struct differences *differences)
{
	const struct control_port *uplink = control->ports[PORT_UPLINK];
	struct tables *tables;
	struct error err;

	if (*control->behind) {
		differences_add(differences, "those of the configuration before are in force: %s",
				control->behind);
		return;
	}
	if (compile_anew(control, &tables, &err) < 0) {
		compile_numbers_abandon(&control->numbers);
		log_warning("audit failed", log_text("reason", err.text));
		return;
	}
	compile_numbers_abandon(&control->numbers);
	// As in those in force.
	if (uplink && uplink->port && tables->port_count > PORT_UPLINK)
		tables_set_uplink(tables, &uplink->port->mac, uplink->port->mtu);
	tables_compare(control->tables, tables, differences);
	if (tables->endpoint_count > 1000)
		control->untidy = true;
	tables_free(tables);
}

static void look_at_devices(struct control *control, struct differences *differences)
{
	// Said already.
	if (!*control->behind && !audit_devices(control, differences))
		log_warning("audit failed", log_text("reason", "no memory"));
}

static bool repair(struct control *control)
{
	struct differences left = {0};
	struct tables *tables;
	struct error err;

	if (compile_anew(control, &tables, &err) < 0) {
		compile_numbers_abandon(&control->numbers);
		log_error("audit repair failed", log_text("reason", err.text));
		return false;
	}
	// Nothing is taken over by what is compiled on the way, either.
	control->in_force = NULL;
	control_reconcile(control, tables);
	watch_statuses(control);
	look_at_tables(control, &left);
	look_at_devices(control, &left);
	return left.count == 0;
}

// ---- what comes of it

static Sluice__V1__AuditResponse *response_new(const struct audit *audit)
{
	Sluice__V1__AuditResponse *response = memory_new(sizeof(*response));

	sluice__v1__audit_response__init(response);
	response->revision = audit->control->revision;
	response->total = total(audit);
	response->differences =
		memory_new(AUDIT_AREAS * DIFFERENCES_NAMED * sizeof(*response->differences));
	for (int area = 0; area < AUDIT_AREAS; area++)
		for (size_t i = 0; i < audit->found[area].named; i++) {
			Sluice__V1__AuditDifference *difference = memory_new(sizeof(*difference));

			sluice__v1__audit_difference__init(difference);
			difference->area = memory_text(area_names[area]);
			difference->text = memory_text(audit->found[area].texts[i]);
			difference->repaired = audit->repaired;
			response->differences[response->n_differences++] = difference;
		}
	return response;
}

static void say(struct audit *audit)
{
	audit->runs++;
	for (int area = 0; area < AUDIT_AREAS; area++) {
		const struct differences *found = &audit->found[area];

		audit->counts[area] += found->count;
		if (!audit->repaired)
			audit->not_repaired += found->count;
		for (size_t i = 0; i < found->named; i++)
			log_warning(audit->repaired ? "audit difference repaired"
						    : "audit difference not repaired",
				    log_text("area", area_names[area]),
				    log_text("what", found->texts[i]));
		if (found->count > found->named)
			log_warning("audit found more differences",
				    log_text("area", area_names[area]),
				    log_number("count", found->count - found->named));
	}
}

// `all`: also those that wait for the next run.
static void calls_answer(struct audit *audit, bool all)
{
	struct waiting **place = &audit->waiting;

	while (*place) {
		struct waiting *waiting = *place;
		Sluice__V1__AuditResponse *response;

		if (!waiting->begun && !all) {
			place = &waiting->next;
			continue;
		}
		*place = waiting->next;
		response = response_new(audit);
		rpc_call_reply(waiting->call, &response->base);
		sluice__v1__audit_response__free_unpacked(response, NULL);
		free(waiting);
	}
}

static void wake_after(struct audit *audit, int64_t milliseconds)
{
	struct timeval time = {.tv_sec = milliseconds / 1000,
			       .tv_usec = milliseconds % 1000 * 1000};

	event_add(audit->timer, &time);
}

static void finish(struct audit *audit)
{
	int64_t pause = audit->took / 1000 * PAUSE_COST;

	audit->running = false;
	say(audit);
	calls_answer(audit, false);
	if (audit->waiting)
		pause = 0;
	else if (pause < PAUSE_MS)
		pause = PAUSE_MS;
	wake_after(audit, pause);
}

static void begin(struct audit *audit)
{
	for (struct waiting *waiting = audit->waiting; waiting; waiting = waiting->next)
		waiting->begun = true;
	audit->running = true;
	audit->repaired = true;
	audit->took = 0;
	audit->step = STEP_TABLES;
	memset(audit->found, 0, sizeof(audit->found));
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct audit *audit = context;
	int64_t start = clock_us();
	int next = 0; // milliseconds

	if (!audit->running)
		begin(audit);
	switch (audit->step++) {
	case STEP_TABLES:
		look_at_tables(audit->control, &audit->found[AUDIT_TABLES]);
		break;
	case STEP_DEVICES:
		// What tables say of them is wrong where the tables are.
		if (!audit->found[AUDIT_TABLES].count)
			look_at_devices(audit->control, &audit->found[AUDIT_DEVICES]);
		break;
	case STEP_OFFLOAD:
		next = audit_offload(audit->control, &audit->offload, &audit->found[AUDIT_OFFLOAD]);
		if (next < 0)
			next = 0;
		else
			audit->step = STEP_OFFLOAD;
		break;
	case STEP_CONNECTIONS:
		next = audit_charges(audit->control, &audit->charges,
				     &audit->found[AUDIT_CONNECTIONS]);
		if (next < 0)
			next = 0;
		else
			audit->step = STEP_CONNECTIONS;
		break;
	case STEP_REPAIR:
		if (total(audit))
			audit->repaired = repair(audit->control);
		break;
	case STEP_END:
		finish(audit);
		return;
	}
	audit->took += clock_us() - start;
	wake_after(audit, next);
}

// ---- who asks

void audit_answer(struct control *control, struct rpc_call *call)
{
	struct audit *audit = control->audit;
	struct waiting *waiting = memory_new(sizeof(*waiting));

	waiting->call = call;
	waiting->next = audit->waiting;
	audit->waiting = waiting;
	// What runs already may have looked before the caller asked.
	if (!audit->running)
		wake_after(audit, 0);
}

Sluice__V1__AuditStats *audit_stats(const struct control *control)
{
	Sluice__V1__AuditStats *stats = malloc(sizeof(*stats));

	if (!stats)
		return NULL;
	sluice__v1__audit_stats__init(stats);
	stats->runs = control->audit->runs;
	stats->tables = control->audit->counts[AUDIT_TABLES];
	stats->devices = control->audit->counts[AUDIT_DEVICES];
	stats->offload = control->audit->counts[AUDIT_OFFLOAD];
	stats->connections = control->audit->counts[AUDIT_CONNECTIONS];
	stats->not_repaired = control->audit->not_repaired;
	return stats;
}

bool audit_open(struct control *control)
{
	struct audit *audit = memory_new(sizeof(*audit));

	audit->control = control;
	audit->timer = evtimer_new(control->base, on_timer, audit);
	control->audit = audit;
	if (!audit->timer)
		return false;
	wake_after(audit, FIRST_MS);
	return true;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	calls_answer(audit, true);
	free(audit->offload);
	audit_charges_free(audit->charges);
	if (audit->timer)
		event_free(audit->timer);
	free(audit);
}

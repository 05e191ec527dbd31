#include "control/control.h"

#include <stdlib.h>

#include "base/log.h"
#include "control/recover.h"
#include "control/upgrade/cpus.h"
#include "control/upgrade/upgrade.h"
#include "layer/nat/mappings.h"
#include "layer/nat/nat.h"
#include "port/claims.h"
#include "rpc/health.h"
#include "rpc/reflection.h"
#include "telemetry/telemetry.h"

#define RETRY_SECONDS 1

// What others may take away meanwhile.
static void check_kept(struct control *control)
{
	control_store_check(control);
	if (control->server)
		rpc_server_check(control->server);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	control_tidy(context);
	recover_check(context);
	// Another process may have them.
	if (!upgrade_is_begun(context))
		check_kept(context);
	control_look(context);
	control_nat_log(context);
	control_conflicts(context);
	control_watched_nodes(context);
	watch_statuses(context);
}

// A Port or Node that is gone may have opened connections that live on: whoever got its number
// would be charged with them.
static bool is_charged(const struct engine *engine, uint32_t number)
{
	return atomic_load_explicit(&engine->flows->charges.list[number].connections,
				    memory_order_relaxed);
}

static bool port_is_charged(const void *engine, uint32_t number)
{
	return is_charged(engine, number);
}

static bool node_is_charged(const void *engine, uint32_t number)
{
	return is_charged(engine, FLOW_CHARGE_NODES + number);
}

// What the other process has comes with it, from what takes longest to what nobody can have before
// it stops; then packets wait. The tables are taken over where NULL is left.
static int take_place(struct control *control, struct take_over *take_over, struct tables **tables,
		      struct error *err)
{
	struct tables *compiled = *tables;
	struct upgrade_cpus cpus = {0};
	int result;

	if ((take_over->store_closed && load_store(control, err) < 0) ||
	    recover_prepare(control, err) < 0)
		return -1;
	if (take_over->cpus_shared)
		upgrade_cpus_borrow(&cpus, &control->engine->options);
	result = take_over_wait(take_over, control, err);
	if (result == 0)
		recover_connections(control);
	if (result == 0 && !take_over->store_closed)
		result = load_store(control, err);
	if (result == 0)
		result = take_over_ports(take_over, control, compiled, err);
	if (result == 0) {
		*tables = NULL;
		if (!control_reconcile_begin(control, compiled))
			result = error_set(err, "%s", control->behind);
	}
	if (result == 0)
		result = engine_start(control->engine, err);
	take_over->since = upgrade_now();
	upgrade_cpus_return(&cpus);
	return result;
}

// Connections are there before the workers start.
static int begin(struct control *control, struct error *err)
{
	recover_connections(control);
	return engine_start(control->engine, err);
}

static int start(struct control *control, const struct control_options *options,
		 struct take_over *take_over, struct error *err)
{
	struct timeval interval = {.tv_sec = RETRY_SECONDS};
	struct engine_options engine = options->engine;
	struct object_set *empty = object_set_new();
	int none[UPGRADE_LISTENERS] = {-1, -1, -1}, *listeners = none;
	struct tables *tables;
	struct error why;
	int result;

	control->arguments = options->arguments;
	result = recover_open(control, options->flows, take_over ? take_over->lock : -1, err);
	if (take_over) {
		take_over->lock = -1;
		if (result == 0)
			result = recover_check_given(control, take_over->table, err);
	}
	engine.keep = &control->keep;
	// The workers start on nothing; what was stored follows as any other change does.
	if (result == 0)
		result = tables_compile(empty, control->node, &control->numbers, NULL, 1,
					options->engine.worker_count, NULL, NULL, &control->tables,
					err);
	object_set_free(empty);
	if (result < 0 || engine_prepare(&engine, control->tables, &control->engine, err) < 0)
		return -1;
	control->numbers.ports.is_meant = port_is_charged;
	control->numbers.nodes.is_meant = node_is_charged;
	control->numbers.ports.context = control->numbers.nodes.context = control->engine;
	control->numbers.mappings =
		nat_mappings_open(options->engine.connections, options->engine.worker_count,
				  &control->engine->flows->secret, control->engine->flows);
	if (!control->numbers.mappings)
		return error_set(err, "no memory");
	control->engine->flows->mapped = (struct flow_mapped){.context = control->numbers.mappings,
							      .end = nat_connection_ended};
	if (posix_memalign((void **)&control->ended, 64,
			   options->engine.worker_count * sizeof(*control->ended)) != 0) {
		control->ended = NULL;
		return error_set(err, "no memory");
	}
	memset(control->ended, 0, options->engine.worker_count * sizeof(*control->ended));
	control->environment = (struct port_environment){
		.pool = control->engine->pool,
		.workers = control->engine->readers,
		.base = control->base,
	};
	control->claims = claims_open(&why);
	if (control->claims)
		control->environment.claims = control->claims;
	else
		log_warning("external networks are not reached by kernel interfaces",
			    log_text("reason", why.text));
	control->events = device_events_open(control, &why);
	if (!control->events)
		log_warning("devices are looked at once a second only",
			    log_text("reason", why.text));
	if (control->engine->offload)
		control->environment.programs = flow_offload_programs(control->engine->offload);
	control->state = options->state;
	if ((take_over ? load_given(control, take_over, err) : load_objects(control, err)) < 0 ||
	    control_compile(control, control->objects, &tables, err) < 0)
		return -1;
	if ((take_over ? take_place(control, take_over, &tables, err) : begin(control, err)) < 0) {
		tables_free(tables);
		return -1;
	}
	if (take_over)
		control_reconcile_end(control);
	else
		control_reconcile(control, tables);
	recover_commit(control);
	if (take_over) {
		take_over_end(take_over, control);
		control_settle(control);
	}
	control->heartbeat = heartbeat_open(control->engine);
	if (!control->heartbeat)
		return error_set(err, "no memory");
	if (!watch_open(control) || !audit_open(control) || !members_open(control))
		return error_set(err, "no memory");
	log_info("stored objects are in force", log_number("revision", control->revision));
	control->retry = event_new(control->base, -1, EV_PERSIST, on_retry, control);
	if (!control->retry || event_add(control->retry, &interval) < 0)
		return error_set(err, "no memory for a timer");
	if (take_over)
		listeners = take_over->listeners;
	if (options->metrics &&
	    metrics_server_open(control, options->metrics, &listeners[UPGRADE_METRICS],
				options->page, &control->metrics, err) < 0)
		return -1;
	return control_serve(control, options, listeners, err);
}

int control_open(const struct control_options *options, struct event_base *base,
		 struct control **result, struct error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	struct take_over *take_over = NULL;
	int started;

	if (!control)
		return error_set(err, "no memory");
	control->node = options->node;
	control->base = base;
	control->objects = object_set_new();
	TAILQ_INIT(&control->impacts);
	control->keep.lock = control->keep.remains.fd = -1;
	control->members_asked = calloc(PORT_MEMBERS_MAX, sizeof(*control->members_asked));
	if (!control->members_asked || !compile_numbers_open(&control->numbers)) {
		control_close(control);
		return error_set(err, "no memory");
	}
	started = options->take_over < 0
			  ? 0
			  : take_over_begin(options->take_over, options->node, &take_over, err);
	if (started == 0)
		started = start(control, options, take_over, err);
	if (started < 0)
		take_over_fail(take_over, err);
	take_over_close(take_over);
	if (started < 0) {
		control_close(control);
		return -1;
	}
	*result = control;
	return 0;
}

void control_close(struct control *control)
{
	upgrade_close(control->upgrade);
	metrics_server_close(control->metrics);
	impact_end_all(control);
	audit_close(control->audit);
	members_close(control->members);
	drains_end(control);
	if (control->server)
		rpc_server_free(control->server);
	confirmation_end(control);
	reflection_close(control->reflection);
	health_close(control->health);
	watch_close(control->watch);
	if (control->retry)
		event_free(control->retry);
	heartbeat_close(control->heartbeat);
	// First the workers, then what they used.
	if (control->engine)
		engine_close(control->engine);
	for (uint32_t number = 1; number < control->port_count; number++) {
		if (!control->ports[number])
			continue;
		// The next process goes on with it, as with the connections.
		if (control->ports[number]->port)
			control->ports[number]->port->stays = true;
		port_close(control->ports[number]->port);
		control_port_free(control->ports[number]);
	}
	tables_free(control->tables);
	nat_mappings_close(control->numbers.mappings);
	compile_numbers_close(&control->numbers);
	load_copy(control);
	if (control->store)
		store_close(control->store);
	object_set_free(control->objects);
	claims_close(control->claims);
	recover_close(control);
	device_events_close(control->events);
	free(control->ended);
	free(control->members_asked);
	free(control);
}

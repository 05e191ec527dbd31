#include "control/recover.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/numbers_file.h"
#include "control/control.h"
#include "control/upgrade/upgrade.h"
#include "flow/adopt.h"
#include "layer/nat/nat.h"
#include "port/bus_error.h"

#define LISTS 5

// Rounds while the earlier process still forwards: until so few connections change in one that the
// last round is short, but not for ever.
#define ENOUGH_CHANGED 1000
#define ROUNDS_MAX     4

static void lists_of(struct compile_numbers *numbers, struct numbers *lists[LISTS])
{
	lists[0] = &numbers->domains;
	lists[1] = &numbers->networks;
	lists[2] = &numbers->ports;
	lists[3] = &numbers->nodes;
	lists[4] = &numbers->groups;
}

static void names_path(const struct control *control, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s.names", control->keep.path);
}

int recover_open(struct control *control, const char *path, int lock, struct error *err)
{
	struct flow_keep *keep = &control->keep;
	struct numbers *lists[LISTS];
	char names[PATH_MAX];
	struct error why;

	if (!path)
		return 0;
	if (flow_keep_open(path, lock, keep, err) < 0)
		return -1;
	names_path(control, names);
	lists_of(&control->numbers, lists);
	if (keep->remains.header &&
	    numbers_file_read(names, keep->remains.header->id, lists, LISTS, &why) < 0)
		flow_keep_forget(keep, why.text);
	// Where it has no memory, looking at it asks for some.
	if (keep->remains.header)
		bus_error_keep(keep->remains.header, keep->remains.header->size);
	if (keep->lost[0])
		log_warning("connections of an earlier process are lost",
			    log_text("file", keep->path), log_text("reason", keep->lost));
	return 0;
}

int recover_check_given(const struct control *control, uint64_t id, struct error *err)
{
	const struct flow_keep *keep = &control->keep;

	if (keep->remains.header && (!id || keep->remains.header->id == id))
		return 0;
	return error_set(err, "connections would end: %s",
			 keep->lost[0] ? keep->lost : "--flows is not where they are");
}

void recover_close(struct control *control)
{
	flow_adoption_end(&control->adoption);
	flow_keep_close(&control->keep);
}

static bool has_name(const struct numbers *numbers, uint32_t number)
{
	return number <= numbers->max && numbers->names[number];
}

static bool belongs(void *context, const struct flow *flow, uint32_t now)
{
	const struct control *control = context;
	const struct numbers *networks = &control->numbers.networks;

	if (!has_name(networks, flow->direction[FLOW_ORIGINAL].key.network))
		return false;
	if (!flow_has(&flow->account, FLOW_ONE_WAY) &&
	    !has_name(networks, flow->direction[FLOW_REPLY].key.network))
		return false;
	return !flow_has(&flow->account, FLOW_MAPPED) ||
	       nat_connection_adopted(control->numbers.mappings, flow, now);
}

static void forget(void *context, const struct flow *flow)
{
	struct control *control = context;

	nat_connection_forgotten(control->numbers.mappings, flow);
}

static void adoption_begin(struct control *control)
{
	control->adoption =
		(struct flow_adoption){.accept = belongs, .forget = forget, .context = control};
	flow_adoption_begin(&control->adoption, control->engine->flows, &control->keep.remains);
}

static void adopt(struct control *control)
{
	flow_table_adopt(control->engine->flows, &control->keep.remains,
			 engine_now(control->engine), &control->adoption);
}

int recover_prepare(struct control *control, struct error *err)
{
	const struct flow_adoption *adoption = &control->adoption;
	unsigned int round = 0;

	// They would go on, but not outlive this process.
	if (control->keep.reason[0])
		return error_set(err, "connections would end with it: %s", control->keep.reason);
	if (!control->keep.remains.header)
		return 0;
	adoption_begin(control);
	if (!adoption->numbers)
		return 0;
	do
		adopt(control);
	while (adoption->changed > ENOUGH_CHANGED && ++round < ROUNDS_MAX);
	return 0;
}

void recover_connections(struct control *control)
{
	struct flow_keep *keep = &control->keep;
	struct flow_adoption *adoption = &control->adoption;

	if (keep->remains.header) {
		if (!adoption->context)
			adoption_begin(control);
		adopt(control);
		flow_adoption_end(adoption);
		log_info("connections recovered", log_number("recovered", adoption->adopted),
			 log_number("dropped", adoption->dropped));
	}
	if (keep->reason[0])
		log_warning("connections end with this process", log_text("reason", keep->reason));
	control->names_missing = !keep->reason[0] && keep->lock >= 0;
}

void recover_commit(struct control *control)
{
	if (control->keep.remains.header)
		bus_error_keep_end(control->keep.remains.header);
	flow_keep_commit(&control->keep);
}

void recover_check(struct control *control)
{
	size_t pages = bus_error_kept();

	if (pages && !control->pages_missing)
		log_warning("some connections would end with this process",
			    log_text("reason", "no room is left for the table's file"),
			    log_text("file", control->keep.path));
	control->pages_missing = pages != 0;
	// There may be room again.
	if (control->names_missing && !upgrade_is_begun(control))
		recover_write_names(control);
}

void recover_write_names(struct control *control)
{
	bool changed = control->names_missing;
	struct numbers *lists[LISTS];
	char names[PATH_MAX];
	struct error err;

	if (control->keep.lock < 0 || control->keep.reason[0])
		return;
	lists_of(&control->numbers, lists);
	for (unsigned int i = 0; i < LISTS; i++)
		changed |= lists[i]->changed;
	if (!changed)
		return;
	names_path(control, names);
	if (numbers_file_write(names, control->engine->flows->id, lists, LISTS, &err) == 0) {
		for (unsigned int i = 0; i < LISTS; i++)
			lists[i]->changed = false;
		control->names_missing = false;
		return;
	}
	// Better none than numbers that mean something else.
	unlink(names);
	if (!control->names_missing)
		log_warning("connections would end with this process",
			    log_text("reason", err.text));
	control->names_missing = true;
}

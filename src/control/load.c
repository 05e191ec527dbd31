// The stored objects: at the start, and their copy for when the store can't be used.

#include <limits.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/control.h"
#include "control/upgrade/upgrade.h"
#include "model/check.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"
#include "model/store/copy.h"

static int open_store(struct control *control, struct error *err)
{
	// Nobody else is this node: the one before has ended, and whoever has the file otherwise is
	// not waited for, because the copy can go into force.
	int result = control->keep.lock < 0
			     ? store_open(control->state, &control->store, err)
			     : store_open_now(control->state, true, &control->store, err);

	if (result == 0 &&
	    store_load(control->store, control->objects, &control->revision, err) == 0)
		return 0;
	if (control->store)
		store_close(control->store);
	control->store = NULL;
	object_set_free(control->objects);
	control->objects = object_set_new();
	return -1;
}

// `why` it can't be used. Its copy is in force; `renew`: and is stored anew, if that can be.
static int recover(struct control *control, bool renew, const struct error *why, struct error *err)
{
	struct error missing;

	if (store_copy_read(control->state, control->objects, &control->revision, &missing) < 0)
		return error_set(err, "%.300s; there is no copy: %.180s", why->text, missing.text);
	snprintf(control->store_problem, sizeof(control->store_problem), "%s", why->text);
	if (renew && control_store_renew(control, "the store was damaged"))
		log_error("the store is damaged; it was set aside, and its copy is in force",
			  log_text("file", control->set_aside), log_text("reason", why->text),
			  log_number("revision", control->revision));
	else
		log_error("the store cannot be used; its copy is in force until it can",
			  log_text("reason", control->store_problem),
			  log_number("revision", control->revision));
	return 0;
}

static int check(const struct control *control, struct error *err)
{
	struct problems problems = {0};
	char summary[512];
	int result = 0;

	set_check(control->objects, NULL, &problems);
	if (problems.count)
		result = error_set(err, "%s: what is stored is not valid: %s", control->state,
				   problems_summary(&problems, summary, sizeof(summary)));
	problems_clear(&problems);
	return result;
}

int load_objects(struct control *control, struct error *err)
{
	struct error why;

	if (!store_find_aside(control->state, control->set_aside, sizeof(control->set_aside)))
		*control->set_aside = 0;

	if (open_store(control, &why) < 0) {
		bool damaged = store_is_damaged(control->state);

		*err = why;
		if (!damaged && control->keep.lock < 0)
			return -1;
		if (recover(control, damaged, &why, err) < 0)
			return -1;
	}
	if (control->store && confirmation_load(control, err) < 0)
		return -1;
	return check(control, err);
}

int load_given(struct control *control, struct take_over *take_over, struct error *err)
{
	object_set_free(control->objects);
	control->objects = take_over->objects;
	control->revision = take_over->revision;
	take_over->objects = NULL;
	return check(control, err);
}

int load_store(struct control *control, struct error *err)
{
	struct object_set *stored = object_set_new();
	uint64_t expected = control->revision;
	int result;

	if (!store_find_aside(control->state, control->set_aside, sizeof(control->set_aside)))
		*control->set_aside = 0;
	result = store_open(control->state, &control->store, err);

	if (result == 0)
		result = store_load(control->store, stored, &control->revision, err);
	object_set_free(stored);
	if (result == 0 && control->revision != expected)
		result = error_set(err, "the store is at revision %llu, not %llu",
				   (unsigned long long)control->revision,
				   (unsigned long long)expected);
	return result < 0 ? -1 : confirmation_load(control, err);
}

void load_copy(struct control *control)
{
	struct error err;
	bool failed;

	// What nobody has confirmed is not what to go on with.
	if (!control->store || control->copied == control->revision + 1 ||
	    control->waiting.revision)
		return;
	failed = store_copy_write(control->state, control->objects, control->revision, &err) < 0;
	if (failed && !control->copy_failed)
		log_warning("the copy of the store cannot be written",
			    log_text("reason", err.text));
	control->copy_failed = failed;
	control->copied = control->revision + 1;
}

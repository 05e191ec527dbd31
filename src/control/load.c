// The stored objects: at the start, and their copy for when the store is damaged.

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
	if (store_open(control->state, &control->store, err) == 0 &&
	    store_load(control->store, control->objects, &control->revision, err) == 0)
		return 0;
	if (control->store)
		store_close(control->store);
	control->store = NULL;
	object_set_free(control->objects);
	control->objects = object_set_new();
	return -1;
}

// All objects of the set are new.
static int store_all(struct control *control, const char *comment, struct error *err)
{
	struct store_record record = {
		.revision = control->revision + 1,
		.time = confirmation_now(),
		.action = "recover",
		.user = "",
		.comment = comment,
	};
	Sluice__V1__Object__KindCase kind;
	struct change *changes = NULL;
	size_t count = 0, capacity = 0;
	int result;

	for (size_t k = 0; (kind = kind_at(k)) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
		for (size_t i = 0; i < object_set_count(control->objects, kind); i++) {
			const Sluice__V1__Object *object = object_set_at(control->objects, kind, i);

			changes = memory_grow(changes, count, &capacity, sizeof(*changes));
			changes[count++] = (struct change){
				.kind = kind,
				.name = object_name(object),
				.action = SLUICE__V1__ACTION__ACTION_CREATED,
				.object = object,
			};
		}
	result = store_commit(control->store, changes, count, &record, err);
	free(changes);
	if (result == 0)
		control->revision = record.revision;
	return result;
}

// `why` it can't be used. Whatever fails leaves that file where it is, or under its new name.
static int recover(struct control *control, const struct error *why, struct error *err)
{
	char aside[PATH_MAX];
	struct error missing;

	if (store_copy_read(control->state, control->objects, &control->revision, &missing) < 0)
		return error_set(err, "%.300s; there is no copy: %.180s", why->text, missing.text);
	if (store_set_aside(control->state, aside, sizeof(aside), err) < 0 ||
	    store_open(control->state, &control->store, err) < 0 ||
	    store_all(control, "the store was damaged", err) < 0)
		return -1;
	log_error("the store is damaged; it was set aside, and its copy is in force",
		  log_text("file", aside), log_text("reason", why->text),
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

	if (open_store(control, &why) < 0) {
		*err = why;
		if (!store_is_damaged(control->state) || recover(control, &why, err) < 0)
			return -1;
	}
	return confirmation_load(control, err) < 0 ? -1 : check(control, err);
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
	int result = store_open(control->state, &control->store, err);

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

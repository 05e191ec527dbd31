// The store while sluiced runs. What it can't take is refused; the data plane goes on with what is
// in force. One that is lost is made anew from that; one that can't be opened is tried again.

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"
#include "model/store/copy.h"

static void set_problem(struct control *control, const char *text)
{
	snprintf(control->store_problem, sizeof(control->store_problem), "%s", text);
}

// ---- anew

// All objects are new there.
static int store_all(const struct control *control, struct store *store,
		     const struct store_record *record, struct error *err)
{
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
	result = store_commit(store, changes, count, record, err);
	free(changes);
	return result;
}

// Beside the old one, so that whatever fails leaves that as it is.
static int make(const struct control *control, const char *path, const struct store_record *record,
		struct error *err)
{
	char journal[PATH_MAX];
	struct store *store;
	int result;

	snprintf(journal, sizeof(journal), "%.4000s-journal", path);
	unlink(journal);
	unlink(path);
	if (store_open(path, &store, err) < 0)
		return -1;
	result = store_all(control, store, record, err);
	store_close(store);
	if (result < 0)
		unlink(path);
	return result;
}

bool control_store_renew(struct control *control, const char *comment)
{
	struct store_record record = {
		.revision = control->revision + 1,
		.time = confirmation_now(),
		.action = "recover",
		.user = "",
		.comment = comment,
	};
	char path[PATH_MAX];
	struct error err;

	snprintf(path, sizeof(path), "%.4000s.new", control->state);
	if (control->store)
		store_close(control->store);
	control->store = NULL;
	if (make(control, path, &record, &err) < 0 ||
	    store_replace(control->state, path, control->set_aside, sizeof(control->set_aside),
			  &err) < 0 ||
	    store_open(control->state, &control->store, &err) < 0) {
		control->store = NULL;
		set_problem(control, err.text);
		return false;
	}
	control->revision = record.revision;
	set_problem(control, "");
	return true;
}

// While sluiced runs; `control->store_problem` says why.
static bool renew(struct control *control, const char *comment)
{
	char reason[sizeof(control->store_problem)];

	snprintf(reason, sizeof(reason), "%s", control->store_problem);
	if (!control_store_renew(control, comment))
		return false;
	log_error("the store was lost; what is in force is stored anew",
		  log_text("file", control->set_aside), log_text("reason", reason),
		  log_number("revision", control->revision));
	return true;
}

// ---- again

// What it has is what was last asked for: nothing was changed since.
static int follow(struct control *control, struct object_set *stored, uint64_t revision,
		  struct error *err)
{
	struct transaction transaction = {0};
	struct problems problems = {0};
	struct tables *tables;
	char summary[512];
	int result = 0;

	if (transaction_replace(control->objects, stored, &transaction, &problems) !=
	    TRANSACTION_OK) {
		result = error_set(err, "%s: what is stored is not valid: %s", control->state,
				   problems_summary(&problems, summary, sizeof(summary)));
	} else if (control_compile(control, transaction.next, &tables, err) < 0) {
		compile_numbers_abandon(&control->numbers);
		result = -1;
	} else {
		control->revision = revision;
		change_put_in_force(control, &transaction, tables);
	}
	problems_clear(&problems);
	transaction_clear(&transaction);
	return result;
}

static int open_again(struct control *control, struct error *err)
{
	struct object_set *stored = object_set_new();
	struct store_waiting waiting = {0};
	uint64_t revision;
	int result;

	result = store_open_now(control->state, false, &control->store, err);
	if (result < 0) {
		control->store = NULL;
		object_set_free(stored);
		return -1;
	}
	result = store_load(control->store, stored, &revision, err);
	if (result == 0 && revision < control->revision)
		result = error_set(err,
				   "%s: it is at revision %llu, before the %llu in force; a "
				   "restart takes it",
				   control->state, (unsigned long long)revision,
				   (unsigned long long)control->revision);
	if (result == 0)
		result = store_waiting(control->store, &waiting, err);
	if (result == 0 && revision > control->revision) {
		result = follow(control, stored, revision, err);
		stored = NULL;
	}
	object_set_free(stored);
	if (result == 0 && waiting.revision) {
		int64_t left = waiting.deadline - confirmation_now();

		control->waiting = waiting;
		if (left > (int64_t)waiting.seconds * 1000)
			left = (int64_t)waiting.seconds * 1000;
		confirmation_wait(control, left > 0 ? left : 0);
	}
	if (result < 0) {
		store_close(control->store);
		control->store = NULL;
	}
	return result;
}

void control_store_check(struct control *control)
{
	struct error err;

	if (control->store)
		return;
	if (access(control->state, F_OK) < 0 && errno == ENOENT) {
		renew(control, "the store was removed");
		return;
	}
	if (open_again(control, &err) < 0) {
		if (store_is_damaged(control->state) && renew(control, "the store was damaged"))
			return;
		// Said once, not with every try.
		if (strcmp(control->store_problem, err.text) != 0)
			log_error("the store can't be opened again", log_text("reason", err.text));
		set_problem(control, err.text);
		return;
	}
	set_problem(control, "");
	log_info("the store can be used again", log_number("revision", control->revision));
}

bool control_store_opened(const struct control *control, struct error *err)
{
	if (!control->store)
		error_set(err, "the store can't be used: %s",
			  *control->store_problem ? control->store_problem
						  : "it is opened again after an upgrade");
	return control->store;
}

int control_store_commit(struct control *control, const struct transaction *transaction,
			 struct store_record *record, struct error *err)
{
	int result;

	if (!control_store_opened(control, err))
		return -1;
	record->revision = control->revision + 1;
	result = store_commit(control->store, transaction->changes, transaction->change_count,
			      record, err);
	// The way back from a change that waits was in there: it stays as it is, for somebody to
	// look at.
	if (result < 0 && store_is_lost(control->store) && !control->waiting.revision) {
		set_problem(control, err->text);
		if (!renew(control, "the store was lost"))
			return error_set(err, "%s", control->store_problem);
		record->revision = control->revision + 1;
		result = store_commit(control->store, transaction->changes,
				      transaction->change_count, record, err);
	}
	set_problem(control, result < 0 ? err->text : "");
	if (result == 0)
		control->revision = record->revision;
	return result;
}

static bool is_aside(const struct control *control)
{
	return *control->set_aside && access(control->set_aside, F_OK) == 0;
}

Sluice__V1__StoreStats *control_store_stats(const struct control *control)
{
	Sluice__V1__StoreStats *stats = malloc(sizeof(*stats));

	if (!stats)
		return NULL;
	sluice__v1__store_stats__init(stats);
	stats->usable = control->store && !*control->store_problem;
	stats->problem = strdup(control->store_problem);
	stats->set_aside = strdup(is_aside(control) ? control->set_aside : "");
	if (stats->problem && stats->set_aside)
		return stats;
	sluice__v1__store_stats__free_unpacked(stats, NULL);
	return NULL;
}

bool control_store_say(const struct control *control, char *text, size_t size)
{
	if (*control->store_problem)
		snprintf(text, size, "changes can't be stored: %s", control->store_problem);
	else if (is_aside(control))
		snprintf(text, size, "a damaged store was set aside: %s", control->set_aside);
	else
		return false;
	return true;
}

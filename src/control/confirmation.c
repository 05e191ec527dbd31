// A change that reverts by itself unless it is confirmed in time. While sluiced runs, its own timer
// counts; across a restart the clock of the day does.

#include <time.h>

#include "base/log.h"
#include "control/control.h"
#include "model/transaction.h"

// After a try that failed, as on a full disk: twice as long each time.
#define TRY_AGAIN_MS	 1000
#define TRY_AGAIN_MAX_MS 32000

int64_t confirmation_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// The way back from the change that waits, made and validated.
static int way_back(struct control *control, struct transaction *transaction, struct error *err)
{
	struct problems problems = {0};
	struct object_set *before;
	char summary[512];
	uint64_t oldest;
	int result = 0;

	*transaction = (struct transaction){0};
	if (!control_store_opened(control, err) ||
	    store_restore(control->store, control->objects, control->waiting.revision - 1, &before,
			  &oldest, err) < 0)
		return -1;
	if (!before)
		return error_set(err, "the store is damaged: it has no way back");
	if (transaction_replace(control->objects, before, transaction, &problems) != TRANSACTION_OK)
		result = error_set(err, "what was before is not valid: %s",
				   problems_summary(&problems, summary, sizeof(summary)));
	problems_clear(&problems);
	return result;
}

static int store_back(struct control *control, const struct transaction *transaction,
		      struct error *err)
{
	struct store_record record = {
		.action = "revert",
		.back_to = control->waiting.revision - 1,
		.user = "sluiced",
		.comment = "not confirmed in time",
		.reverts = true,
	};

	if (change_store(control, transaction, &record, NULL, err) < 0)
		return -1;
	control->waiting = (struct store_waiting){0};
	return 0;
}

static int revert(struct control *control, struct transaction *transaction, struct error *err)
{
	struct tables *tables;

	if (way_back(control, transaction, err) < 0)
		return -1;
	if (control_compile(control, transaction->next, &tables, err) < 0) {
		compile_numbers_abandon(&control->numbers);
		return -1;
	}
	if (store_back(control, transaction, err) < 0) {
		tables_free(tables);
		compile_numbers_abandon(&control->numbers);
		return -1;
	}
	change_put_in_force(control, transaction, tables);
	return 0;
}

static int timer_set(struct control *control, int64_t milliseconds)
{
	struct timeval interval = {
		.tv_sec = milliseconds / 1000,
		.tv_usec = milliseconds % 1000 * 1000,
	};

	return evtimer_add(control->confirmation, &interval);
}

static void on_end(evutil_socket_t fd, short what, void *context)
{
	struct control *control = context;
	struct transaction transaction = {0};
	struct error err;

	if (!control->waiting.revision)
		return;
	if (revert(control, &transaction, &err) < 0) {
		log_error("revision cannot be reverted; it is tried again",
			  log_number("revision", control->waiting.revision),
			  log_text("reason", err.text));
		timer_set(control, control->revert_pause);
		if (control->revert_pause < TRY_AGAIN_MAX_MS)
			control->revert_pause *= 2;
	}
	transaction_clear(&transaction);
}

int confirmation_wait(struct control *control, int64_t milliseconds)
{
	if (!control->confirmation)
		control->confirmation = evtimer_new(control->base, on_end, control);
	control->revert_pause = TRY_AGAIN_MS;
	return control->confirmation ? timer_set(control, milliseconds) : -1;
}

void confirmation_end(struct control *control)
{
	if (control->confirmation)
		event_free(control->confirmation);
	control->confirmation = NULL;
}

int confirmation_load(struct control *control, struct error *err)
{
	struct transaction transaction;
	int64_t left;
	int result;

	if (store_waiting(control->store, &control->waiting, err) < 0)
		return -1;
	if (!control->waiting.revision)
		return 0;
	left = control->waiting.deadline - confirmation_now();
	// A clock that was set back gives no more time than there was.
	if (left > (int64_t)control->waiting.seconds * 1000)
		left = (int64_t)control->waiting.seconds * 1000;
	if (left > 0) {
		log_warning("revision waits to be confirmed",
			    log_number("revision", control->waiting.revision),
			    log_number("secondsLeft", (uint64_t)left / 1000));
		return confirmation_wait(control, left) < 0
			       ? error_set(err, "no memory for a timer")
			       : 0;
	}
	result = way_back(control, &transaction, err);
	if (result == 0)
		result = store_back(control, &transaction, err);
	if (result == 0) {
		object_set_free(control->objects);
		control->objects = transaction.next;
		transaction.next = NULL;
	}
	transaction_clear(&transaction);
	return result;
}

// Calls that change desired state: Apply, Delete, Rollback, Confirm; and History, what was changed.

#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "control/change_log.h"
#include "control/control.h"
#include "control/upgrade/upgrade.h"
#include "model/kind.h"
#include "model/transaction.h"

#define COMMENT_MAX	    500
#define CONFIRM_SECONDS_MAX 86400

// A change on its way from the call to the answer.
struct order {
	struct control *control;
	struct rpc_call *call;
	bool dry_run;
	bool details;
	const uint64_t *revision; // the state must be this one; NULL: whichever
	struct store_record record;
	struct problems problems;
	struct transaction transaction;
	struct tables *tables; // compiled, of a transaction that changes something
};

// It stands in a line of the log and of tables: no control characters, also not those that UTF-8
// has of two bytes (U+0080 to U+009F), which terminals obey as well.
static bool comment_is_line(const char *comment)
{
	if (strlen(comment) > COMMENT_MAX)
		return false;
	while (*comment) {
		const unsigned char *bytes = (const unsigned char *)comment;
		size_t length = utf8_length(comment);

		if (length == 0 || bytes[0] < 0x20 || bytes[0] == 0x7f ||
		    (bytes[0] == 0xc2 && bytes[1] < 0xa0))
			return false;
		comment += length;
	}
	return true;
}

// Is the order one that can be had now? False: the call was answered.
static bool order_begin(struct order *order)
{
	const struct store_waiting *waiting = &order->control->waiting;
	const struct store_record *record = &order->record;

	order->record.user = rpc_call_peer(order->call)->name;
	if (!comment_is_line(record->comment)) {
		rpc_call_fail(order->call, RPC_INVALID_ARGUMENT, NULL,
			      "the comment must be one line of at most %d bytes", COMMENT_MAX);
		return false;
	}
	if (record->confirm_seconds > CONFIRM_SECONDS_MAX) {
		rpc_call_fail(order->call, RPC_INVALID_ARGUMENT, NULL,
			      "%u seconds for the confirmation are more than a day (%d s)",
			      record->confirm_seconds, CONFIRM_SECONDS_MAX);
		return false;
	}
	if (order->dry_run && order->control->impact_count >= IMPACTS_MAX) {
		rpc_call_fail(order->call, RPC_RESOURCE_EXHAUSTED, NULL,
			      "%d other changes are being tried at the moment", IMPACTS_MAX);
		return false;
	}
	if (order->revision && *order->revision != order->control->revision) {
		rpc_call_fail(order->call, RPC_ABORTED, NULL,
			      "nothing was changed: the state is revision %llu, not %llu",
			      (unsigned long long)order->control->revision,
			      (unsigned long long)*order->revision);
		return false;
	}
	if (upgrade_is_begun(order->control)) {
		rpc_call_fail(order->call, RPC_UNAVAILABLE, NULL,
			      "nothing was changed: an upgrade is under way");
		return false;
	}
	if (waiting->revision && !order->dry_run && !record->reverts) {
		rpc_call_fail(order->call, RPC_FAILED_PRECONDITION, NULL,
			      "nothing was changed: revision %llu waits to be confirmed, or "
			      "rolled back to %llu",
			      (unsigned long long)waiting->revision,
			      (unsigned long long)waiting->revision - 1);
		return false;
	}
	return true;
}

int change_store(struct control *control, const struct transaction *transaction,
		 struct store_record *record, const char *from, struct error *err)
{
	record->time = confirmation_now();
	if (control_store_commit(control, transaction, record, err) < 0)
		return -1;
	change_log(transaction, record, from);
	return 0;
}

void change_put_in_force(struct control *control, struct transaction *transaction,
			 struct tables *tables)
{
	struct object_set *old = control->objects;

	control->objects = transaction->next;
	transaction->next = NULL;
	control_reconcile(control, tables);
	watch_objects(control, old);
	object_set_free(old);
}

// Compiles and stores the transaction. False: the call was answered, and nothing has changed.
static bool order_commit(struct order *order)
{
	struct control *control = order->control;
	struct store_record *record = &order->record;
	struct error err;

	if (order->transaction.effective == 0)
		return true;
	if (control_compile(control, order->transaction.next, &order->tables, &err) < 0) {
		compile_numbers_abandon(&control->numbers);
		rpc_call_fail(order->call, RPC_RESOURCE_EXHAUSTED, NULL, "%s", err.text);
		return false;
	}
	if (order->dry_run) {
		compile_numbers_abandon(&control->numbers);
		return true;
	}
	if (change_store(control, &order->transaction, record, rpc_call_peer(order->call)->from,
			 &err) < 0) {
		tables_free(order->tables);
		order->tables = NULL;
		compile_numbers_abandon(&control->numbers);
		rpc_call_fail(order->call, RPC_UNAVAILABLE, NULL, "nothing was changed: %s",
			      err.text);
		return false;
	}
	if (record->reverts)
		control->waiting = (struct store_waiting){0};
	if (record->confirm_seconds) {
		control->waiting = (struct store_waiting){
			.revision = record->revision,
			.deadline = record->time + (int64_t)record->confirm_seconds * 1000,
			.seconds = record->confirm_seconds,
		};
		if (confirmation_wait(control, (int64_t)record->confirm_seconds * 1000) < 0)
			log_error("no memory for a timer: the revision reverts with the next start",
				  log_number("revision", record->revision));
	}
	return true;
}

// The answer, which is taken over: after it is in force, or after what it would do is known.
static void order_answer(struct order *order, ProtobufCMessage *response,
			 Sluice__V1__Impact **impact)
{
	struct tables *tables = order->tables;

	order->tables = NULL;
	if (tables && order->dry_run) {
		impact_begin(order->control, tables, order->call, response, impact);
		return;
	}
	if (tables)
		change_put_in_force(order->control, &order->transaction, tables);
	rpc_call_reply(order->call, response);
	protobuf_c_message_free_unpacked(response, NULL);
}

// From a transaction that was made to the answer.
static void order_finish(struct order *order, enum transaction_result result)
{
	if (result != TRANSACTION_OK) {
		refuse(order->call, RPC_INVALID_ARGUMENT, &order->problems, &order->transaction);
	} else if (order_commit(order)) {
		Sluice__V1__ApplyResponse *response = transaction_response(
			&order->transaction, order->control->revision, order->details);

		order_answer(order, &response->base, &response->impact);
	}
}

static void order_end(struct order *order)
{
	transaction_clear(&order->transaction);
	problems_clear(&order->problems);
}

void change_apply(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	Sluice__V1__ApplyRequest *request = (Sluice__V1__ApplyRequest *)message;
	struct order order = {
		.control = context,
		.call = call,
		.dry_run = request->dry_run,
		.details = request->details,
		.revision = request->has_revision_case ? &request->revision : NULL,
		.record = {.action = "apply",
			   .comment = request->comment,
			   .confirm_seconds = request->confirm_seconds},
	};

	if (!order_begin(&order))
		return;
	order_finish(&order, transaction_apply(order.control->objects, request, &order.transaction,
					       &order.problems));
	order_end(&order);
}

void change_rollback(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__RollbackRequest *request = (const Sluice__V1__RollbackRequest *)message;
	struct control *control = context;
	struct order order = {
		.control = control,
		.call = call,
		.dry_run = request->dry_run,
		.details = request->details,
		.revision = request->has_revision_case ? &request->revision : NULL,
		.record = {.action = "rollback",
			   .back_to = request->to,
			   .comment = request->comment,
			   .confirm_seconds = request->confirm_seconds,
			   // Of a change that waits, this is the end of the wait.
			   .reverts = control->waiting.revision &&
				      request->to == control->waiting.revision - 1},
	};
	struct object_set *next;
	uint64_t oldest;
	struct error err;

	if (!order_begin(&order))
		return;
	if (!control_store_opened(control, &err) ||
	    store_restore(control->store, control->objects, request->to, &next, &oldest, &err) <
		    0) {
		rpc_call_fail(call, RPC_UNAVAILABLE, NULL, "nothing was changed: %s", err.text);
	} else if (!next || request->to > control->revision) {
		object_set_free(next);
		rpc_call_fail(call, RPC_OUT_OF_RANGE, NULL,
			      "no revision %llu to go back to: the history has %llu to %llu",
			      (unsigned long long)request->to, (unsigned long long)oldest,
			      (unsigned long long)control->revision);
	} else {
		order_finish(&order, transaction_replace(control->objects, next, &order.transaction,
							 &order.problems));
		order_end(&order);
	}
}

static bool kinds_known(const Sluice__V1__DeleteRequest *request)
{
	for (size_t i = 0; i < request->n_objects; i++)
		if (kind_find(request->objects[i]->kind) == SLUICE__V1__OBJECT__KIND__NOT_SET)
			return false;
	return request->n_objects || kind_find(request->kind) != SLUICE__V1__OBJECT__KIND__NOT_SET;
}

void change_delete(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__DeleteRequest *request = (const Sluice__V1__DeleteRequest *)message;
	struct order order = {
		.control = context,
		.call = call,
		.dry_run = request->dry_run,
		.revision = request->has_revision_case ? &request->revision : NULL,
		.record = {.action = "delete",
			   .comment = request->comment,
			   .confirm_seconds = request->confirm_seconds},
	};

	if (!order_begin(&order))
		return;
	switch (transaction_delete(order.control->objects, request, &order.transaction,
				   &order.problems)) {
	case TRANSACTION_NOT_FOUND:
		refuse(call, RPC_NOT_FOUND, &order.problems, &order.transaction);
		break;
	case TRANSACTION_INVALID:
		refuse(call, kinds_known(request) ? RPC_FAILED_PRECONDITION : RPC_INVALID_ARGUMENT,
		       &order.problems, &order.transaction);
		break;
	case TRANSACTION_OK:
		if (order_commit(&order)) {
			Sluice__V1__ApplyResponse *changes = transaction_response(
				&order.transaction, order.control->revision, false);
			Sluice__V1__DeleteResponse *response = malloc(sizeof(*response));

			if (!response)
				abort();
			sluice__v1__delete_response__init(response);
			response->revision = changes->revision;
			response->changes = changes->changes;
			response->n_changes = changes->n_changes;
			free(changes);
			order_answer(&order, &response->base, &response->impact);
		}
		break;
	}
	order_end(&order);
}

void change_confirm(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__ConfirmRequest *request = (const Sluice__V1__ConfirmRequest *)message;
	Sluice__V1__ConfirmResponse response;
	struct control *control = context;
	uint64_t revision = control->waiting.revision;
	struct error err;

	if (!revision) {
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL,
			      "no change waits to be confirmed");
		return;
	}
	if (request->has_revision_case && request->revision != revision) {
		rpc_call_fail(call, RPC_ABORTED, NULL,
			      "revision %llu waits to be confirmed, not %llu",
			      (unsigned long long)revision, (unsigned long long)request->revision);
		return;
	}
	if (!control_store_opened(control, &err) || store_confirm(control->store, &err) < 0) {
		rpc_call_fail(call, RPC_UNAVAILABLE, NULL, "it is not confirmed: %s", err.text);
		return;
	}
	control->waiting = (struct store_waiting){0};
	confirmation_end(control);
	log_info("revision confirmed", log_number("revision", revision),
		 log_text("user", rpc_call_peer(call)->name),
		 log_text("from", rpc_call_peer(call)->from));
	sluice__v1__confirm_response__init(&response);
	response.revision = revision;
	rpc_call_reply(call, &response.base);
}

void change_history(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__HistoryRequest *request = (const Sluice__V1__HistoryRequest *)message;
	struct control *control = context;
	Sluice__V1__HistoryResponse *response;
	struct error err;

	if (!control_store_opened(control, &err) ||
	    store_history(control->store, request->revision, request->limit, &response, &err) < 0) {
		rpc_call_fail(call, RPC_UNAVAILABLE, NULL, "%s", err.text);
		return;
	}
	if (request->revision && response->n_entries == 0)
		rpc_call_fail(call, RPC_NOT_FOUND, NULL,
			      "the history has no change %llu: it has %llu to %llu",
			      (unsigned long long)request->revision,
			      (unsigned long long)response->oldest + 1,
			      (unsigned long long)response->revision);
	else
		rpc_call_reply(call, &response->base);
	sluice__v1__history_response__free_unpacked(response, NULL);
}

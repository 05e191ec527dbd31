#include "control/change_log.h"

#include "base/log.h"
#include "model/kind.h"
#include "model/message_difference.h"
#include "model/object.h"

// More objects than anybody reads lines of, and the control thread should write while others wait.
#define LINES_MAX 100

// What is the same in all lines of a change.
#define RECORD_FIELDS(record, from)                                                            \
	log_number("revision", (record)->revision), log_text("action", (record)->action),      \
		log_some("to", (record)->back_to), log_text("user", (record)->user),           \
		log_text("from", from), log_some("confirmSeconds", (record)->confirm_seconds), \
		log_text("comment", (record)->comment)

// 0 is left out.
static struct log_field log_some(const char *key, uint64_t number)
{
	return number ? log_number(key, number) : log_text(key, "");
}

static const char *const object_messages[] = {
	[SLUICE__V1__ACTION__ACTION_CREATED] = "object created",
	[SLUICE__V1__ACTION__ACTION_CHANGED] = "object changed",
	[SLUICE__V1__ACTION__ACTION_DELETED] = "object deleted",
};

static void log_object(const struct change *change, const struct store_record *record,
		       const char *from)
{
	char fields[300] = "";

	if (change->action == SLUICE__V1__ACTION__ACTION_CHANGED)
		message_difference(object_message(change->before), object_message(change->object),
				   fields, sizeof(fields));
	log_info(object_messages[change->action], log_text("kind", kind_name(change->kind)),
		 log_text("name", change->name), log_text("fields", fields),
		 RECORD_FIELDS(record, from));
}

static void log_kind(Sluice__V1__Object__KindCase kind, const struct transaction *transaction,
		     const struct store_record *record, const char *from)
{
	uint64_t counts[SLUICE__V1__ACTION__ACTION_DELETED + 1] = {0};
	size_t effective = 0;

	for (size_t i = 0; i < transaction->change_count; i++) {
		const struct change *change = &transaction->changes[i];

		if (change->kind != kind || change->action == SLUICE__V1__ACTION__ACTION_UNCHANGED)
			continue;
		counts[change->action]++;
		effective++;
	}
	if (effective)
		log_info("objects changed", log_text("kind", kind_name(kind)),
			 log_number("created", counts[SLUICE__V1__ACTION__ACTION_CREATED]),
			 log_number("changed", counts[SLUICE__V1__ACTION__ACTION_CHANGED]),
			 log_number("deleted", counts[SLUICE__V1__ACTION__ACTION_DELETED]),
			 RECORD_FIELDS(record, from));
}

void change_log(const struct transaction *transaction, const struct store_record *record,
		const char *from)
{
	if (transaction->effective > LINES_MAX) {
		for (size_t k = 0; kind_at(k) != SLUICE__V1__OBJECT__KIND__NOT_SET; k++)
			log_kind(kind_at(k), transaction, record, from);
		return;
	}
	for (size_t i = 0; i < transaction->change_count; i++)
		if (transaction->changes[i].action != SLUICE__V1__ACTION__ACTION_UNCHANGED)
			log_object(&transaction->changes[i], record, from);
}

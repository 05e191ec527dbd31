// sluice history: who changed what and when.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/changes.h"
#include "cli/difference.h"
#include "cli/table.h"

static const char *const columns[] = {">REVISION", "TIME",     "USER",	       "ACTION", ">CREATED",
				      ">CHANGED",  ">DELETED", "CONFIRMATION", "COMMENT"};

static void action_text(const Sluice__V1__HistoryEntry *entry, char *text, size_t size)
{
	if (strcmp(entry->action, "rollback") == 0 || strcmp(entry->action, "revert") == 0)
		snprintf(text, size, "%s to %" PRIu64, entry->action, entry->back_to);
	else
		snprintf(text, size, "%s", entry->action);
}

static void entries_print(const Sluice__V1__HistoryResponse *response)
{
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; i < response->n_entries; i++) {
		const Sluice__V1__HistoryEntry *entry = response->entries[i];
		char revision[24], created[16], changed[16], deleted[16], action[64],
			confirmation[80];
		const char *cells[] = {revision, entry->time, entry->user,  action,	   created,
				       changed,	 deleted,     confirmation, entry->comment};

		snprintf(revision, sizeof(revision), "%" PRIu64, entry->revision);
		snprintf(created, sizeof(created), "%" PRIu32, entry->created);
		snprintf(changed, sizeof(changed), "%" PRIu32, entry->changed);
		snprintf(deleted, sizeof(deleted), "%" PRIu32, entry->deleted);
		snprintf(confirmation, sizeof(confirmation), "%s%s%s",
			 *entry->confirmation ? entry->confirmation : "-",
			 *entry->reverts_at ? ", reverts " : "", entry->reverts_at);
		action_text(entry, action, sizeof(action));
		table_row(table, cells);
	}
	if (response->n_entries)
		table_print(table, true);
	table_free(table);
}

// One change, as diff would have shown it before.
static void entry_print(const Sluice__V1__HistoryEntry *entry)
{
	static const char *const words[] = {"unchanged", "created", "changed", "deleted"};
	char action[64];

	action_text(entry, action, sizeof(action));
	printf("revision %" PRIu64 ", %s by %s: %s\n", entry->revision, entry->time, entry->user,
	       action);
	if (*entry->comment)
		printf("comment: %s\n", entry->comment);
	if (*entry->confirmation)
		printf("confirmation: %s%s%s\n", entry->confirmation,
		       *entry->reverts_at ? ", reverts " : "", entry->reverts_at);
	for (size_t i = 0; i < entry->n_changes; i++) {
		const Sluice__V1__HistoryChange *change = entry->changes[i];

		printf("%s/%s was %s\n", change->kind, change->name, words[change->action & 3]);
		difference_print(change->before, change->after);
	}
}

static int history_run(const struct command *command, const struct invocation *invocation)
{
	const char *limit = option_get(&invocation->options, "limit");
	Sluice__V1__HistoryRequest request;
	Sluice__V1__HistoryResponse *response;
	struct rpc_status status;
	uint64_t number = 0;

	sluice__v1__history_request__init(&request);
	if (invocation->argument_count > 1)
		return usage_error(command, "history takes one REVISION or none");
	if (invocation->argument_count &&
	    (!revision_parse(invocation->arguments[0], &request.revision) || !request.revision))
		return usage_error(command, "'%s' is no revision", invocation->arguments[0]);
	if (limit && (!revision_parse(limit, &number) || !number || number > UINT32_MAX))
		return usage_error(command, "--limit takes a number of changes, not '%s'", limit);
	request.limit = (uint32_t)number;
	response =
		(Sluice__V1__HistoryResponse *)call(invocation, "History", &request.base, &status);
	if (!response) {
		status_failure(&status, NULL);
		rpc_status_clear(&status);
		return EXIT_FAILED;
	}
	if (invocation->output != OUTPUT_TABLE) {
		result_print(invocation, &response->base);
	} else if (request.revision && response->n_entries) {
		entry_print(response->entries[0]);
	} else {
		entries_print(response);
	}
	sluice__v1__history_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "limit", .argument = "N", .text = "only the newest N changes"},
	OPTION_OUTPUT,
	{0},
};

const struct command history_command = {
	.name = "history",
	.arguments = "[REVISION] [--limit N] [-o table|json|yaml]",
	.summary = "Shows who changed what and when, or one change line by line",
	.about = "The last 1000 changes are kept (fewer where they are very large). Times are "
		 "UTC.\n",
	.options = options,
	.examples = "  sluice history --limit 10\n"
		    "  sluice history 42\n"
		    "  sluice rollback 41\n",
	.run = history_run,
};

// sluice history: who changed what and when.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/changes.h"
#include "cli/difference.h"
#include "cli/table.h"
#include "model/transaction.h"

static void action_text(const Sluice__V1__HistoryEntry *entry, char *text, size_t size)
{
	if (strcmp(entry->action, "rollback") == 0 || strcmp(entry->action, "revert") == 0)
		snprintf(text, size, "%s to %" PRIu64, entry->action, entry->back_to);
	else
		snprintf(text, size, "%s", entry->action);
}

#define COLUMNS_MAX 10

static void confirmation_text(const Sluice__V1__HistoryEntry *entry, char *text, size_t size)
{
	snprintf(text, size, "%s%s%s", *entry->confirmation ? entry->confirmation : "-",
		 *entry->reverts_at ? ", reverts " : "", entry->reverts_at);
}

static size_t headings(const char *columns[COLUMNS_MAX], bool wide, bool confirmations)
{
	static const char *const first[] = {">REVISION", "TIME", "USER", "ACTION"};
	static const char *const counts[] = {">CREATED", ">CHANGED", ">DELETED"};
	size_t count = 0;

	for (size_t i = 0; i < 4; i++)
		columns[count++] = first[i];
	for (size_t i = 0; wide && i < 3; i++)
		columns[count++] = counts[i];
	if (confirmations)
		columns[count++] = "CONFIRMATION";
	columns[count++] = "WHAT";
	columns[count++] = "COMMENT";
	return count;
}

static void entries_print(const Sluice__V1__HistoryResponse *response, bool wide)
{
	const char *columns[COLUMNS_MAX];
	bool confirmations = wide;
	struct table *table;

	// A column for what is rare, where there is some.
	for (size_t i = 0; i < response->n_entries && !confirmations; i++)
		confirmations = *response->entries[i]->confirmation;
	table = table_new(columns, headings(columns, wide, confirmations));
	for (size_t i = 0; i < response->n_entries; i++) {
		const Sluice__V1__HistoryEntry *entry = response->entries[i];
		const uint32_t counts[] = {entry->created, entry->changed, entry->deleted};
		char revision[24], numbers[3][16], action[64], confirmation[80];
		const char *cells[COLUMNS_MAX] = {revision, entry->time, entry->user, action};
		size_t count = 4;

		snprintf(revision, sizeof(revision), "%" PRIu64, entry->revision);
		action_text(entry, action, sizeof(action));
		for (size_t n = 0; wide && n < 3; n++) {
			snprintf(numbers[n], sizeof(numbers[n]), "%" PRIu32, counts[n]);
			cells[count++] = numbers[n];
		}
		confirmation_text(entry, confirmation, sizeof(confirmation));
		if (confirmations)
			cells[count++] = confirmation;
		cells[count++] = entry->summary;
		cells[count++] = entry->comment;
		table_row(table, cells);
	}
	if (response->n_entries)
		table_print(table, true);
	table_free(table);
}

// One change, as diff would have shown it before.
static void entry_print(const Sluice__V1__HistoryEntry *entry)
{
	char action[64], confirmation[80];

	action_text(entry, action, sizeof(action));
	printf("revision %" PRIu64 ", %s by %s: %s\n", entry->revision, entry->time, entry->user,
	       action);
	if (*entry->comment)
		printf("comment: %s\n", entry->comment);
	confirmation_text(entry, confirmation, sizeof(confirmation));
	if (*entry->confirmation)
		printf("confirmation: %s\n", confirmation);
	for (size_t i = 0; i < entry->n_changes; i++) {
		const Sluice__V1__HistoryChange *change = entry->changes[i];

		printf("%s/%s was %s\n", change->kind, change->name, action_name(change->action));
		difference_print(change->before, change->after);
	}
}

static int history_run(const struct command *command, const struct invocation *invocation)
{
	const char *limit = option_get(&invocation->options, "limit");
	Sluice__V1__HistoryRequest request;
	Sluice__V1__HistoryResponse *response;
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
		(Sluice__V1__HistoryResponse *)call_reported(invocation, "History", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_JSON || invocation->output == OUTPUT_YAML) {
		result_print(invocation, &response->base);
	} else if (request.revision && response->n_entries) {
		entry_print(response->entries[0]);
	} else {
		entries_print(response, invocation->output == OUTPUT_WIDE);
	}
	sluice__v1__history_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "limit", .argument = "N", .text = "only the newest N changes"},
	OPTION_OUTPUT_WIDE,
	{0},
};

const struct command history_command = {
	.name = "history",
	.arguments = "[REVISION] [--limit N] [-o table|wide|json|yaml]",
	.summary = "Shows who changed what and when, or one change line by line",
	.about = "The last 1000 changes are kept (fewer where they are very large). Times are "
		 "UTC. USER is who called: the user at the other end of the socket, or the "
		 "certificate's subject.\n",
	.options = options,
	.examples = "  sluice history --limit 10\n"
		    "  sluice history 42\n"
		    "  sluice rollback 41\n",
	.run = history_run,
};

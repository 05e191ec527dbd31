#include "cli/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/transaction.h"

bool revision_parse(const char *text, uint64_t *revision)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 18 || text[digits])
		return false;
	*revision = strtoull(text, NULL, 10);
	return true;
}

bool revision_option(const struct command *command, const struct invocation *invocation,
		     uint64_t *revision, bool *given)
{
	const char *text = option_get(&invocation->options, "revision");

	*given = text;
	if (!text || revision_parse(text, revision))
		return true;
	usage_error(command, "--revision takes a number as history shows, not '%s'", text);
	return false;
}

bool time_option(const struct command *command, const struct invocation *invocation,
		 const char *name, uint32_t *seconds)
{
	const char *text = option_get(&invocation->options, name);
	unsigned long number;
	const char *unit;

	*seconds = 0;
	if (!text)
		return true;
	unit = text + strspn(text, "0123456789");
	number = strtoul(text, NULL, 10);
	if (strcmp(unit, "m") == 0)
		number *= 60;
	else if (strcmp(unit, "h") == 0)
		number *= 3600;
	else if (*unit && strcmp(unit, "s") != 0)
		number = 0;
	if (unit == text || unit - text > 8 || number == 0 || number > 86400) {
		usage_error(command, "--%s takes a time of up to a day as 60s, 10m or 1h, not '%s'",
			    name, text);
		return false;
	}
	*seconds = (uint32_t)number;
	return true;
}

static void end_print(const char *address, uint32_t port)
{
	bool v6 = strchr(address, ':');

	printf("%s%s%s:%" PRIu32, v6 ? "[" : "", address, v6 ? "]" : "", port);
}

static void connections_print(const Sluice__V1__Impact *impact, bool ends)
{
	uint64_t left = ends ? impact->ending : impact->changing;

	for (size_t i = 0; i < impact->n_first; i++) {
		const Sluice__V1__ImpactConnection *one = impact->first[i];

		if (one->ends != ends)
			continue;
		printf("  %s ", one->protocol);
		end_print(one->source, one->source_port);
		fputs(" > ", stdout);
		end_print(one->destination, one->destination_port);
		printf(" in %s: ", one->network);
		if (ends)
			puts(one->reason);
		else if (strcmp(one->rule, one->rule_then) != 0)
			printf("%s, then %s\n", *one->rule ? one->rule : "not filtered",
			       *one->rule_then ? one->rule_then : "not filtered");
		else
			puts("another way");
		left--;
	}
	if (left)
		printf("  and %" PRIu64 " more\n", left);
}

static const char *connections_word(uint64_t count)
{
	return count == 1 ? "connection" : "connections";
}

void impact_print(const Sluice__V1__Impact *impact)
{
	if (!impact || (impact->connections == 0 && !impact->incomplete))
		return;
	if (impact->ending == 0 && impact->changing == 0)
		printf("of %" PRIu64 " live %s none would end or be judged otherwise\n",
		       impact->connections, connections_word(impact->connections));
	if (impact->ending) {
		printf("%" PRIu64 " of %" PRIu64 " live %s would end:\n", impact->ending,
		       impact->connections, connections_word(impact->connections));
		connections_print(impact, true);
	}
	if (impact->changing) {
		printf("%" PRIu64 " of %" PRIu64 " live %s would be judged otherwise and go on:\n",
		       impact->changing, impact->connections,
		       connections_word(impact->connections));
		connections_print(impact, false);
	}
	if (impact->unclear)
		printf("of %" PRIu64 " live %s nothing can be said\n", impact->unclear,
		       connections_word(impact->unclear));
	if (impact->incomplete)
		puts("not all live connections were looked at");
}

void changes_print(const struct invocation *invocation, const ProtobufCMessage *message,
		   Sluice__V1__Change *const *changes, size_t count,
		   const Sluice__V1__Impact *impact, bool dry_run)
{
	size_t unchanged = 0;

	if (invocation->output != OUTPUT_TABLE) {
		result_print(invocation, message);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (changes[i]->action == SLUICE__V1__ACTION__ACTION_UNCHANGED)
			unchanged++;
		else
			printf("%s/%s %s%s\n", changes[i]->kind, changes[i]->name,
			       action_name(changes[i]->action), dry_run ? " (dry run)" : "");
	}
	if (unchanged)
		printf("%zu unchanged\n", unchanged);
	impact_print(impact);
}

void confirm_print(uint64_t revision, uint32_t seconds)
{
	printf("revision %" PRIu64 " reverts by itself in %" PRIu32
	       " s unless it is confirmed: sluice confirm\n",
	       revision, seconds);
}

// sluice apply: makes objects as the files describe them.

#include <stdio.h>

#include "cli/command.h"

static int apply_run(const struct command *command, const struct invocation *invocation)
{
	static const char *const words[] = {"unchanged", "created", "changed", "deleted"};
	bool dry_run = option_get(&invocation->options, "dry-run");
	Sluice__V1__ApplyResponse *response;
	struct document *document;
	size_t unchanged = 0;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s', files are given with -f",
				   invocation->arguments[0]);
	if (!option_count(&invocation->options, "file"))
		return usage_error(command, "-f FILE is missing");
	response = files_apply(invocation, dry_run, &document);
	document_free(document);
	if (!response)
		return EXIT_FAILED;
	for (size_t i = 0; i < response->n_changes; i++) {
		const Sluice__V1__Change *change = response->changes[i];

		if (change->action == SLUICE__V1__ACTION__ACTION_UNCHANGED)
			unchanged++;
		else
			printf("%s/%s %s%s\n", change->kind, change->name,
			       (unsigned)change->action < 4 ? words[change->action] : "changed",
			       dry_run ? " (dry run)" : "");
	}
	if (unchanged)
		printf("%zu unchanged\n", unchanged);
	sluice__v1__apply_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	OPTION_FILE,
	{.name = "dry-run", .text = "validate and say what would change, but change nothing"},
	{0},
};

const struct command apply_command = {
	.name = "apply",
	.arguments = "-f FILE|- [-f FILE ...] [--dry-run]",
	.summary = "Creates and changes objects as YAML or JSON files describe them",
	.about = "All files together are applied whole or not at all. Objects that they don't name "
		 "stay as they are.\n",
	.options = options,
	.examples =
		"  sluice apply -f networks.yaml -f ports.yaml\n"
		"  sluice get ports -o yaml | sed s/blue/green/ | sluice apply -f - --dry-run\n",
	.run = apply_run,
};

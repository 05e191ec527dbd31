// sluice audit: is what is in force what the objects say?

#include <inttypes.h>
#include <stdio.h>

#include "cli/changes.h"
#include "cli/table.h"

static void table_show(const Sluice__V1__AuditResponse *response)
{
	static const char *const headings[] = {"AREA", "WHAT", "REPAIRED"};
	struct table *table = table_new(headings, 3);

	for (size_t i = 0; i < response->n_differences; i++) {
		const Sluice__V1__AuditDifference *difference = response->differences[i];
		const char *cells[] = {difference->area, difference->text,
				       difference->repaired ? "yes" : "no"};

		table_row(table, cells);
	}
	if (response->n_differences)
		table_print(table, true);
	table_free(table);
	if (response->total == 0)
		printf("all that is in force is as the objects of revision %" PRIu64 " say\n",
		       response->revision);
	else if (response->total > response->n_differences)
		printf("and %" PRIu64 " more\n", response->total - response->n_differences);
}

static int audit_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__AuditRequest request;
	Sluice__V1__AuditResponse *response;
	int result;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	sluice__v1__audit_request__init(&request);
	response = (Sluice__V1__AuditResponse *)call_reported(invocation, "Audit", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		table_show(response);
	else
		result_print(invocation, &response->base);
	result = response->total ? EXIT_FAILED : EXIT_OK;
	sluice__v1__audit_response__free_unpacked(response, NULL);
	return result;
}

static const struct option_spec options[] = {OPTION_OUTPUT, {0}};

const struct command audit_command = {
	.name = "audit",
	.arguments = "[-o table|json|yaml]",
	.summary = "Holds what is in force against the objects, and puts right what differs",
	.about = "The workers' tables are compiled anew and compared, and so are the devices that "
		 "are open,\n"
		 "and the connections that the kernel forwards.\n"
		 "sluiced does it by itself each minute; the metric "
		 "sluice_audit_differences_total counts\n"
		 "what was found, and the log says it. Exit status 1 where anything differed, "
		 "also if it was\n"
		 "put right: that is a defect that should be reported.\n",
	.options = options,
	.examples = "  sluice audit\n"
		    "  sluice audit -o json | jq -r '.differences[].text'\n",
	.run = audit_run,
};

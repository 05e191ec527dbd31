// sluice doctor: is this machine as it should be, and what is to be done?

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor/doctor.h"
#include "cli/terminal.h"
#include "model/memory.h"

static const char *const grades[] = {"ok", "warning", "problem"};

void finding_add(struct doctor *doctor, const char *check, enum finding_grade grade,
		 const char *advice, const char *format, ...)
{
	struct finding finding = {.check = check, .grade = grade, .advice = advice};
	va_list args;

	va_start(args, format);
	if (vasprintf(&finding.text, format, args) < 0)
		finding.text = memory_required(NULL);
	va_end(args);
	doctor->findings =
		memory_resize(doctor->findings, doctor->count + 1, sizeof(*doctor->findings));
	doctor->findings[doctor->count++] = finding;
}

static void findings_print(const struct doctor *doctor)
{
	for (size_t i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];
		const char *grade = grades[finding->grade];

		printf("%s%-7s%s  %-14s  ", style_begin(stdout, style_of_state(grade)), grade,
		       style_end(stdout), finding->check);
		text_wrap(stdout, finding->text, 25);
		if (*finding->advice) {
			printf("%25s-> ", "");
			text_wrap(stdout, finding->advice, 28);
		}
	}
}

static void findings_print_data(const struct doctor *doctor, enum output output)
{
	const bool json = output == OUTPUT_JSON;

	if (json)
		puts("[");
	for (size_t i = 0; i < doctor->count; i++) {
		const struct finding *finding = &doctor->findings[i];
		const char *const values[][2] = {
			{"check", finding->check},
			{"result", grades[finding->grade]},
			{"text", finding->text},
			{"advice", finding->advice},
		};

		puts(json ? "  {" : "-");
		for (size_t v = 0; v < 4; v++) {
			printf(json ? "    \"%s\": " : "  %s: ", values[v][0]);
			string_print(stdout, values[v][1], json ? PRINT_JSON : PRINT_YAML);
			puts(json && v < 3 ? "," : "");
		}
		if (json)
			puts(i + 1 < doctor->count ? "  }," : "  }");
	}
	if (json)
		puts("]");
}

static int doctor_run(const struct command *command, const struct invocation *invocation)
{
	struct doctor doctor = {.invocation = invocation};
	int result = EXIT_OK;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	doctor_api(&doctor);
	doctor_store(&doctor);
	doctor_memory(&doctor);
	doctor_workers(&doctor);
	doctor_kernel(&doctor);
	doctor_clock(&doctor);
	doctor_ports(&doctor);
	doctor_uplink(&doctor);
	doctor_mtu(&doctor);
	doctor_reachability(&doctor);
	if (invocation->output == OUTPUT_TABLE)
		findings_print(&doctor);
	else
		findings_print_data(&doctor, invocation->output);
	for (size_t i = 0; i < doctor.count; i++) {
		if (doctor.findings[i].grade == FINDING_PROBLEM)
			result = EXIT_FAILED;
		free(doctor.findings[i].text);
	}
	free(doctor.findings);
	doctor_api_free(&doctor);
	return result;
}

static const struct option_spec options[] = {
	OPTION_OUTPUT,
	{0},
};

const struct command doctor_command = {
	.name = "doctor",
	.arguments = "[-o table|json|yaml]",
	.summary = "Checks the node and its machine, and says what to do",
	.about = "Is sluiced there, and can it store? Has it huge pages, and its workers CPUs of "
		 "their own? What can the kernel do? Do tunnel packets fit into the underlay, and "
		 "do the other nodes answer there by ARP or ND? Is the clock right?\n"
		 "\n"
		 "It changes nothing. As root, on the node itself, it sees all. The exit status is "
		 "1 "
		 "where there is a problem; warnings leave it at 0.\n",
	.options = options,
	.examples = "  sluice doctor\n"
		    "  sluice doctor -o json | jq '.[] | select(.result != \"ok\")'\n",
	.run = doctor_run,
};

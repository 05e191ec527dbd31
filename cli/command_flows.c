// sluice flows: shows live connections.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

// Rows that get common column widths; more are printed in further blocks, so that memory stays
// bounded.
#define BLOCK 20000

struct printing {
	enum output output;
	size_t count;
	struct table *table;
	bool headings;
};

static const char *const columns[] = {"NETWORK",  "PROTOCOL", "SOURCE", "DESTINATION", "STATE",
				      ">PACKETS", ">BYTES",   ">AGE S", "RULE"};

static void endpoint(char *text, size_t size, const char *address, uint32_t port)
{
	bool v6 = strchr(address, ':');

	snprintf(text, size, "%s%s%s:%" PRIu32, v6 ? "[" : "", address, v6 ? "]" : "", port);
}

static void flow_row(struct printing *printing, const Sluice__V1__Flow *flow)
{
	char source[128], destination[128], packets[24], bytes[24], age[16];
	const char *cells[] = {flow->network, flow->protocol, source, destination, flow->state,
			       packets,	      bytes,	      age,    flow->rule};

	endpoint(source, sizeof(source), flow->source, flow->source_port);
	endpoint(destination, sizeof(destination), flow->destination, flow->destination_port);
	snprintf(packets, sizeof(packets), "%" PRIu64, flow->packets);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, flow->bytes);
	snprintf(age, sizeof(age), "%" PRIu32, flow->age);
	table_row(printing->table, cells);
	if (table_rows(printing->table) == BLOCK) {
		table_print(printing->table, printing->headings);
		printing->headings = false;
	}
}

static int flow_take(void *context, const ProtobufCMessage *message)
{
	struct printing *printing = context;
	size_t number = printing->count++;

	if (printing->output == OUTPUT_TABLE) {
		flow_row(printing, (const Sluice__V1__Flow *)message);
	} else if (printing->output == OUTPUT_JSON) {
		fputs(number ? ",\n  " : "[\n  ", stdout);
		message_print(stdout, message, PRINT_JSON, PRINT_EMPTY, 1);
	} else {
		// The mapping is indented behind the dash.
		puts("-");
		message_print(stdout, message, PRINT_YAML, PRINT_EMPTY, 1);
	}
	// Nobody reads any more.
	return ferror(stdout) ? 1 : 0;
}

static int flows_run(const struct command *command, const struct invocation *invocation)
{
	struct printing printing = {.output = invocation->output, .headings = true};
	Sluice__V1__FlowsRequest request;
	struct rpc_client *client;
	struct rpc_status status;
	struct error err;
	int result;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	if (rpc_client_open(invocation->api, &client, &err) < 0)
		return failure("%s", err.text);
	sluice__v1__flows_request__init(&request);
	if (option_get(&invocation->options, "port"))
		request.port = (char *)(uintptr_t)option_get(&invocation->options, "port");
	printing.table = table_new(columns, sizeof(columns) / sizeof(*columns));
	result = rpc_client_stream(client, &sluice__v1__sluice__descriptor, "Flows", &request.base,
				   flow_take, &printing, &status);
	if (printing.output == OUTPUT_TABLE && table_rows(printing.table))
		table_print(printing.table, printing.headings);
	if (result == 0 && printing.output == OUTPUT_JSON)
		puts(printing.count ? "\n]" : "[]");
	if (result == 0 && printing.output == OUTPUT_YAML && !printing.count)
		puts("[]");
	if (result < 0)
		status_failure(&status, NULL);
	table_free(printing.table);
	rpc_status_clear(&status);
	rpc_client_close(client);
	return result < 0 ? EXIT_FAILED : EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "port",
	 .argument = "PORT",
	 .text = "only connections with this Port at one end",
	 .completion = "port"},
	OPTION_OUTPUT,
	{0},
};

const struct command flows_command = {
	.name = "flows",
	.arguments = "[--port PORT] [-o table|json|yaml]",
	.summary = "Shows the live connections of the node, and which rule let them in",
	.about = "Packets and bytes count both directions.\n",
	.options = options,
	.examples = "  sluice flows --port web-1\n"
		    "  sluice flows -o json | jq 'map(.bytes) | add'\n",
	.run = flows_run,
};

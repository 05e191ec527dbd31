// sluice flows: shows live connections, once or as they come and go.

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

// Rows that get common column widths; more are printed in further blocks, so that memory stays
// bounded.
#define BLOCK 20000

#define COLUMNS_MAX 16

struct printing {
	enum output output;
	bool wide, follow;
	size_t count;
	struct table *table;
	bool headings;
	const Sluice__V1__FlowsRequest *request;
};

// `width` is for --follow, where rows are printed before all are known.
struct column {
	const char *name;
	int width;
	bool follow_only, wide_only;
};

static const struct column columns[] = {
	{"EVENT", 7, .follow_only = true},
	{"NETWORK", 10},
	{"PROTOCOL", 8},
	{"SOURCE", 22},
	{"DESTINATION", 22},
	{"STATE", 13},
	{">PACKETS", 9},
	{">BYTES", 11},
	{">AGE S", 6},
	{">REPLY PACKETS", 13, .wide_only = true},
	{">REPLY BYTES", 11, .wide_only = true},
	{">IDLE S", 6, .wide_only = true},
	{"FROM", 16, .wide_only = true},
	{"TO", 16, .wide_only = true},
	{"OFFLOADED", 9, .wide_only = true},
	{"TRANSLATED SOURCE", 22, .wide_only = true},
	{"TRANSLATED DESTINATION", 22, .wide_only = true},
	{"RULE", 0},
};

#define COLUMN_COUNT (sizeof(columns) / sizeof(*columns))

static bool is_shown(const struct printing *printing, const struct column *column)
{
	return (printing->follow || !column->follow_only) && (printing->wide || !column->wide_only);
}

static void endpoint(char *text, size_t size, const char *address, uint32_t port)
{
	bool v6 = strchr(address, ':');

	snprintf(text, size, "%s%s%s:%" PRIu32, v6 ? "[" : "", address, v6 ? "]" : "", port);
}

static void row_print(const struct printing *printing, const char *const *cells)
{
	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		const struct column *column = &columns[i];
		bool right = *column->name == '>';
		const char *text = *cells[i] ? cells[i] : "-";

		if (is_shown(printing, column))
			printf("%*s%s", right ? column->width : -column->width, text,
			       i + 1 < COLUMN_COUNT ? "  " : "\n");
	}
}

static void flow_row(struct printing *printing, const Sluice__V1__Flow *flow)
{
	char source[128], destination[128], packets[24], bytes[24], age[16];
	char reply_packets[24], reply_bytes[24], idle[16];
	char translated_source[128] = "", translated_destination[128] = "";
	const char *cells[COLUMN_COUNT] = {
		flow->event,
		flow->network,
		flow->protocol,
		source,
		destination,
		flow->state,
		packets,
		bytes,
		age,
		reply_packets,
		reply_bytes,
		idle,
		flow->source_at,
		flow->destination_at,
		flow->offloaded ? "yes" : "no",
		translated_source,
		translated_destination,
		flow->rule,
	};
	const char *shown[COLUMN_COUNT];
	size_t count = 0;

	endpoint(source, sizeof(source), flow->source, flow->source_port);
	endpoint(destination, sizeof(destination), flow->destination, flow->destination_port);
	if (*flow->translated_source) {
		endpoint(translated_source, sizeof(translated_source), flow->translated_source,
			 flow->translated_source_port);
		endpoint(translated_destination, sizeof(translated_destination),
			 flow->translated_destination, flow->translated_destination_port);
	}
	snprintf(packets, sizeof(packets), "%" PRIu64, flow->packets);
	snprintf(bytes, sizeof(bytes), "%" PRIu64, flow->bytes);
	snprintf(age, sizeof(age), "%" PRIu32, flow->age);
	snprintf(reply_packets, sizeof(reply_packets), "%" PRIu64, flow->reply_packets);
	snprintf(reply_bytes, sizeof(reply_bytes), "%" PRIu64, flow->reply_bytes);
	snprintf(idle, sizeof(idle), "%" PRIu32, flow->idle);
	if (printing->follow) {
		row_print(printing, cells);
		return;
	}
	for (size_t i = 0; i < COLUMN_COUNT; i++)
		if (is_shown(printing, &columns[i]))
			shown[count++] = cells[i];
	table_row(printing->table, shown);
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
	} else if (printing->output == OUTPUT_JSON && printing->follow) {
		// There is no end, so there is no list: object after object.
		message_print(stdout, message, PRINT_JSON, PRINT_EMPTY, 0);
		putchar('\n');
	} else if (printing->output == OUTPUT_JSON) {
		fputs(number ? ",\n  " : "[\n  ", stdout);
		message_print(stdout, message, PRINT_JSON, PRINT_EMPTY, 1);
	} else if (printing->follow) {
		puts("---");
		message_print(stdout, message, PRINT_YAML, PRINT_EMPTY, 0);
	} else {
		// The mapping is indented behind the dash.
		puts("-");
		message_print(stdout, message, PRINT_YAML, PRINT_EMPTY, 1);
	}
	if (printing->follow)
		fflush(stdout);
	// Nobody reads any more.
	return ferror(stdout) ? 1 : 0;
}

static void printing_begin(struct printing *printing)
{
	const char *names[COLUMN_COUNT];
	const char *headings[COLUMN_COUNT];
	size_t count = 0;

	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		headings[i] = columns[i].name + (*columns[i].name == '>');
		if (is_shown(printing, &columns[i]))
			names[count++] = columns[i].name;
	}
	printing->headings = true;
	printing->table = table_new(names, count);
	if (printing->follow && printing->output == OUTPUT_TABLE) {
		row_print(printing, headings);
		fflush(stdout);
	}
}

static char *text_of(const struct invocation *invocation, const char *name)
{
	const char *text = option_get(&invocation->options, name);

	return (char *)(uintptr_t)(text ? text : "");
}

static bool limit_read(const char *text, uint32_t *limit)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*limit = (uint32_t)value;
	return isdigit((unsigned char)*text) && !*end && value > 0 && value <= UINT32_MAX;
}

static int flows_run(const struct command *command, const struct invocation *invocation)
{
	struct printing printing = {
		.output = invocation->output == OUTPUT_WIDE ? OUTPUT_TABLE : invocation->output,
		.wide = invocation->output == OUTPUT_WIDE,
		.follow = option_get(&invocation->options, "follow"),
	};
	const char *limit = option_get(&invocation->options, "limit");
	Sluice__V1__FlowsRequest request;
	struct rpc_client *client;
	struct rpc_status status;
	struct error err;
	int result;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	sluice__v1__flows_request__init(&request);
	if (limit && !limit_read(limit, &request.limit))
		return usage_error(command, "--limit takes a number from 1 on, not '%s'", limit);
	request.port = text_of(invocation, "port");
	request.network = text_of(invocation, "network");
	request.protocol = text_of(invocation, "protocol");
	request.source = text_of(invocation, "source");
	request.source_port = text_of(invocation, "source-port");
	request.destination = text_of(invocation, "destination");
	request.destination_port = text_of(invocation, "destination-port");
	request.address = text_of(invocation, "address");
	request.state = text_of(invocation, "state");
	request.rule = text_of(invocation, "rule");
	if (option_get(&invocation->options, "offloaded")) {
		request.has_offloaded_case = SLUICE__V1__FLOWS_REQUEST__HAS_OFFLOADED_OFFLOADED;
		request.offloaded = true;
	}
	request.follow = printing.follow;
	if (client_open(invocation, &client, &err) < 0)
		return failure("%s", err.text);
	printing_begin(&printing);
	result = rpc_client_stream(client, &sluice__v1__sluice__descriptor, "Flows", &request.base,
				   flow_take, &printing, &status);
	if (table_rows(printing.table))
		table_print(printing.table, printing.headings);
	if (result == 0 && printing.output == OUTPUT_JSON && !printing.follow)
		puts(printing.count ? "\n]" : "[]");
	if (result == 0 && printing.output == OUTPUT_YAML && !printing.follow && !printing.count)
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
	{.name = "network",
	 .argument = "NETWORK",
	 .text = "opened in this Network",
	 .completion = "network"},
	{.name = "protocol",
	 .argument = "PROTOCOL",
	 .text = "tcp, udp, sctp, icmp, icmpv6 or a number",
	 .completion = "tcp udp sctp icmp icmpv6"},
	{.name = "source",
	 .argument = "ADDRESS",
	 .text = "opened from this address or prefix, as 10.1.0.11 or fd00:1::/64"},
	{.name = "source-port", .argument = "PORTS", .text = "as 40000 or 1024-65535"},
	{.name = "destination", .argument = "ADDRESS", .text = "opened to this address or prefix"},
	{.name = "destination-port", .argument = "PORTS", .text = "as 80 or 80-81"},
	{.name = "address",
	 .argument = "ADDRESS",
	 .text = "with this address or prefix at one end"},
	{.name = "state",
	 .argument = "STATE",
	 .text = "in this state, as established",
	 .completion = "unreplied replied icmp other syn-sent syn-received picked-up established "
		       "closing time-wait closed sctp-opening sctp-established sctp-shutdown"},
	{.name = "rule",
	 .argument = "GROUP[INDEX]",
	 .text = "let in by this SecurityGroup, or this rule of it, as web or web[0]",
	 .completion = "securitygroup"},
	{.name = "offloaded", .text = "those that the kernel forwards"},
	{.name = "limit", .letter = 'n', .argument = "N", .text = "at most so many"},
	{.name = "follow",
	 .letter = 'f',
	 .text = "go on: say what is opened, changes and ends, until interrupted"},
	OPTION_OUTPUT_WIDE,
	{0},
};

const struct command flows_command = {
	.name = "flows",
	.arguments = "[--port PORT] [--source ADDRESS] ... [--follow] [-o table|wide|json|yaml]",
	.summary = "Shows the live connections of the node, and which rule let them in",
	.about = "Packets and bytes count both directions. Options that say which connections are "
		 "all to hold. With --follow, -o json prints one object after the other.\n",
	.options = options,
	.examples = "  sluice flows --port web-1\n"
		    "  sluice flows --protocol tcp --destination-port 80-443 --state established\n"
		    "  sluice flows --address 10.1.0.0/24 --follow\n"
		    "  sluice flows -o json | jq 'map(.bytes) | add'\n",
	.run = flows_run,
};

// sluice stats: counters of ports, workers and connections.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"
#include "model/memory.h"

static char *drops_text(const Sluice__V1__PortStats *stats)
{
	char *text = NULL;
	size_t size;
	FILE *file = memory_required(open_memstream(&text, &size));

	for (size_t i = 0; i < stats->n_drops; i++)
		fprintf(file, "%s%s %" PRIu64, i ? ", " : "", stats->drops[i]->key,
			stats->drops[i]->value);
	fclose(file);
	return memory_required(text);
}

static void ports_print(const Sluice__V1__StatsResponse *response)
{
	static const char *const columns[] = {"PORT",	      "STATE",	     ">RX PACKETS",
					      ">RX BYTES",    ">TX PACKETS", ">TX BYTES",
					      ">CONNECTIONS", ">HALF OPEN",  "DROPS (PACKETS)"};
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; i < response->n_ports; i++) {
		const Sluice__V1__PortStats *stats = response->ports[i]->value;
		char numbers[6][24];
		char *drops;

		if (!stats)
			continue;
		snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, stats->rx_packets);
		snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, stats->rx_bytes);
		snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, stats->tx_packets);
		snprintf(numbers[3], sizeof(numbers[3]), "%" PRIu64, stats->tx_bytes);
		snprintf(numbers[4], sizeof(numbers[4]), "%" PRIu64, stats->connections);
		snprintf(numbers[5], sizeof(numbers[5]), "%" PRIu64, stats->half_open_connections);
		drops = drops_text(stats);
		const char *cells[] = {response->ports[i]->key,
				       stats->state,
				       numbers[0],
				       numbers[1],
				       numbers[2],
				       numbers[3],
				       numbers[4],
				       numbers[5],
				       drops};
		table_row(table, cells);
		free(drops);
	}
	if (table_rows(table)) {
		table_print(table, true);
		putchar('\n');
	}
	table_free(table);
}

static void workers_print(const Sluice__V1__StatsResponse *response)
{
	static const char *const columns[] = {">WORKER", ">CPU",	 ">PACKETS",
					      ">CYCLES", ">BUSY CYCLES", ">CYCLES/PACKET",
					      ">IDLE %"};
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; i < response->n_workers; i++) {
		const Sluice__V1__WorkerStats *worker = response->workers[i];
		char numbers[7][24];
		const char *cells[7];

		snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu32, worker->worker);
		snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu32, worker->cpu);
		snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, worker->packets);
		snprintf(numbers[3], sizeof(numbers[3]), "%" PRIu64, worker->cycles);
		snprintf(numbers[4], sizeof(numbers[4]), "%" PRIu64, worker->busy_cycles);
		numbers[5][0] = 0;
		if (worker->packets)
			snprintf(numbers[5], sizeof(numbers[5]), "%" PRIu64,
				 worker->busy_cycles / worker->packets);
		snprintf(numbers[6], sizeof(numbers[6]), "%.1f", worker->idle_percent);
		for (size_t n = 0; n < 7; n++)
			cells[n] = numbers[n];
		table_row(table, cells);
	}
	if (table_rows(table)) {
		table_print(table, true);
		putchar('\n');
	}
	table_free(table);
}

static void layers_print(const Sluice__V1__StatsResponse *response)
{
	static const char *const columns[] = {"LAYER", ">PASSED (FIRST PACKETS)", ">DROPPED",
					      ">ANSWERED"};
	struct table *table = table_new(columns, sizeof(columns) / sizeof(*columns));

	for (size_t i = 0; i < response->n_layers; i++) {
		const Sluice__V1__LayerStats *layer = response->layers[i];
		char numbers[3][24];
		const char *cells[] = {layer->layer, numbers[0], numbers[1], numbers[2]};

		snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, layer->passed);
		snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, layer->dropped);
		snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, layer->answered);
		table_row(table, cells);
	}
	if (table_rows(table)) {
		table_print(table, true);
		putchar('\n');
	}
	table_free(table);
}

static void process_print(const Sluice__V1__StatsResponse *response)
{
	const Sluice__V1__ProcessStats *process = response->process;

	if (!process)
		return;
	printf("process: up %.0f s, %.1f s of CPU (control thread %.1f s), %" PRIu64
	       " KiB resident, revision %" PRIu64 "\n",
	       process->uptime_seconds, process->cpu_seconds, process->control_cpu_seconds,
	       process->resident_bytes / 1024, response->revision);
}

static int stats_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__StatsRequest request = SLUICE__V1__STATS_REQUEST__INIT;
	Sluice__V1__StatsResponse *response;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	response = (Sluice__V1__StatsResponse *)call_reported(invocation, "Stats", &request.base);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE) {
		ports_print(response);
		workers_print(response);
		layers_print(response);
		if (response->connections)
			printf("connections: %" PRIu64 " of at most %" PRIu64 "\n",
			       response->connections->current, response->connections->max);
		if (response->packet_buffers)
			printf("packet buffers: %" PRIu64 " of %" PRIu64 " in use\n",
			       response->packet_buffers->in_use, response->packet_buffers->max);
		process_print(response);
	} else {
		result_print(invocation, &response->base);
	}
	sluice__v1__stats_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	OPTION_OUTPUT,
	{0},
};

const struct command stats_command = {
	.name = "stats",
	.arguments = "[-o table|json|yaml]",
	.summary = "Shows counters of ports, workers and connections",
	.about = "rx is what came from the workload, or on the uplink from the underlay. Cycles "
		 "are those of the time\n"
		 "stamp counter since start. Layers are asked about first packets only.\n",
	.options = options,
	.examples = "  sluice stats -o json | jq '.ports[\"web-1\"].drops'\n",
	.run = stats_run,
};

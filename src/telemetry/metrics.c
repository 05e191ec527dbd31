// The statistics in Prometheus' text format. Who adds a metric here adds it to the alert rules and
// the dashboard (packaging/) where it helps.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/drop.h"
#include "telemetry/metrics_text.h"
#include "telemetry/telemetry.h"

// A number of each port; `offset` is its place in PortStats.
static void port_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
			const char *type, const char *help, size_t offset)
{
	metrics_family(file, name, type, help);
	for (size_t i = 0; i < stats->n_ports; i++) {
		const char *port = (const char *)stats->ports[i]->value;
		uint64_t number;

		memcpy(&number, port + offset, sizeof(number));
		metrics_sample(file, name, "port", stats->ports[i]->key, NULL, NULL);
		metrics_count(file, number);
	}
}

static void port_counter(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
			 const char *help, size_t offset)
{
	port_number(file, stats, name, "counter", help, offset);
}

static void port_gauge(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
		       const char *help, size_t offset)
{
	port_number(file, stats, name, "gauge", help, offset);
}

static void ports_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	metrics_family(file, "sluice_port_info", "gauge",
		       "A port of this node (the uplink is `uplink`) and its Network; always 1.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		metrics_sample(file, "sluice_port_info", "port", stats->ports[i]->key, "network",
			       stats->ports[i]->value->network);
		metrics_count(file, 1);
	}
	metrics_family(
		file, "sluice_port_up", "gauge",
		"1 where the port's device is open and somebody is at its other end, else 0.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		metrics_sample(file, "sluice_port_up", "port", stats->ports[i]->key, NULL, NULL);
		metrics_count(file, strcmp(stats->ports[i]->value->state, "up") == 0);
	}
	port_counter(file, stats, "sluice_port_receive_packets_total",
		     "Packets received from the workload, or on the uplink from the underlay.",
		     offsetof(Sluice__V1__PortStats, rx_packets));
	port_counter(file, stats, "sluice_port_receive_bytes_total",
		     "Bytes of the packets received.", offsetof(Sluice__V1__PortStats, rx_bytes));
	port_counter(file, stats, "sluice_port_transmit_packets_total",
		     "Packets sent to the workload, or on the uplink to the underlay.",
		     offsetof(Sluice__V1__PortStats, tx_packets));
	port_counter(file, stats, "sluice_port_transmit_bytes_total", "Bytes of the packets sent.",
		     offsetof(Sluice__V1__PortStats, tx_bytes));
	port_gauge(file, stats, "sluice_port_connections",
		   "Live connections that were opened from the port.",
		   offsetof(Sluice__V1__PortStats, connections));
	port_gauge(file, stats, "sluice_port_half_open_connections",
		   "Of them, those that only the opener has said anything about.",
		   offsetof(Sluice__V1__PortStats, half_open_connections));
	metrics_family(file, "sluice_port_dropped_packets_total", "counter",
		       "Packets dropped, by the port to whose account it goes and the reason "
		       "(docs/reference/drops.md); those that are not zero.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		const Sluice__V1__PortStats *port = stats->ports[i]->value;

		for (size_t n = 0; n < port->n_drops; n++) {
			metrics_sample(file, "sluice_port_dropped_packets_total", "port",
				       stats->ports[i]->key, "reason", port->drops[n]->key);
			metrics_count(file, port->drops[n]->value);
		}
	}
}

static void worker_counter(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
			   const char *type, const char *help,
			   void (*value)(FILE *file, const Sluice__V1__WorkerStats *worker))
{
	metrics_family(file, name, type, help);
	for (size_t i = 0; i < stats->n_workers; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%" PRIu32, stats->workers[i]->worker);
		metrics_sample(file, name, "worker", number, NULL, NULL);
		value(file, stats->workers[i]);
	}
}

static void worker_packets(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	metrics_count(file, worker->packets);
}

static void worker_cpu(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	metrics_count(file, worker->cpu);
}

static void worker_seconds(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	fprintf(file, " %.6f\n", worker->seconds);
}

static void worker_busy_seconds(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	fprintf(file, " %.6f\n", worker->busy_seconds);
}

static void worker_opened(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	metrics_count(file, worker->connections_opened);
}

static void worker_ended(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	metrics_count(file, worker->connections_ended);
}

// Those that are zero too: a rate needs the zero before the first one.
static void worker_drops(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char name[] = "sluice_worker_dropped_packets_total";

	metrics_family(
		file, name, "counter",
		"Packets that the worker dropped, by reason (docs/reference/drops.md); without "
		"those that devices refused.");
	for (size_t i = 0; i < stats->n_workers; i++) {
		const Sluice__V1__WorkerStats *worker = stats->workers[i];
		char number[16];
		size_t next = 0;

		snprintf(number, sizeof(number), "%" PRIu32, worker->worker);
		for (unsigned int reason = 1; reason < DROP_REASON_COUNT; reason++) {
			const char *text = drop_reason_name((enum drop_reason)reason);
			uint64_t dropped = 0;

			// Both are in the order of the reasons.
			if (next < worker->n_drops && strcmp(worker->drops[next]->key, text) == 0)
				dropped = worker->drops[next++]->value;
			metrics_sample(file, name, "worker", number, "reason", text);
			metrics_count(file, dropped);
		}
	}
}

static void workers_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	worker_counter(file, stats, "sluice_worker_packets_total", "counter",
		       "Packets that the worker received.", worker_packets);
	worker_counter(file, stats, "sluice_worker_seconds_total", "counter",
		       "Time since the worker's start.", worker_seconds);
	worker_counter(file, stats, "sluice_worker_busy_seconds_total", "counter",
		       "Time that the worker spent on packets.", worker_busy_seconds);
	worker_counter(file, stats, "sluice_worker_cpu", "gauge",
		       "Number of the CPU on which the worker ran last.", worker_cpu);
	worker_counter(file, stats, "sluice_worker_connections_opened_total", "counter",
		       "Connections opened, by the worker that owns them.", worker_opened);
	worker_counter(file, stats, "sluice_worker_connections_ended_total", "counter",
		       "Connections ended, by the worker that owned them.", worker_ended);
	worker_drops(file, stats);
}

static void layers_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char name[] = "sluice_layer_verdicts_total";

	metrics_family(
		file, name, "counter",
		"What layers decided about first packets: pass, drop, or answer (it is for the "
		"gateway).");
	for (size_t i = 0; i < stats->n_layers; i++) {
		const Sluice__V1__LayerStats *layer = stats->layers[i];

		metrics_sample(file, name, "layer", layer->layer, "verdict", "pass");
		metrics_count(file, layer->passed);
		metrics_sample(file, name, "layer", layer->layer, "verdict", "drop");
		metrics_count(file, layer->dropped);
		metrics_sample(file, name, "layer", layer->layer, "verdict", "answer");
		metrics_count(file, layer->answered);
	}
}

static void uplink_devices_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char up[] = "sluice_uplink_device_up";
	static const char carries[] = "sluice_uplink_device_carries";
	static const char failures[] = "sluice_uplink_device_failures_total";

	metrics_family(
		file, up, "gauge",
		"1 where a device of an uplink with several works, 0 where it is down, drained or "
		"missing.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		const Sluice__V1__DeviceStatus *device = stats->uplink_devices[i];

		metrics_sample(file, up, "device", device->name, NULL, NULL);
		metrics_count(file,
			      device->state >= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES &&
				      device->state <= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_HELD);
	}
	metrics_family(file, carries, "gauge",
		       "1 where what the uplink sends goes by the device, else 0.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		const Sluice__V1__DeviceStatus *device = stats->uplink_devices[i];

		metrics_sample(file, carries, "device", device->name, NULL, NULL);
		metrics_count(file,
			      device->state == SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES);
	}
	metrics_family(file, failures, "counter",
		       "How many times a device of an uplink with several has failed.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		metrics_sample(file, failures, "device", stats->uplink_devices[i]->name, NULL,
			       NULL);
		metrics_count(file, stats->uplink_devices[i]->failures);
	}
}

static void connections_write(FILE *file, const Sluice__V1__Connections *connections)
{
	metrics_gauge(file, "sluice_connections", "Live connections.", connections->current);
	metrics_gauge(file, "sluice_connections_max", "Connections that there may be at a time.",
		      connections->max);
	metrics_gauge(file, "sluice_connections_offloaded",
		      "Live connections whose packets the kernel forwards.",
		      connections->offloaded);
}

static void audit_write(FILE *file, const Sluice__V1__AuditStats *audit)
{
	static const char runs[] = "sluice_audits_total",
			  found[] = "sluice_audit_differences_total",
			  left[] = "sluice_audit_not_repaired_total";

	metrics_family(file, runs, "counter",
		       "Times that what is in force was held against the objects.");
	metrics_sample(file, runs, NULL, NULL, NULL, NULL);
	metrics_count(file, audit->runs);
	metrics_family(
		file, found, "counter",
		"Differences that these found and, if they could, put right, by area: tables, "
		"devices, offload, connections.");
	metrics_sample(file, found, "area", "tables", NULL, NULL);
	metrics_count(file, audit->tables);
	metrics_sample(file, found, "area", "devices", NULL, NULL);
	metrics_count(file, audit->devices);
	metrics_sample(file, found, "area", "offload", NULL, NULL);
	metrics_count(file, audit->offload);
	metrics_sample(file, found, "area", "connections", NULL, NULL);
	metrics_count(file, audit->connections);
	metrics_family(file, left, "counter",
		       "Of these differences, those that could not be put right.");
	metrics_sample(file, left, NULL, NULL, NULL, NULL);
	metrics_count(file, audit->not_repaired);
}

static void process_write(FILE *file, const Sluice__V1__ProcessStats *process)
{
	static const struct {
		const char *name, *type, *help;
		size_t offset;
	} seconds[] = {
		{"sluice_process_cpu_seconds_total", "counter",
		 "CPU time of the process, workers included.",
		 offsetof(Sluice__V1__ProcessStats, cpu_seconds)},
		{"sluice_control_cpu_seconds_total", "counter",
		 "CPU time of the control thread, which does all that is no packet.",
		 offsetof(Sluice__V1__ProcessStats, control_cpu_seconds)},
		{"sluice_process_start_time_seconds", "gauge",
		 "When the process began, since 1970-01-01 UTC.",
		 offsetof(Sluice__V1__ProcessStats, start_time)},
	};

	for (size_t i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
		double value;

		memcpy(&value, (const char *)process + seconds[i].offset, sizeof(value));
		metrics_family(file, seconds[i].name, seconds[i].type, seconds[i].help);
		fprintf(file, "%s %.6f\n", seconds[i].name, value);
	}
	metrics_gauge(file, "sluice_process_resident_memory_bytes",
		      "Memory in use by the process, without huge pages.", process->resident_bytes);
	metrics_gauge(file, "sluice_process_open_fds", "Open file descriptors.",
		      process->open_files);
	metrics_gauge(file, "sluice_process_max_fds",
		      "File descriptors that may be open at a time.", process->open_files_max);
	metrics_gauge(file, "sluice_process_threads", "Threads of the process.", process->threads);
}

static void buffers_write(FILE *file, const Sluice__V1__PacketBuffers *buffers)
{
	metrics_gauge(file, "sluice_packet_buffers_in_use",
		      "Packet buffers that hold packets or lie ready for a device.",
		      buffers->in_use);
	metrics_gauge(file, "sluice_packet_buffers_max",
		      "Packet buffers that there are (--memory).", buffers->max);
}

static void api_write(FILE *file, const Sluice__V1__ApiStats *api)
{
	static const char end[] = "sluice_tls_certificate_not_after_seconds";

	metrics_gauge(file, "sluice_api_connections", "Open connections to the API.",
		      api->connections);
	metrics_gauge(file, "sluice_api_tls_connections", "Of these, those over TLS.",
		      api->tls_connections);
	metrics_family(
		file, "sluice_api_tls_refused_total", "counter",
		"Callers over TLS that were turned away: no certificate, a wrong one, no TLS 1.3, "
		"too "
		"slow, too many.");
	metrics_sample(file, "sluice_api_tls_refused_total", NULL, NULL, NULL, NULL);
	metrics_count(file, api->tls_refused);
	metrics_family(
		file, end, "gauge",
		"When the API's certificate ends, since 1970-01-01 UTC; absent without --listen.");
	if (api->certificate_not_after > 0) {
		metrics_sample(file, end, NULL, NULL, NULL, NULL);
		metrics_count(file, (uint64_t)api->certificate_not_after);
	}
}

static void store_write(FILE *file, const Sluice__V1__StoreStats *store)
{
	metrics_gauge(file, "sluice_store_usable",
		      "1, or 0 where changes can't be stored: they are refused, and what is in "
		      "force goes "
		      "on.",
		      store->usable);
	metrics_gauge(file, "sluice_store_set_aside",
		      "1 while a damaged store lies beside the one in use, else 0.",
		      *store->set_aside != 0);
}

void metrics_write(FILE *file, const Sluice__V1__StatsResponse *stats, const char *node)
{
	metrics_family(file, "sluice_info", "gauge", "This node and its version; always 1.");
	metrics_sample(file, "sluice_info", "node", node, "version", SLUICE_VERSION);
	metrics_count(file, 1);
	metrics_gauge(file, "sluice_revision", "Number of the stored state that is in force.",
		      stats->revision);
	connections_write(file, stats->connections);
	ports_write(file, stats);
	workers_write(file, stats);
	layers_write(file, stats);
	metrics_policy_write(file, stats);
	uplink_devices_write(file, stats);
	audit_write(file, stats->audit);
	store_write(file, stats->store);
	api_write(file, stats->api);
	process_write(file, stats->process);
	buffers_write(file, stats->packet_buffers);
}

// The statistics in Prometheus' text format. Who adds a metric here adds it to the alert rules and
// the dashboard (packaging/) where it helps.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/drop.h"
#include "telemetry/telemetry.h"

static void family(FILE *file, const char *name, const char *type, const char *help)
{
	fprintf(file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label_text(FILE *file, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", file);
		else if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else
			fputc(*text, file);
	}
}

static void sample(FILE *file, const char *name, const char *label, const char *value,
		   const char *label2, const char *value2)
{
	fputs(name, file);
	if (label) {
		fprintf(file, "{%s=\"", label);
		label_text(file, value);
		if (label2) {
			fprintf(file, "\",%s=\"", label2);
			label_text(file, value2);
		}
		fputs("\"}", file);
	}
}

static void count(FILE *file, uint64_t number)
{
	fprintf(file, " %" PRIu64 "\n", number);
}

static void gauge(FILE *file, const char *name, const char *help, uint64_t number)
{
	family(file, name, "gauge", help);
	sample(file, name, NULL, NULL, NULL, NULL);
	count(file, number);
}

// A number of each port; `offset` is its place in PortStats.
static void port_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
			const char *type, const char *help, size_t offset)
{
	family(file, name, type, help);
	for (size_t i = 0; i < stats->n_ports; i++) {
		const char *port = (const char *)stats->ports[i]->value;
		uint64_t number;

		memcpy(&number, port + offset, sizeof(number));
		sample(file, name, "port", stats->ports[i]->key, NULL, NULL);
		count(file, number);
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
	family(file, "sluice_port_info", "gauge",
	       "A port of this node (the uplink is `uplink`) and its Network; always 1.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		sample(file, "sluice_port_info", "port", stats->ports[i]->key, "network",
		       stats->ports[i]->value->network);
		count(file, 1);
	}
	family(file, "sluice_port_up", "gauge",
	       "1 where the port's device is open and somebody is at its other end, else 0.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		sample(file, "sluice_port_up", "port", stats->ports[i]->key, NULL, NULL);
		count(file, strcmp(stats->ports[i]->value->state, "up") == 0);
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
	family(file, "sluice_port_dropped_packets_total", "counter",
	       "Packets dropped, by the port to whose account it goes and the reason "
	       "(docs/reference/drops.md); those that are not zero.");
	for (size_t i = 0; i < stats->n_ports; i++) {
		const Sluice__V1__PortStats *port = stats->ports[i]->value;

		for (size_t n = 0; n < port->n_drops; n++) {
			sample(file, "sluice_port_dropped_packets_total", "port",
			       stats->ports[i]->key, "reason", port->drops[n]->key);
			count(file, port->drops[n]->value);
		}
	}
}

static void worker_counter(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
			   const char *type, const char *help,
			   void (*value)(FILE *file, const Sluice__V1__WorkerStats *worker))
{
	family(file, name, type, help);
	for (size_t i = 0; i < stats->n_workers; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%" PRIu32, stats->workers[i]->worker);
		sample(file, name, "worker", number, NULL, NULL);
		value(file, stats->workers[i]);
	}
}

static void worker_packets(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	count(file, worker->packets);
}

static void worker_cpu(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	count(file, worker->cpu);
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
	count(file, worker->connections_opened);
}

static void worker_ended(FILE *file, const Sluice__V1__WorkerStats *worker)
{
	count(file, worker->connections_ended);
}

// Those that are zero too: a rate needs the zero before the first one.
static void worker_drops(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char name[] = "sluice_worker_dropped_packets_total";

	family(file, name, "counter",
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
			sample(file, name, "worker", number, "reason", text);
			count(file, dropped);
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

	family(file, name, "counter",
	       "What layers decided about first packets: pass, drop, or answer (it is for the "
	       "gateway).");
	for (size_t i = 0; i < stats->n_layers; i++) {
		const Sluice__V1__LayerStats *layer = stats->layers[i];

		sample(file, name, "layer", layer->layer, "verdict", "pass");
		count(file, layer->passed);
		sample(file, name, "layer", layer->layer, "verdict", "drop");
		count(file, layer->dropped);
		sample(file, name, "layer", layer->layer, "verdict", "answer");
		count(file, layer->answered);
	}
}

static void uplink_devices_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char up[] = "sluice_uplink_device_up";
	static const char carries[] = "sluice_uplink_device_carries";
	static const char failures[] = "sluice_uplink_device_failures_total";

	family(file, up, "gauge",
	       "1 where a device of an uplink with several works, 0 where it is down, drained or "
	       "missing.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		const Sluice__V1__DeviceStatus *device = stats->uplink_devices[i];

		sample(file, up, "device", device->name, NULL, NULL);
		count(file, device->state >= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES &&
				    device->state <= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_HELD);
	}
	family(file, carries, "gauge", "1 where what the uplink sends goes by the device, else 0.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		const Sluice__V1__DeviceStatus *device = stats->uplink_devices[i];

		sample(file, carries, "device", device->name, NULL, NULL);
		count(file, device->state == SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES);
	}
	family(file, failures, "counter",
	       "How many times a device of an uplink with several has failed.");
	for (size_t i = 0; i < stats->n_uplink_devices; i++) {
		sample(file, failures, "device", stats->uplink_devices[i]->name, NULL, NULL);
		count(file, stats->uplink_devices[i]->failures);
	}
}

static void next_hops_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char name[] = "sluice_next_hop_up";

	family(file, name, "gauge",
	       "1 where a router on an external network answers, or was not asked yet, else 0.");
	for (size_t i = 0; i < stats->n_next_hops; i++) {
		sample(file, name, "network", stats->next_hops[i]->network, "router",
		       stats->next_hops[i]->router);
		count(file, stats->next_hops[i]->up);
	}
}

// A number of each pool; `offset` is its place in NatPoolStatus.
static void nat_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
		       const char *type, const char *help, size_t offset)
{
	family(file, name, type, help);
	for (size_t i = 0; i < stats->n_nats; i++) {
		const char *pool = (const char *)stats->nats[i]->pool;
		uint64_t number;

		memcpy(&number, pool + offset, sizeof(number));
		sample(file, name, "nat", stats->nats[i]->nat, "family",
		       stats->nats[i]->pool->family);
		count(file, number);
	}
}

static void nats_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	nat_number(file, stats, "sluice_nat_mappings", "gauge",
		   "Inside addresses and ports that have an external one.",
		   offsetof(Sluice__V1__NatPoolStatus, mappings));
	nat_number(file, stats, "sluice_nat_port_blocks", "gauge",
		   "Blocks of external ports that are given to Ports.",
		   offsetof(Sluice__V1__NatPoolStatus, blocks));
	nat_number(file, stats, "sluice_nat_port_blocks_max", "gauge",
		   "Blocks of external ports that there are.",
		   offsetof(Sluice__V1__NatPoolStatus, blocks_max));
	nat_number(file, stats, "sluice_nat_refused_packets_total", "counter",
		   "First packets that were dropped for want of an external port.",
		   offsetof(Sluice__V1__NatPoolStatus, refused));
	family(file, "sluice_nat_untranslated_messages_total", "counter",
	       "Messages of FTP and SIP that a helper let pass as they were: they came in pieces, "
	       "or were longer than 4 KiB.");
	sample(file, "sluice_nat_untranslated_messages_total", NULL, NULL, NULL, NULL);
	count(file, stats->untranslated_messages);
}

// A number of each policy and direction; `offset` is its place in QosCounts.
static void qos_number(FILE *file, const Sluice__V1__StatsResponse *stats, const char *name,
		       const char *help, size_t offset)
{
	family(file, name, "counter", help);
	for (size_t i = 0; i < stats->n_qos_policies; i++) {
		const Sluice__V1__QosPolicyStats *policy = stats->qos_policies[i];
		uint64_t number;

		memcpy(&number, (const char *)policy->counts->ingress + offset, sizeof(number));
		sample(file, name, "policy", policy->policy, "direction", "ingress");
		count(file, number);
		memcpy(&number, (const char *)policy->counts->egress + offset, sizeof(number));
		sample(file, name, "policy", policy->policy, "direction", "egress");
		count(file, number);
	}
}

static void qos_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	qos_number(file, stats, "sluice_qos_packets_total",
		   "Packets that a QosPolicy let pass, at once or later.",
		   offsetof(Sluice__V1__QosCounts, packets));
	qos_number(file, stats, "sluice_qos_bytes_total",
		   "Bytes of IP packets that a QosPolicy let pass, at once or later.",
		   offsetof(Sluice__V1__QosCounts, bytes));
	qos_number(file, stats, "sluice_qos_delayed_packets_total",
		   "Packets that waited because of a QosPolicy's rate.",
		   offsetof(Sluice__V1__QosCounts, delayed));
	qos_number(file, stats, "sluice_qos_marked_packets_total",
		   "Packets that a QosPolicy let pass with its excessDscp.",
		   offsetof(Sluice__V1__QosCounts, marked));
	qos_number(file, stats, "sluice_qos_dropped_packets_total",
		   "Packets that a QosPolicy dropped.", offsetof(Sluice__V1__QosCounts, dropped));
	qos_number(file, stats, "sluice_qos_dropped_bytes_total",
		   "Bytes of IP packets that a QosPolicy dropped.",
		   offsetof(Sluice__V1__QosCounts, dropped_bytes));
}

static void member_sample(FILE *file, const char *name, const Sluice__V1__MemberStats *member)
{
	fprintf(file, "%s{load_balancer=\"", name);
	label_text(file, member->load_balancer);
	fputs("\",member=\"", file);
	label_text(file, member->member);
	fprintf(file, "\",address=\"%s\"}", member->address);
}

static void members_write(FILE *file, const Sluice__V1__StatsResponse *stats)
{
	static const char up[] = "sluice_load_balancer_member_up",
			  connections[] = "sluice_load_balancer_member_connections";

	family(file, up, "gauge",
	       "1 where a member of a LoadBalancer is there, and healthy or not asked, else 0.");
	for (size_t i = 0; i < stats->n_members; i++) {
		member_sample(file, up, stats->members[i]);
		count(file, stats->members[i]->up);
	}
	family(file, connections, "gauge",
	       "Live connections that this node has led to a member of a LoadBalancer.");
	for (size_t i = 0; i < stats->n_members; i++) {
		member_sample(file, connections, stats->members[i]);
		count(file, stats->members[i]->connections);
	}
}

static void connections_write(FILE *file, const Sluice__V1__Connections *connections)
{
	gauge(file, "sluice_connections", "Live connections.", connections->current);
	gauge(file, "sluice_connections_max", "Connections that there may be at a time.",
	      connections->max);
	gauge(file, "sluice_connections_offloaded",
	      "Live connections whose packets the kernel forwards.", connections->offloaded);
}

static void audit_write(FILE *file, const Sluice__V1__AuditStats *audit)
{
	static const char runs[] = "sluice_audits_total",
			  found[] = "sluice_audit_differences_total",
			  left[] = "sluice_audit_not_repaired_total";

	family(file, runs, "counter", "Times that what is in force was held against the objects.");
	sample(file, runs, NULL, NULL, NULL, NULL);
	count(file, audit->runs);
	family(file, found, "counter",
	       "Differences that these found and, if they could, put right, by area: tables, "
	       "devices, offload, connections.");
	sample(file, found, "area", "tables", NULL, NULL);
	count(file, audit->tables);
	sample(file, found, "area", "devices", NULL, NULL);
	count(file, audit->devices);
	sample(file, found, "area", "offload", NULL, NULL);
	count(file, audit->offload);
	sample(file, found, "area", "connections", NULL, NULL);
	count(file, audit->connections);
	family(file, left, "counter", "Of these differences, those that could not be put right.");
	sample(file, left, NULL, NULL, NULL, NULL);
	count(file, audit->not_repaired);
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
		family(file, seconds[i].name, seconds[i].type, seconds[i].help);
		fprintf(file, "%s %.6f\n", seconds[i].name, value);
	}
	gauge(file, "sluice_process_resident_memory_bytes",
	      "Memory in use by the process, without huge pages.", process->resident_bytes);
	gauge(file, "sluice_process_open_fds", "Open file descriptors.", process->open_files);
	gauge(file, "sluice_process_max_fds", "File descriptors that may be open at a time.",
	      process->open_files_max);
	gauge(file, "sluice_process_threads", "Threads of the process.", process->threads);
}

static void buffers_write(FILE *file, const Sluice__V1__PacketBuffers *buffers)
{
	gauge(file, "sluice_packet_buffers_in_use",
	      "Packet buffers that hold packets or lie ready for a device.", buffers->in_use);
	gauge(file, "sluice_packet_buffers_max", "Packet buffers that there are (--memory).",
	      buffers->max);
}

static void api_write(FILE *file, const Sluice__V1__ApiStats *api)
{
	static const char end[] = "sluice_tls_certificate_not_after_seconds";

	gauge(file, "sluice_api_connections", "Open connections to the API.", api->connections);
	gauge(file, "sluice_api_tls_connections", "Of these, those over TLS.",
	      api->tls_connections);
	family(file, "sluice_api_tls_refused_total", "counter",
	       "Callers over TLS that were turned away: no certificate, a wrong one, no TLS 1.3, "
	       "too "
	       "slow, too many.");
	sample(file, "sluice_api_tls_refused_total", NULL, NULL, NULL, NULL);
	count(file, api->tls_refused);
	family(file, end, "gauge",
	       "When the API's certificate ends, since 1970-01-01 UTC; absent without --listen.");
	if (api->certificate_not_after > 0) {
		sample(file, end, NULL, NULL, NULL, NULL);
		count(file, (uint64_t)api->certificate_not_after);
	}
}

static void store_write(FILE *file, const Sluice__V1__StoreStats *store)
{
	gauge(file, "sluice_store_usable",
	      "1, or 0 where changes can't be stored: they are refused, and what is in force goes "
	      "on.",
	      store->usable);
	gauge(file, "sluice_store_set_aside",
	      "1 while a damaged store lies beside the one in use, else 0.",
	      *store->set_aside != 0);
}

void metrics_write(FILE *file, const Sluice__V1__StatsResponse *stats, const char *node)
{
	family(file, "sluice_info", "gauge", "This node and its version; always 1.");
	sample(file, "sluice_info", "node", node, "version", SLUICE_VERSION);
	count(file, 1);
	gauge(file, "sluice_revision", "Number of the stored state that is in force.",
	      stats->revision);
	connections_write(file, stats->connections);
	ports_write(file, stats);
	workers_write(file, stats);
	layers_write(file, stats);
	next_hops_write(file, stats);
	family(file, "sluice_address_conflicts_total", "counter",
	       "Times that somebody else said to have an address of this node on an external "
	       "network.");
	sample(file, "sluice_address_conflicts_total", NULL, NULL, NULL, NULL);
	count(file, stats->address_conflicts);
	nats_write(file, stats);
	qos_write(file, stats);
	members_write(file, stats);
	uplink_devices_write(file, stats);
	audit_write(file, stats->audit);
	store_write(file, stats->store);
	api_write(file, stats->api);
	process_write(file, stats->process);
	buffers_write(file, stats->packet_buffers);
}

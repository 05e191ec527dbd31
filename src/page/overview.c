// /api/overview: the node at a glance. /api/reasons: what the drop reasons mean. /api/history: who
// changed it.

#include <stdlib.h>
#include <string.h>

#include "base/drop.h"
#include "control/control.h"
#include "model/kind.h"
#include "page/private.h"
#include "telemetry/telemetry.h"

#define TROUBLES_MAX 20
#define HISTORY_MAX  50

static void counts_write(const struct page *page, FILE *file, bool *first)
{
	bool none = true;

	json_key(file, first, "objects");
	fputc('{', file);
	for (size_t i = 0; kind_at(i) != SLUICE__V1__OBJECT__KIND__NOT_SET; i++)
		json_number(file, &none, kind_name(kind_at(i)),
			    (double)object_set_count(page->control->objects, kind_at(i)));
	fputc('}', file);
}

// All Ports of this node.
static void sum_write(const struct page *page, FILE *file, bool *first)
{
	const struct sample_sum *sum = sample_sum(page->sample);
	bool none = true;

	json_key(file, first, "ports");
	fputc('{', file);
	json_number(file, &none, "up", sum->states[SAMPLE_UP]);
	json_number(file, &none, "down", sum->states[SAMPLE_DOWN]);
	json_number(file, &none, "failed", sum->states[SAMPLE_FAILED]);
	json_number(file, &none, "rxPackets", (double)sum->counters.rx_packets);
	json_number(file, &none, "rxBytes", (double)sum->counters.rx_bytes);
	json_number(file, &none, "txPackets", (double)sum->counters.tx_packets);
	json_number(file, &none, "txBytes", (double)sum->counters.tx_bytes);
	fputc('}', file);
}

// Of Ports and the uplink.
static void drops_write(const struct page *page, FILE *file, bool *first)
{
	struct port_counters sum = sample_sum(page->sample)->counters;
	bool none = true;

	for (uint32_t number = PORT_UPLINK; number <= PORT_HOST; number++)
		if (number < page->control->port_count && page->control->ports[number]) {
			struct port_counters one = stats_port_counters(page->control, number);

			port_counters_add(&sum, &one);
		}
	json_key(file, first, "drops");
	fputc('{', file);
	for (unsigned int reason = 1; reason < DROP_REASON_COUNT; reason++)
		if (sum.drops[reason])
			json_number(file, &none, drop_reason_name(reason),
				    (double)sum.drops[reason]);
	fputc('}', file);
}

static void uplink_write(const struct page *page, FILE *file, bool *first)
{
	Sluice__V1__PortStats *stats;

	if (PORT_UPLINK >= page->control->port_count || !page->control->ports[PORT_UPLINK])
		return;
	stats = stats_port_collect(page->control, PORT_UPLINK);
	if (stats)
		json_message(file, first, "uplink", &stats->base);
	sluice__v1__port_stats__free_unpacked(stats, NULL);
}

// What an operator would look at first.
static void troubles_write(const struct page *page, FILE *file, bool *first)
{
	uint32_t count = 0;

	json_key(file, first, "troubles");
	fputc('[', file);
	for (uint32_t i = 0; i < sample_count(page->sample) && count < TROUBLES_MAX; i++) {
		const struct sample_row *row = sample_row(page->sample, i);
		bool none = true;

		if (row->state != SAMPLE_FAILED)
			continue;
		fputs(count++ ? ",\n{" : "{", file);
		json_text(file, &none, "port", row->name);
		json_text(file, &none, "problem", stats_port_state(page->control, row->number));
		fputc('}', file);
	}
	fputc(']', file);
}

int overview_write(struct page *page, const struct http_request *request, FILE *file,
		   enum rpc_code *code, struct error *err)
{
	const struct control *control = page->control;
	Sluice__V1__StatsResponse *stats = NULL;
	bool first = true;

	*code = RPC_RESOURCE_EXHAUSTED;
	if (!sample_take(page->sample) || !(stats = stats_collect_node(control)))
		return error_set(err, "no memory");
	fputc('{', file);
	json_text(file, &first, "node", control->node);
	json_text(file, &first, "version", SLUICE_VERSION);
	json_number(file, &first, "revision", (double)control->revision);
	json_text(file, &first, "behind", control->behind);
	json_number(file, &first, "time", sample_time(page->sample));
	counts_write(page, file, &first);
	sum_write(page, file, &first);
	uplink_write(page, file, &first);
	drops_write(page, file, &first);
	troubles_write(page, file, &first);
	json_message(file, &first, "stats", &stats->base);
	fputs("}\n", file);
	sluice__v1__stats_response__free_unpacked(stats, NULL);
	return 0;
}

int reasons_write(struct page *page, const struct http_request *request, FILE *file,
		  enum rpc_code *code, struct error *err)
{
	bool first = true;

	fputc('{', file);
	for (unsigned int reason = 1; reason < DROP_REASON_COUNT; reason++)
		json_text(file, &first, drop_reason_name(reason), drop_reason_description(reason));
	fputs("}\n", file);
	return 0;
}

int history_write(struct page *page, const struct http_request *request, FILE *file,
		  enum rpc_code *code, struct error *err)
{
	Sluice__V1__HistoryResponse *response;
	uint32_t limit = 20;
	bool first = true;

	if (query_number(request, "limit", HISTORY_MAX, &limit, err) < 0)
		return -1;
	*code = RPC_RESOURCE_EXHAUSTED;
	if (!control_store_opened(page->control, err) ||
	    store_history(page->control->store, 0, limit ? limit : 1, &response, err) < 0)
		return -1;
	fputc('{', file);
	json_message(file, &first, "history", &response->base);
	fputs("}\n", file);
	sluice__v1__history_response__free_unpacked(response, NULL);
	return 0;
}

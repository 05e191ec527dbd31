// /api/ports: a list of Ports and the uplink, sorted and cut here, for there may be very many.
//
//   search   part of the name, or an address or MAC address
//   network  of this Network
//   state    up, down or failed
//   where    `all` for those of other nodes, too
//   name     this one alone
//   sort     name, rate (bytes a second, both ways), received, sent, drops (a second)

#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "control/control.h"
#include "page/private.h"
#include "telemetry/telemetry.h"

static const char *const state_names[SAMPLE_STATES] = {"up", "down", "failed", "elsewhere"};

struct search {
	const struct tables *tables;
	const char *text;
	bool is_address, is_mac;
	struct ip_address address;
	struct mac_address mac;
	const char *name;
	const char *network;
	int state; // -1: any
	bool all;
};

static double by_rate(const struct sample_rates *rates)
{
	return rates->rx_bytes + rates->tx_bytes;
}

static double by_received(const struct sample_rates *rates)
{
	return rates->rx_bytes;
}

static double by_sent(const struct sample_rates *rates)
{
	return rates->tx_bytes;
}

static double by_drops(const struct sample_rates *rates)
{
	return rates->drops;
}

typedef double rate_order(const struct sample_rates *rates);

struct entry {
	uint32_t row;
	double key;
};

// The largest first; rows are sorted by name already.
static int compare(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	if (one->key != other->key)
		return one->key < other->key ? 1 : -1;
	return one->row < other->row ? -1 : one->row > other->row;
}

static int order_find(const char *text, rate_order **order, struct error *err)
{
	static const struct {
		const char *name;
		rate_order *order;
	} orders[] = {
		{"", NULL},	   {"name", NULL},
		{"rate", by_rate}, {"received", by_received},
		{"sent", by_sent}, {"drops", by_drops},
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
		if (strcmp(text, orders[i].name) == 0) {
			*order = orders[i].order;
			return 0;
		}
	return error_set(err, "sort: '%.40s' is none of name, rate, received, sent, drops", text);
}

static int search_read(const struct page *page, const struct http_request *request,
		       struct search *search, struct error *err)
{
	const char *state = http_query(request, "state");
	const char *where = http_query(request, "where");

	*search = (struct search){
		.tables = page->control->tables,
		.text = http_query(request, "search"),
		.name = http_query(request, "name"),
		.network = http_query(request, "network"),
		.state = -1,
		.all = strcmp(where, "all") == 0,
	};
	if (*where && !search->all && strcmp(where, "here") != 0)
		return error_set(err, "where: '%.40s' is neither all nor here", where);
	search->is_address = ip_parse(search->text, &search->address);
	search->is_mac = mac_parse(search->text, &search->mac);
	for (int i = 0; *state && i < SAMPLE_STATES; i++)
		if (strcmp(state, state_names[i]) == 0)
			search->state = i;
	if (*state && search->state < 0)
		return error_set(err, "state: '%.40s' is none of up, down, failed", state);
	return 0;
}

static bool has_address(const struct endpoint_detail *detail, const struct ip_address *address)
{
	for (uint32_t i = 0; i < detail->address_count; i++)
		if (memcmp(&detail->addresses[i], address, sizeof(*address)) == 0)
			return true;
	for (uint32_t i = 0; i < detail->allowed_count; i++)
		if (ip_in_prefix(address, &detail->allowed[i]) &&
		    ip_is_v4(address) == ip_is_v4(&detail->allowed[i].address))
			return true;
	return false;
}

static bool takes(const struct search *search, const struct sample_row *row)
{
	const struct endpoint *endpoint = tables_endpoint(search->tables, row->endpoint);

	if (!search->all && row->state == SAMPLE_ELSEWHERE)
		return false;
	if (search->state >= 0 && (int)row->state != search->state)
		return false;
	if (*search->name && strcmp(row->name, search->name) != 0)
		return false;
	if (*search->network &&
	    (!endpoint ||
	     strcmp(search->tables->networks[endpoint->network].name, search->network) != 0))
		return false;
	if (query_matches(row->name, search->text))
		return true;
	if (endpoint && search->is_mac && mac_equal(&endpoint->mac, &search->mac))
		return true;
	return endpoint && search->is_address &&
	       has_address(tables_detail(search->tables, endpoint), &search->address);
}

static void rates_write(FILE *file, bool *first, const struct sample_rates *rates)
{
	bool none = true;

	json_key(file, first, "rates");
	if (!rates) {
		fputs("null", file);
		return;
	}
	fputc('{', file);
	json_number(file, &none, "rxPackets", rates->rx_packets);
	json_number(file, &none, "rxBytes", rates->rx_bytes);
	json_number(file, &none, "txPackets", rates->tx_packets);
	json_number(file, &none, "txBytes", rates->tx_bytes);
	json_number(file, &none, "drops", rates->drops);
	fputc('}', file);
}

static void row_write(struct page *page, FILE *file, const struct sample_row *row)
{
	struct control *control = page->control;
	const Sluice__V1__Object *object = object_set_find(
		control->objects, SLUICE__V1__OBJECT__KIND_PORT, row->endpoint ? row->name : "");
	bool first = true;

	fputc('{', file);
	json_text(file, &first, "name", row->name);
	json_text(file, &first, "state", state_names[row->state]);
	json_text(file, &first, "node", object ? object->port->node : control->node);
	if (row->endpoint)
		json_text(
			file, &first, "network",
			control->tables->networks[control->tables->endpoints[row->endpoint].network]
				.name);
	if (object) {
		json_text(file, &first, "mac", object->port->mac);
		json_key(file, &first, "addresses");
		fputc('[', file);
		for (size_t i = 0; i < object->port->n_addresses; i++) {
			bool one = i == 0;

			fputs(one ? "\"" : ", \"", file);
			fputs(object->port->addresses[i], file);
			fputc('"', file);
		}
		fputc(']', file);
	}
	if (row->number) {
		Sluice__V1__PortStats *stats = stats_port_collect(control, row->number);

		if (stats)
			json_message(file, &first, "stats", &stats->base);
		sluice__v1__port_stats__free_unpacked(stats, NULL);
		rates_write(file, &first, sample_rates(page->sample, row->number));
	}
	fputc('}', file);
}

int ports_write(struct page *page, const struct http_request *request, FILE *file,
		enum rpc_code *code, struct error *err)
{
	static const struct sample_rates nothing;
	struct query_range range;
	struct search search;
	struct entry *entries;
	rate_order *order = NULL;
	uint32_t count = 0;
	bool first = true;

	if (query_range(request, &range, err) < 0 || search_read(page, request, &search, err) < 0 ||
	    order_find(http_query(request, "sort"), &order, err) < 0)
		return -1;
	*code = RPC_RESOURCE_EXHAUSTED;
	if (!sample_take(page->sample))
		return error_set(err, "no memory");
	entries = calloc(sample_count(page->sample) + 1, sizeof(*entries));
	if (!entries)
		return error_set(err, "no memory");
	for (uint32_t i = 0; i < sample_count(page->sample); i++) {
		const struct sample_row *row = sample_row(page->sample, i);
		const struct sample_rates *rates =
			row->number ? sample_rates(page->sample, row->number) : NULL;

		if (takes(&search, row))
			entries[count++] =
				(struct entry){i, order ? order(rates ? rates : &nothing) : 0};
	}
	if (order)
		qsort(entries, count, sizeof(*entries), compare);
	fputc('{', file);
	json_number(file, &first, "time", sample_time(page->sample));
	json_number(file, &first, "total", count);
	json_number(file, &first, "offset", range.offset);
	json_key(file, &first, "ports");
	fputc('[', file);
	for (uint32_t i = range.offset; i < count && i - range.offset < range.limit; i++) {
		fputs(i > range.offset ? ",\n" : "", file);
		row_write(page, file, sample_row(page->sample, entries[i].row));
	}
	fputs("]}\n", file);
	free(entries);
	return 0;
}

// /api/objects: objects of a kind with their status, as `sluice get` prints them; all, some by
// part of their name (search), or one (name). /api/networks: Networks, and what goes on in them.

#include <stdlib.h>

#include "control/control.h"
#include "model/kind.h"
#include "model/object.h"
#include "model/print.h"
#include "model/transaction.h"
#include "page/private.h"

struct list {
	Sluice__V1__GetResponse *response; // all of the kind, sorted
	Sluice__V1__GetResponse part;	   // those of the answer, with their status
	size_t total;			   // that match
};

static void list_free(struct list *list)
{
	statuses_free(&list->part);
	free(list->part.objects);
	transaction_get_free(list->response);
}

static int list_read(struct page *page, const char *kind, const struct http_request *request,
		     struct list *list, enum rpc_code *code, struct error *err)
{
	const char *search = http_query(request, "search");
	struct query_range range;
	bool not_found = false;

	*list = (struct list){.total = 0};
	if (query_range(request, &range, err) < 0)
		return -1;
	list->response = transaction_get(page->control->objects, kind, http_query(request, "name"),
					 page->control->revision, &not_found, err);
	if (!list->response) {
		*code = not_found ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT;
		return -1;
	}
	sluice__v1__get_response__init(&list->part);
	list->part.objects = calloc(range.limit + 1, sizeof(*list->part.objects));
	if (!list->part.objects) {
		transaction_get_free(list->response);
		*code = RPC_RESOURCE_EXHAUSTED;
		return error_set(err, "no memory");
	}
	for (size_t i = 0; i < list->response->n_objects; i++) {
		Sluice__V1__Object *object = list->response->objects[i];

		if (!query_matches(object_name(object), search))
			continue;
		if (list->total >= range.offset && list->part.n_objects < range.limit)
			list->part.objects[list->part.n_objects++] = object;
		list->total++;
	}
	statuses_add(page->control, &list->part);
	return 0;
}

static void head_write(const struct page *page, const struct list *list, FILE *file, bool *first)
{
	fputc('{', file);
	json_number(file, first, "revision", (double)page->control->revision);
	json_number(file, first, "total", (double)list->total);
}

int objects_write(struct page *page, const struct http_request *request, FILE *file,
		  enum rpc_code *code, struct error *err)
{
	bool first = true;
	struct list list;

	if (list_read(page, http_query(request, "kind"), request, &list, code, err) < 0)
		return -1;
	head_write(page, &list, file, &first);
	json_key(file, &first, "objects");
	fputc('[', file);
	for (size_t i = 0; i < list.part.n_objects; i++) {
		fputs(i ? ",\n" : "", file);
		object_print(file, list.part.objects[i], list.part.statuses[i], PRINT_JSON, 1);
	}
	fputs("]}\n", file);
	list_free(&list);
	return 0;
}

static void network_write(struct page *page, const Sluice__V1__Object *object,
			  const Sluice__V1__ObjectStatus *status, FILE *file)
{
	static const struct sample_sum nothing;
	uint32_t number = numbers_find(&page->control->numbers.networks, object->network->name);
	const struct sample_sum *sum = number ? sample_network(page->sample, number) : NULL;
	bool first = true;

	if (!sum)
		sum = &nothing;
	fputc('{', file);
	json_key(file, &first, "object");
	object_print(file, object, status, PRINT_JSON, 2);
	json_number(file, &first, "up", sum->states[SAMPLE_UP]);
	json_number(file, &first, "down", sum->states[SAMPLE_DOWN]);
	json_number(file, &first, "failed", sum->states[SAMPLE_FAILED]);
	json_number(file, &first, "elsewhere", sum->states[SAMPLE_ELSEWHERE]);
	json_number(file, &first, "rxBytes", sum->rates.rx_bytes);
	json_number(file, &first, "txBytes", sum->rates.tx_bytes);
	json_number(file, &first, "rxPackets", sum->rates.rx_packets);
	json_number(file, &first, "txPackets", sum->rates.tx_packets);
	json_number(file, &first, "drops", sum->rates.drops);
	fputc('}', file);
}

int networks_write(struct page *page, const struct http_request *request, FILE *file,
		   enum rpc_code *code, struct error *err)
{
	bool first = true;
	struct list list;

	if (!sample_take(page->sample)) {
		*code = RPC_RESOURCE_EXHAUSTED;
		return error_set(err, "no memory");
	}
	if (list_read(page, "Network", request, &list, code, err) < 0)
		return -1;
	head_write(page, &list, file, &first);
	json_number(file, &first, "time", sample_time(page->sample));
	json_key(file, &first, "networks");
	fputc('[', file);
	for (size_t i = 0; i < list.part.n_objects; i++) {
		fputs(i ? ",\n" : "", file);
		network_write(page, list.part.objects[i], list.part.statuses[i], file);
	}
	fputs("]}\n", file);
	list_free(&list);
	return 0;
}

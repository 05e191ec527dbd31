// /api/connections: the parameters are the fields of FlowsRequest. One request looks at some places
// of the connection table and says where the next one goes on, so that nobody waits for it.

#include "control/control.h"
#include "model/print.h"
#include "page/private.h"
#include "telemetry/flow_filter.h"
#include "telemetry/flow_message.h"

// About as many milliseconds as a handful.
#define STEP 32768

int connections_write(struct page *page, const struct http_request *request, FILE *file,
		      enum rpc_code *code, struct error *err)
{
	struct control *control = page->control;
	const struct flow_table *table = control->engine->flows;
	Sluice__V1__FlowsRequest wanted;
	uint32_t end = flow_table_end(table), position = 1, count = 0;
	struct flow_filter filter;
	struct query_range range;
	bool first = true;

	sluice__v1__flows_request__init(&wanted);
	if (query_range(request, &range, err) < 0 ||
	    query_number(request, "position", UINT32_MAX, &position, err) < 0 ||
	    query_message(request, &wanted.base, err) < 0 ||
	    flow_filter_read(control, &wanted, &filter, code, err) < 0)
		return -1;
	if (position == 0)
		position = 1;
	fputc('{', file);
	json_key(file, &first, "connections");
	fputc('[', file);
	engine_read_begin(control->engine);
	for (uint32_t step = 0; position < end && step < STEP && count < range.limit; step++) {
		struct flow_message message;
		struct flow flow;
		bool none = count == 0;

		if (!flow_table_read(table, position++, &flow) ||
		    !flow_filter_takes(&filter, &flow))
			continue;
		flow_message_fill(&message, control, &flow, "");
		fputs(none ? "" : ",\n", file);
		message_print(file, &message.message.base, PRINT_JSON, PRINT_EMPTY, 1);
		count++;
	}
	engine_read_end(control->engine);
	fputc(']', file);
	// 0: that was all.
	json_number(file, &first, "next", position < end ? position : 0);
	json_number(file, &first, "end", end);
	fputs("}\n", file);
	return 0;
}

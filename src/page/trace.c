// /api/trace: the parameters are `port` and `packet` of TraceRequest. A trace changes nothing.

#include "control/control.h"
#include "page/private.h"
#include "telemetry/telemetry.h"

int trace_write(struct page *page, const struct http_request *request, FILE *file,
		enum rpc_code *code, struct error *err)
{
	Sluice__V1__TraceRequest wanted;
	Sluice__V1__TraceResponse *response;
	bool not_found = false, first = true;

	sluice__v1__trace_request__init(&wanted);
	if (query_message(request, &wanted.base, err) < 0)
		return -1;
	response = trace_run(page->control, &wanted, &not_found, err);
	if (!response) {
		*code = not_found ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT;
		return -1;
	}
	fputc('{', file);
	json_message(file, &first, "trace", &response->base);
	fputs("}\n", file);
	sluice__v1__trace_response__free_unpacked(response, NULL);
	return 0;
}

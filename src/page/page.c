#include "page/page.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "page/assets.h"
#include "page/host.h"
#include "page/private.h"

// Scripts and styles come from here and from nowhere else, and text never becomes markup.
static const struct http_header headers[] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
	 "require-trusted-types-for 'script'; trusted-types 'none'"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	// The connections are few, and Prometheus wants one, too.
	{"Connection", "close"},
	{NULL, NULL},
};

static const struct {
	const char *path;
	page_call *call;
} calls[] = {
	{"/api/overview", overview_write},	 {"/api/reasons", reasons_write},
	{"/api/history", history_write},	 {"/api/ports", ports_write},
	{"/api/networks", networks_write},	 {"/api/objects", objects_write},
	{"/api/connections", connections_write}, {"/api/trace", trace_write},
};

struct page *page_new(struct control *control, const char *address)
{
	struct page *page = calloc(1, sizeof(*page));
	const char *port;

	if (!page)
		return NULL;
	page->control = control;
	if (!http_address_split(address, page->host, sizeof(page->host), &port))
		*page->host = 0;
	page->sample = sample_new(control);
	if (!page->sample) {
		free(page);
		return NULL;
	}
	log_info("page served", log_text("address", address));
	return page;
}

void page_free(struct page *page)
{
	if (!page)
		return;
	sample_free(page->sample);
	free(page);
}

static void error_answer(struct http_answer *answer, unsigned int status, const char *text)
{
	bool first = true;
	FILE *file = open_memstream(&answer->body, &answer->size);

	answer->status = status;
	if (!file) {
		answer->body_is_static = true;
		answer->body = (char *)(uintptr_t) "{}";
		answer->size = 2;
		return;
	}
	fputc('{', file);
	json_text(file, &first, "error", text);
	fputs("}\n", file);
	if (fclose(file) != 0) {
		answer->body = NULL;
		answer->size = 0;
	}
}

static void call_answer(struct page *page, page_call *call, const struct http_request *request,
			struct http_answer *answer)
{
	enum rpc_code code = RPC_INVALID_ARGUMENT;
	FILE *file = open_memstream(&answer->body, &answer->size);
	struct error err;
	int result;

	if (!file) {
		error_answer(answer, 503, "no memory");
		return;
	}
	result = call(page, request, file, &code, &err);
	if (fclose(file) == 0 && result == 0)
		return;
	free(answer->body);
	if (result == 0)
		error_answer(answer, 503, "no memory");
	else
		error_answer(answer,
			     code == RPC_NOT_FOUND	      ? 404
			     : code == RPC_RESOURCE_EXHAUSTED ? 503
							      : 400,
			     err.text);
}

static bool api_answer(struct page *page, const struct http_request *request,
		       struct http_answer *answer)
{
	const char *site = http_header(request, "Sec-Fetch-Site");

	answer->content_type = "application/json; charset=utf-8";
	// Browsers say whose page asks.
	if (*site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0) {
		error_answer(answer, 403, "only for the page itself");
		return true;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (strcmp(request->path, calls[i].path) == 0) {
			call_answer(page, calls[i].call, request, answer);
			return true;
		}
	return false;
}

static bool asset_answer(const char *path, struct http_answer *answer)
{
	for (const struct asset *asset = assets; asset->path; asset++)
		if (strcmp(path, asset->path) == 0) {
			answer->content_type = asset->content_type;
			answer->body = (char *)(uintptr_t)asset->bytes;
			answer->size = asset->size;
			answer->body_is_static = true;
			return true;
		}
	return false;
}

bool page_answer(struct page *page, const struct http_request *request, struct http_answer *answer)
{
	answer->headers = headers;
	if (!host_is_ours(http_header(request, "Host"), page->host)) {
		answer->content_type = "application/json; charset=utf-8";
		error_answer(answer, 421,
			     "this page is asked for by an address, localhost, the machine's name "
			     "or the name that --metrics has");
		return true;
	}
	if (strncmp(request->path, "/api/", 5) == 0)
		return api_answer(page, request, answer);
	return asset_answer(request->path, answer);
}

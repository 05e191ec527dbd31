// GET /metrics and /healthz, and the page.

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/control.h"
#include "page/page.h"
#include "telemetry/http.h"
#include "telemetry/telemetry.h"

struct metrics_server {
	struct control *control;
	struct http_server *http;
	struct page *page; // NULL: not served
};

static bool text_answer(struct http_answer *answer, unsigned int status, const char *text)
{
	answer->status = status;
	answer->content_type = "text/plain; charset=utf-8";
	answer->body = strdup(text);
	answer->size = answer->body ? strlen(text) : 0;
	return true;
}

static bool metrics_answer(const struct control *control, struct http_answer *answer)
{
	Sluice__V1__StatsResponse *stats = stats_collect(control);
	FILE *file = stats ? open_memstream(&answer->body, &answer->size) : NULL;

	if (file) {
		metrics_write(file, stats, control->node);
		if (fclose(file) != 0) {
			free(answer->body);
			file = NULL;
		}
	}
	if (stats)
		sluice__v1__stats_response__free_unpacked(stats, NULL);
	answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
	return file ? true : text_answer(answer, 503, "no memory\n");
}

static bool answer(void *context, const struct http_request *request, struct http_answer *result)
{
	const struct metrics_server *server = context;

	if (strcmp(request->path, "/metrics") == 0)
		return metrics_answer(server->control, result);
	// Who answers has what was stored in force, and a control thread that runs.
	if (strcmp(request->path, "/healthz") == 0)
		return text_answer(result, 200, "ok\n");
	return server->page && page_answer(server->page, request, result);
}

int metrics_server_open(struct control *control, const char *address, int *listener, bool with_page,
			struct metrics_server **result, struct error *err)
{
	struct metrics_server *server = calloc(1, sizeof(*server));

	if (!server)
		return error_set(err, "no memory");
	server->control = control;
	if (with_page) {
		server->page = page_new(control, address);
		if (!server->page) {
			free(server);
			return error_set(err, "no memory");
		}
	}
	if (http_server_open(control->base, address, listener, answer, server, &server->http, err) <
	    0) {
		page_free(server->page);
		free(server);
		return error_prefix(err, "metrics");
	}
	*result = server;
	return 0;
}

int metrics_server_listener(const struct metrics_server *server)
{
	return server ? http_server_listener(server->http) : -1;
}

void metrics_server_close(struct metrics_server *server)
{
	if (!server)
		return;
	http_server_close(server->http);
	page_free(server->page);
	free(server);
}

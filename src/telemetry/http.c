#include "telemetry/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <microhttpd.h>

#include "base/tcp.h"

#define CONNECTIONS_MAX	   16
#define CONNECTION_SECONDS 5
#define CONNECTION_MEMORY  16384 // for a request's headers
#define BACKLOG		   32

struct http_server {
	struct MHD_Daemon *daemon;
	struct event *readable; // libmicrohttpd's epoll descriptor
	struct event *timer;	// ends connections that say nothing
	http_handler *handler;
	void *context;
};

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned int status,
				   const char *text, const char *allow)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				"text/plain; charset=utf-8");
	if (allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *data, size_t *data_size, void **state)
{
	static int begun;
	struct http_server *server = context;
	const struct http_request request = {.path = path, .connection = connection};
	struct http_answer answer = {.status = MHD_HTTP_OK, .content_type = "text/plain"};
	struct MHD_Response *response;
	enum MHD_Result result;

	// The first call is for the headers only.
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*data_size) {
		*data_size = 0; // nobody wants it
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n",
				   "GET, HEAD");
	if (!server->handler(server->context, &request, &answer))
		return answer_text(connection, MHD_HTTP_NOT_FOUND, "not found\n", NULL);
	response = MHD_create_response_from_buffer(answer.size, answer.body,
						   answer.body_is_static ? MHD_RESPMEM_PERSISTENT
									 : MHD_RESPMEM_MUST_FREE);
	if (!response) {
		if (!answer.body_is_static)
			free(answer.body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	for (const struct http_header *header = answer.headers; header && header->name; header++)
		MHD_add_response_header(response, header->name, header->value);
	result = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return result;
}

static unsigned int connections(struct http_server *server)
{
	return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		->num_connections;
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
	struct http_server *server = context;
	MHD_UNSIGNED_LONG_LONG milliseconds;
	unsigned int before;

	// At its limit of connections libmicrohttpd leaves new ones alone, and only looks for them
	// again in the run after the one in which others have ended.
	do {
		before = connections(server);
		MHD_run(server->daemon);
	} while (connections(server) < before);
	if (MHD_get_timeout(server->daemon, &milliseconds) == MHD_YES) {
		struct timeval timeout = {
			.tv_sec = (time_t)(milliseconds / 1000),
			.tv_usec = (suseconds_t)(milliseconds % 1000 * 1000),
		};

		evtimer_add(server->timer, &timeout);
	} else {
		evtimer_del(server->timer);
	}
}

const char *http_query(const struct http_request *request, const char *name)
{
	const char *value =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);

	return value ? value : "";
}

const char *http_header(const struct http_request *request, const char *name)
{
	const char *value = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);

	return value ? value : "";
}

// "[::1]:80", "localhost:80", ":80".
bool http_address_split(const char *address, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(address, ':');
	const char *end = colon;

	if (!colon)
		return false;
	if (*address == '[') {
		address++;
		if (end == address || *--end != ']')
			return false;
	}
	if ((size_t)(end - address) >= size)
		return false;
	memcpy(host, address, (size_t)(end - address));
	host[end - address] = 0;
	*port = colon + 1;
	return true;
}

// What a request did wrong is its sender's affair; the log is not for strangers to fill.
static void keep_quiet(void *context, const char *format, va_list args)
{
}

int http_server_open(struct event_base *base, const char *address, int *listener,
		     http_handler *handler, void *context, struct http_server **result,
		     struct error *err)
{
	struct http_server *server = calloc(1, sizeof(*server));
	const union MHD_DaemonInfo *info;
	int fd;

	if (!server)
		return error_set(err, "no memory");
	server->handler = handler;
	server->context = context;
	fd = *listener >= 0 ? *listener : tcp_listen(address, BACKLOG, err);
	*listener = -1;
	if (fd < 0) {
		free(server);
		return -1;
	}
	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, server,
		MHD_OPTION_EXTERNAL_LOGGER, keep_quiet, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		CONNECTION_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_END);
	if (!server->daemon) {
		close(fd);
		free(server);
		return error_set(err, "%s: the HTTP server can't be started", address);
	}
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	server->timer = evtimer_new(base, on_event, server);
	if (info)
		server->readable =
			event_new(base, info->epoll_fd, EV_READ | EV_PERSIST, on_event, server);
	if (!server->timer || !server->readable || event_add(server->readable, NULL) < 0) {
		http_server_close(server);
		return error_set(err, "no memory");
	}
	*result = server;
	return 0;
}

int http_server_listener(const struct http_server *server)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_LISTEN_FD);

	return info ? info->listen_fd : -1;
}

void http_server_close(struct http_server *server)
{
	if (!server)
		return;
	if (server->readable)
		event_free(server->readable);
	if (server->timer)
		event_free(server->timer);
	MHD_stop_daemon(server->daemon);
	free(server);
}

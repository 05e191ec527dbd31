// A gRPC server on libevent: services and connections.

#include "rpc/server.h"

#include <signal.h>
#include <unistd.h>

#include "model/memory.h"
#include "rpc/server_private.h"

struct rpc_server *rpc_server_new(struct event_base *base, const struct rpc_limits *limits)
{
	struct rpc_server *server = memory_new(sizeof(*server));

	// A client that goes away while it is written to must not end the process.
	signal(SIGPIPE, SIG_IGN);
	server->base = base;
	if (limits)
		server->limits = *limits;
	limit_defaults(&server->limits);
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->listeners);
	return server;
}

int rpc_server_add(struct rpc_server *server, const ProtobufCServiceDescriptor *service,
		   const struct rpc_method *methods, void *context, struct error *err)
{
	for (const struct rpc_method *method = methods; method->name; method++)
		if (!protobuf_c_service_descriptor_get_method_by_name(service, method->name))
			return error_set(err, "service %s has no method %s", service->name,
					 method->name);
	server->services =
		memory_resize(server->services, server->service_count + 1, sizeof(struct service));
	server->services[server->service_count++] = (struct service){service, methods, context};
	return 0;
}

void server_serve(struct rpc_server *server, evutil_socket_t fd)
{
	struct bufferevent *stream;
	struct rpc_peer peer;

	if (limit_reached(server)) {
		close(fd);
		return;
	}
	evutil_make_socket_nonblocking(fd);
	stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!stream) {
		close(fd);
		return;
	}
	peer_of_socket(fd, &peer);
	connection_new(server, stream, &peer, NULL);
}

int rpc_server_accept(struct rpc_server *server, int fd, struct error *err)
{
	if (limit_reached(server)) {
		close(fd);
		return error_set(err, "too many connections");
	}
	server_serve(server, fd);
	return 0;
}

size_t rpc_server_connections(const struct rpc_server *server)
{
	return server->connection_count;
}

void rpc_server_look(const struct rpc_server *server, struct rpc_server_view *view)
{
	*view = (struct rpc_server_view){
		.connections = server->connection_count,
		.tls_connections = server->tls_count,
		.tls_refused = server->refused,
		.certificate_end = listeners_certificate_end(server),
	};
}

void rpc_server_free(struct rpc_server *server)
{
	struct listener *listener;
	struct connection *connection;

	if (!server)
		return;
	while ((listener = TAILQ_FIRST(&server->listeners)))
		listener_free(listener);
	while ((connection = TAILQ_FIRST(&server->connections)))
		connection_free(connection);
	limit_stop(server);
	free(server->services);
	free(server);
}

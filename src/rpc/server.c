// A gRPC server on libevent: services, listening sockets, connections.

#include "rpc/server.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/listener.h>

#include "model/memory.h"
#include "rpc/address.h"
#include "rpc/server_private.h"

#define BACKLOG 64

// A listening socket and its file.
struct listener {
	TAILQ_ENTRY(listener) entry;
	struct rpc_server *server;
	struct evconnlistener *listener;
	struct event *retry; // accepting goes on
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t device; // of the file
	ino_t inode;
};

struct rpc_server *rpc_server_new(struct event_base *base, const struct rpc_limits *limits)
{
	static const struct rpc_limits default_limits = RPC_LIMITS_DEFAULT;
	struct rpc_server *server = memory_new(sizeof(*server));

	// A client that goes away while it is written to must not end the process.
	signal(SIGPIPE, SIG_IGN);
	server->base = base;
	server->limits = limits ? *limits : default_limits;
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

static void server_serve(struct rpc_server *server, evutil_socket_t fd)
{
	struct bufferevent *stream;

	if (server->connection_count >= server->limits.connections) {
		close(fd);
		return;
	}
	evutil_make_socket_nonblocking(fd);
	stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!stream)
		close(fd);
	else
		connection_new(server, stream);
}

static void accept_connection(struct evconnlistener *source, evutil_socket_t fd,
			      struct sockaddr *address, int length, void *context)
{
	struct listener *listener = context;

	server_serve(listener->server, fd);
}

// For instance out of file descriptors. The socket stays readable, so that asking again at once
// would never end.
static void accept_failed(struct evconnlistener *source, void *context)
{
	struct listener *listener = context;
	struct timeval pause = {.tv_sec = 1};

	log_error("cannot accept a connection to the API: %s", strerror(errno));
	evconnlistener_disable(source);
	evtimer_add(listener->retry, &pause);
}

static void accept_again(evutil_socket_t fd, short what, void *context)
{
	struct listener *listener = context;

	evconnlistener_enable(listener->listener);
}

// Removes a socket file that nobody answers on.
static int stale_remove(const struct sockaddr_un *address, struct error *err)
{
	struct stat status;
	int fd, connected;

	if (lstat(address->sun_path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return error_set(err, "%s exists and is no socket", address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	connected = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	int failure = errno;
	close(fd);
	if (connected == 0 || failure != ECONNREFUSED)
		return error_set(err, "%s is in use by another process", address->sun_path);
	if (unlink(address->sun_path) < 0)
		return error_errno(err, "cannot remove the old socket %s", address->sun_path);
	return 0;
}

static int socket_bind(const struct sockaddr_un *address, struct error *err)
{
	char directory[sizeof(address->sun_path)];
	mode_t mask;
	int fd, bound;

	strcpy(directory, address->sun_path);
	// Whether it worked is seen when the socket is bound.
	mkdir(dirname(directory), 0755);
	if (stale_remove(address, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "cannot make a socket");
	mask = umask(0117); // 0660 from the first moment on
	bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	umask(mask);
	if (bound < 0 || listen(fd, BACKLOG) < 0) {
		error_errno(err, "cannot listen on %s", address->sun_path);
		close(fd);
		return -1;
	}
	return fd;
}

int rpc_server_listen(struct rpc_server *server, const char *address, struct error *err)
{
	struct listener *listener;
	struct sockaddr_un socket_address;
	struct stat status;
	int fd;

	if (rpc_address_parse(address, &socket_address, err) < 0)
		return -1;
	fd = socket_bind(&socket_address, err);
	if (fd < 0)
		return -1;
	listener = memory_new(sizeof(*listener));
	strcpy(listener->path, socket_address.sun_path);
	if (stat(listener->path, &status) == 0) {
		listener->device = status.st_dev;
		listener->inode = status.st_ino;
	}
	listener->listener =
		evconnlistener_new(server->base, accept_connection, listener,
				   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	listener->server = server;
	listener->retry = evtimer_new(server->base, accept_again, listener);
	if (!listener->listener || !listener->retry) {
		if (listener->retry)
			event_free(listener->retry);
		if (listener->listener)
			evconnlistener_free(listener->listener);
		else
			close(fd);
		free(listener);
		return error_set(err, "cannot listen on %s: out of memory",
				 socket_address.sun_path);
	}
	evconnlistener_set_error_cb(listener->listener, accept_failed);
	TAILQ_INSERT_TAIL(&server->listeners, listener, entry);
	return 0;
}

int rpc_server_accept(struct rpc_server *server, int fd, struct error *err)
{
	if (server->connection_count >= server->limits.connections) {
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

static void listener_free(struct listener *listener)
{
	struct stat status;

	evconnlistener_free(listener->listener);
	event_free(listener->retry);
	// Another process may have put its own in this place.
	if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
	free(listener);
}

void rpc_server_free(struct rpc_server *server)
{
	struct listener *listener;
	struct connection *connection;

	if (!server)
		return;
	while ((listener = TAILQ_FIRST(&server->listeners))) {
		TAILQ_REMOVE(&server->listeners, listener, entry);
		listener_free(listener);
	}
	while ((connection = TAILQ_FIRST(&server->connections)))
		connection_free(connection);
	free(server->services);
	free(server);
}

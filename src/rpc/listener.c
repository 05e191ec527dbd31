// The sockets that the server listens on: files, and TCP.

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/tcp.h"
#include "model/memory.h"
#include "rpc/address.h"
#include "rpc/server_private.h"

#define BACKLOG 64

// A listening socket, and its file or what TLS needs.
struct listener {
	TAILQ_ENTRY(listener) entry;
	struct rpc_server *server;
	struct evconnlistener *listener;
	struct event *retry;	  // accepting goes on
	struct listener_tls *tls; // NULL: a file
	bool left;		  // another process has it now
	bool lost;		  // its file can't be made again, and that was said
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t device; // of the file
	ino_t inode;
};

static void accept_connection(struct evconnlistener *source, evutil_socket_t fd,
			      struct sockaddr *address, int length, void *context)
{
	struct listener *listener = context;

	if (listener->tls)
		listener_tls_accept(listener->tls, fd, address);
	else
		server_serve(listener->server, fd);
}

// For instance out of file descriptors. The socket stays readable, so that asking again at once
// would never end.
static void accept_failed(struct evconnlistener *source, void *context)
{
	struct listener *listener = context;
	struct timeval pause = {.tv_sec = 1};

	log_error("cannot accept a connection to the API", log_text("reason", strerror(errno)));
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

static int file_bind(const struct sockaddr_un *address, struct error *err)
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

// Takes `fd` over. NULL: no memory.
static struct listener *listener_new(struct rpc_server *server, int fd)
{
	struct listener *listener = memory_new(sizeof(*listener));

	listener->server = server;
	listener->retry = evtimer_new(server->base, accept_again, listener);
	listener->listener =
		evconnlistener_new(server->base, accept_connection, listener,
				   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener->listener || !listener->retry) {
		if (listener->retry)
			event_free(listener->retry);
		if (listener->listener)
			evconnlistener_free(listener->listener);
		else
			close(fd);
		free(listener);
		return NULL;
	}
	evconnlistener_set_error_cb(listener->listener, accept_failed);
	TAILQ_INSERT_TAIL(&server->listeners, listener, entry);
	return listener;
}

static void file_know(struct listener *listener)
{
	struct stat status;

	if (stat(listener->path, &status) != 0)
		return;
	listener->device = status.st_dev;
	listener->inode = status.st_ino;
}

int rpc_server_listen(struct rpc_server *server, const char *address, int *given, struct error *err)
{
	struct listener *listener;
	struct sockaddr_un socket_address;
	int fd;

	if (rpc_address_parse(address, &socket_address, err) < 0)
		return -1;
	fd = given && *given >= 0 ? *given : file_bind(&socket_address, err);
	if (given)
		*given = -1;
	if (fd < 0)
		return -1;
	listener = listener_new(server, fd);
	if (!listener)
		return error_set(err, "cannot listen on %s: out of memory",
				 socket_address.sun_path);
	strcpy(listener->path, socket_address.sun_path);
	file_know(listener);
	return 0;
}

// Those who are connected stay so.
static void file_renew(struct listener *listener)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct evconnlistener *fresh = NULL;
	struct error err;
	int fd;

	strcpy(address.sun_path, listener->path);
	fd = file_bind(&address, &err);
	if (fd >= 0) {
		fresh = evconnlistener_new(listener->server->base, accept_connection, listener,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
		if (!fresh) {
			close(fd);
			error_set(&err, "no memory");
		}
	}
	if (!fresh) {
		if (!listener->lost)
			log_error("the API's socket cannot be made again",
				  log_text("path", listener->path), log_text("reason", err.text));
		listener->lost = true;
		return;
	}
	evconnlistener_free(listener->listener);
	listener->listener = fresh;
	evconnlistener_set_error_cb(fresh, accept_failed);
	file_know(listener);
	listener->lost = false;
	log_warning("the API's socket was removed; it is made again",
		    log_text("path", listener->path));
}

void rpc_server_check(struct rpc_server *server)
{
	struct listener *listener;
	struct stat status;

	TAILQ_FOREACH(listener, &server->listeners, entry)
	if (!listener->tls && !listener->left && lstat(listener->path, &status) < 0 &&
	    errno == ENOENT)
		file_renew(listener);
}

int rpc_server_listen_tls(struct rpc_server *server, const char *address, int *given,
			  const struct rpc_tls_files *files, const struct rpc_roles *roles,
			  struct error *err)
{
	struct listener_tls *tls = listener_tls_new(server, files, roles, err);
	struct listener *listener;
	int fd;

	if (!tls)
		return -1;
	fd = given && *given >= 0 ? *given : tcp_listen(address, BACKLOG, err);
	if (given)
		*given = -1;
	listener = fd < 0 ? NULL : listener_new(server, fd);
	if (!listener) {
		listener_tls_free(tls);
		return fd < 0 ? -1 : error_set(err, "no memory");
	}
	listener->tls = tls;
	if (roles->count == 0)
		log_warning("nobody has a role over TLS: roles in --config give them",
			    log_text("listen", address));
	return 0;
}

int rpc_server_listener(const struct rpc_server *server, bool tls)
{
	const struct listener *listener;

	TAILQ_FOREACH(listener, &server->listeners, entry)
	if (tls == (listener->tls != NULL))
		return evconnlistener_get_fd(listener->listener);
	return -1;
}

void rpc_server_leave(struct rpc_server *server)
{
	struct listener *listener;

	TAILQ_FOREACH(listener, &server->listeners, entry)
	{
		evconnlistener_disable(listener->listener);
		evtimer_del(listener->retry);
		listener->left = true;
	}
}

time_t listeners_certificate_end(const struct rpc_server *server)
{
	const struct listener *listener;
	time_t first = 0;

	TAILQ_FOREACH(listener, &server->listeners, entry)
	{
		time_t end = listener->tls ? listener_tls_end(listener->tls) : 0;

		if (end && (!first || end < first))
			first = end;
	}
	return first;
}

void listener_free(struct listener *listener)
{
	struct stat status;

	TAILQ_REMOVE(&listener->server->listeners, listener, entry);
	evconnlistener_free(listener->listener);
	event_free(listener->retry);
	// Another process may have put its own in this place, or have got this one.
	if (!listener->left && !listener->tls && lstat(listener->path, &status) == 0 &&
	    status.st_dev == listener->device && status.st_ino == listener->inode)
		unlink(listener->path);
	listener_tls_free(listener->tls);
	free(listener);
}

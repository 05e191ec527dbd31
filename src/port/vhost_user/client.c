// Looks for the socket of a workload that makes it: the kernel tells when something comes into its
// directory (inotify), so that nobody waits and nothing is polled. Where that can't be had, and for
// a directory that is not there yet, once a second.

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port/vhost_user/vhost_user.h"

// Milliseconds: between looks at what came into the directory, and from the end of a connection to
// the next try; from one try to the next while the socket is there and nobody listens yet; and the
// most of the last two.
#define PAUSE	     10
#define PATIENCE     2
#define PATIENCE_END 1000

static void later(struct vhost_port *port, uint32_t milliseconds)
{
	struct timeval time = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	event_add(port->again, &time);
}

static void watch_end(struct vhost_port *port)
{
	if (port->watched)
		event_free(port->watched);
	port->watched = NULL;
	if (port->watch >= 0)
		close(port->watch);
	port->watch = -1;
}

static const char *name_of(const struct vhost_port *port)
{
	const char *slash = strrchr(port->path, '/');

	return slash ? slash + 1 : port->path;
}

// Returns 0, or what was the matter.
static int try_connect(struct vhost_port *port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), problem;

	if (fd < 0)
		return errno;
	memcpy(address.sun_path, port->path, strlen(port->path));
	// It never waits: where the other end's queue is full it fails.
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		watch_end(port);
		port->patience = 0;
		vhost_connection_open(port, fd);
		return 0;
	}
	problem = errno;
	close(fd);
	return problem;
}

static void attempt(struct vhost_port *port)
{
	int problem;

	if (!TAILQ_EMPTY(&port->guests))
		return;
	problem = try_connect(port);
	if (problem == 0 || problem == ENOENT)
		return;
	if (port->patience >= PATIENCE_END)
		return;
	// Most likely it is about to listen. Later on, once a second will do.
	port->patience = port->patience ? port->patience * 2 : PATIENCE;
	later(port, port->patience);
}

static void on_watched(evutil_socket_t fd, short what, void *context)
{
	_Alignas(struct inotify_event) char buffer[4096];
	struct vhost_port *port = context;
	ssize_t size = read(fd, buffer, sizeof(buffer));
	bool came = false, ended = size <= 0;

	for (char *at = buffer; at < buffer + size;) {
		const struct inotify_event *event = (const struct inotify_event *)(void *)at;

		ended |= event->mask & IN_IGNORED;
		came |= event->mask & IN_Q_OVERFLOW ||
			(event->len && strcmp(event->name, name_of(port)) == 0);
		at += sizeof(*event) + event->len;
	}
	if (ended) {
		watch_end(port);
	} else {
		// A busy directory is not looked at all the time.
		event_del(port->watched);
		later(port, PAUSE);
	}
	if (came) {
		port->patience = 0;
		attempt(port);
	}
}

static void watch_begin(struct vhost_port *port)
{
	char directory[sizeof(port->path)];
	size_t length = (size_t)(name_of(port) - port->path);

	if (port->watch >= 0)
		return;
	memcpy(directory, length ? port->path : ".", length ? length : 1);
	directory[length ? length : 1] = 0;
	port->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (port->watch < 0)
		return;
	port->watched = event_new(port->environment->base, port->watch, EV_READ | EV_PERSIST,
				  on_watched, port);
	if (inotify_add_watch(port->watch, directory, IN_CREATE | IN_MOVED_TO) < 0 ||
	    !port->watched || event_add(port->watched, NULL) < 0)
		watch_end(port);
}

static void look(struct vhost_port *port)
{
	// First the watch: what comes between it and the try is seen twice, and never missed.
	watch_begin(port);
	attempt(port);
}

static void on_again(evutil_socket_t fd, short what, void *context)
{
	struct vhost_port *port = context;

	if (!TAILQ_EMPTY(&port->guests))
		return;
	if (port->watched)
		event_add(port->watched, NULL);
	look(port);
}

void vhost_client_check(struct vhost_port *port)
{
	if (TAILQ_EMPTY(&port->guests))
		look(port);
}

void vhost_client_ended(struct vhost_port *port, bool served)
{
	// Whoever accepts and closes, or makes sockets, again and again could keep this thread
	// busy: nothing is looked at before.
	if (served || !port->pause)
		port->pause = PAUSE;
	else
		port->pause = RTE_MIN(2 * port->pause, PATIENCE_END);
	later(port, port->pause);
}

int vhost_client_open(struct vhost_port *port, struct error *err)
{
	port->again = event_new(port->environment->base, -1, 0, on_again, port);
	if (!port->again)
		return error_set(err, "%s: no memory", port->path);
	vhost_client_check(port);
	return 0;
}

void vhost_client_close(struct vhost_port *port)
{
	watch_end(port);
	if (port->again)
		event_free(port->again);
	port->again = NULL;
}

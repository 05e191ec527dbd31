// The socket of a vhost-user port that Sluice makes.

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "port/vhost_user/vhost_user.h"

#define BACKLOG 16

// Removes a socket that nobody listens on; nobody else's file or socket is taken away.
static int path_free(int fd, const struct sockaddr_un *address, struct error *err)
{
	const char *path = address->sun_path;
	struct stat status;

	if (lstat(path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return error_set(err, "%s: exists and is not a socket", path);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return error_set(err, "%s: another process listens on it", path);
	if (errno != ECONNREFUSED || unlink(path) < 0)
		return error_errno(err, "%s: socket of another process", path);
	return 0;
}

// The number of an account: a number, or what the node has for the name.
static int user_find(const char *name, uint32_t *number, struct error *err)
{
	const struct passwd *entry;
	char *end;

	*number = (uint32_t)strtoul(name, &end, 10);
	if (!*end)
		return 0;
	entry = getpwnam(name);
	if (!entry)
		return error_set(err, "no user '%s' on this node", name);
	*number = entry->pw_uid;
	return 0;
}

static int group_find(const char *name, uint32_t *number, struct error *err)
{
	const struct group *entry;
	char *end;

	*number = (uint32_t)strtoul(name, &end, 10);
	if (!*end)
		return 0;
	entry = getgrnam(name);
	if (!entry)
		return error_set(err, "no group '%s' on this node", name);
	*number = entry->gr_gid;
	return 0;
}

// By descriptor: whoever may write in the directory could put something else in the socket's place.
static int permissions_set(struct vhost_port *port, uint32_t mode, uint32_t user, uint32_t group,
			   struct error *err)
{
	int fd = open(port->path, O_PATH | O_NOFOLLOW | O_CLOEXEC), result = -1;
	char name[32];
	struct stat status;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (fd >= 0 && fstat(fd, &status) == 0) {
		if (!S_ISSOCK(status.st_mode)) {
			errno = ENOTSOCK;
		} else {
			port->socket_device = status.st_dev;
			port->socket_inode = status.st_ino;
			if (fchownat(fd, "", user, group, AT_EMPTY_PATH) == 0 &&
			    chmod(name, mode) == 0)
				result = 0;
		}
	}
	if (result < 0)
		error_errno(err, "%s: permissions of the socket", port->path);
	if (fd >= 0)
		close(fd);
	return result;
}

static int socket_bind(struct vhost_port *port, const struct sockaddr_un *address,
		       const struct port_device *device, struct error *err)
{
	uint32_t user = UINT32_MAX, group = UINT32_MAX, mode = device->mode;
	mode_t mask;
	int result;

	if ((*device->owner && user_find(device->owner, &user, err) < 0) ||
	    (*device->group && group_find(device->group, &group, err) < 0))
		return error_prefix(err, "%s", port->path);
	// Until all is as it should be, nobody has permission (but root, who needs none). Only this
	// thread makes files while the process runs.
	mask = umask(0777);
	if (mode == PORT_MODE_NONE)
		mode = 0777 & ~mask;
	result = bind(port->listener, (const struct sockaddr *)address, sizeof(*address));
	umask(mask);
	if (result < 0)
		return error_errno(err, "%s: cannot make the socket", port->path);
	return permissions_set(port, mode, user, group, err);
}

static void on_acceptable(evutil_socket_t listener, short what, void *context)
{
	struct vhost_port *port = context;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		vhost_connection_open(port, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		// They wait in the kernel; looked at again once a second.
		event_del(port->acceptable);
		port->accepting = false;
	}
}

void vhost_socket_check(struct vhost_port *port)
{
	if (port->acceptable && !port->accepting)
		port->accepting = event_add(port->acceptable, NULL) == 0;
}

static int accept_begin(struct vhost_port *port, struct error *err)
{
	port->acceptable = event_new(port->environment->base, port->listener, EV_READ | EV_PERSIST,
				     on_acceptable, port);
	vhost_socket_check(port);
	return port->accepting ? 0 : error_set(err, "%s: no memory", port->path);
}

int vhost_socket_adopt(struct vhost_port *port, int fd, struct error *err)
{
	struct stat status;

	port->listener = fd;
	if (lstat(port->path, &status) == 0 && S_ISSOCK(status.st_mode)) {
		port->socket_device = status.st_dev;
		port->socket_inode = status.st_ino;
	}
	return accept_begin(port, err);
}

int vhost_socket_open(struct vhost_port *port, const struct port_device *device, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int probe, result;

	memcpy(address.sun_path, port->path, strlen(port->path));
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return error_errno(err, "%s: socket", port->path);
	result = path_free(probe, &address, err);
	close(probe);
	if (result < 0)
		return -1;
	port->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (port->listener < 0)
		return error_errno(err, "%s: socket", port->path);
	if (socket_bind(port, &address, device, err) < 0)
		return -1;
	if (listen(port->listener, BACKLOG) < 0)
		return error_errno(err, "%s: listen", port->path);
	return accept_begin(port, err);
}

void vhost_socket_close(struct vhost_port *port)
{
	struct stat status;

	if (port->acceptable)
		event_free(port->acceptable);
	port->acceptable = NULL;
	if (port->listener < 0)
		return;
	if (!port->port.handed_over && port->socket_inode && lstat(port->path, &status) == 0 &&
	    status.st_dev == port->socket_device && status.st_ino == port->socket_inode)
		unlink(port->path);
	close(port->listener);
	port->listener = -1;
}

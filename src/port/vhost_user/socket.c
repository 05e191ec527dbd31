// The socket of a vhost-user port that Sluice makes.

#include <errno.h>
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

#include "port/vhost_user/vhost_user.h"

int vhost_socket_prepare(const char *path, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, result;

	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, "%s: socket", path);
	if (lstat(path, &status) == 0) {
		if (!S_ISSOCK(status.st_mode)) {
			close(fd);
			return error_set(err, "%s: exists and is not a socket", path);
		}
		result = connect(fd, (struct sockaddr *)&address, sizeof(address));
		if (result == 0 || errno == EAGAIN) {
			close(fd);
			return error_set(err, "%s: another process listens on it", path);
		}
		if (errno != ECONNREFUSED || unlink(path) < 0) {
			error_errno(err, "%s: socket of another process", path);
			close(fd);
			return -1;
		}
	}
	result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	if (result < 0)
		error_errno(err, "%s: cannot make the socket", path);
	else
		unlink(path);
	close(fd);
	return result;
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

static int start(const char *path, struct error *err)
{
	return rte_vhost_driver_start(path) < 0
		       ? error_set(err, "%s: vhost-user cannot be started", path)
		       : 0;
}

// By descriptor: whoever may write in the directory could put something else in the socket's place.
static int permissions_set(const char *path, uint32_t mode, uint32_t user, uint32_t group,
			   struct error *err)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), result = -1;
	char name[32];
	struct stat status;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (fd >= 0 && fstat(fd, &status) == 0) {
		if (!S_ISSOCK(status.st_mode))
			errno = ENOTSOCK;
		else if (fchownat(fd, "", user, group, AT_EMPTY_PATH) == 0 &&
			 chmod(name, mode) == 0)
			result = 0;
	}
	if (result < 0)
		error_errno(err, "%s: permissions of the socket", path);
	if (fd >= 0)
		close(fd);
	return result;
}

int vhost_socket_start(const char *path, const struct port_device *device, struct error *err)
{
	uint32_t user = UINT32_MAX, group = UINT32_MAX, mode = device->mode;
	mode_t mask;

	if (!device->server || (mode == PORT_MODE_NONE && !*device->owner && !*device->group))
		return start(path, err);
	if ((*device->owner && user_find(device->owner, &user, err) < 0) ||
	    (*device->group && group_find(device->group, &group, err) < 0))
		return error_prefix(err, "%s", path);
	// The library binds and listens at once. Until all is as it should be, nobody has
	// permission (but root, who needs none). Only this thread makes files while the process
	// runs.
	mask = umask(0777);
	if (mode == PORT_MODE_NONE)
		mode = 0777 & ~mask;
	if (start(path, err) < 0) {
		umask(mask);
		return -1;
	}
	umask(mask);
	return permissions_set(path, mode, user, group, err);
}

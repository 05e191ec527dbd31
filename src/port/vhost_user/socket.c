// The socket of a vhost-user port that Sluice makes.

#include <errno.h>
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

#include "control/upgrade/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/upgrade/upgrade.h"

// In the new process; all above are closed.
#define CHILD_CHANNEL 3
// The program, opened before it was looked at, so that it is the one that was.
#define CHILD_PROGRAM	   UPGRADE_PROGRAM
#define CHILD_PROGRAM_PATH "/proc/self/fd/4"

extern char **environ;

// The program that runs, or what was put in its place.
void upgrade_program_own(char path[PATH_MAX])
{
	static const char deleted[] = " (deleted)";
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
	size_t end = sizeof(deleted) - 1;

	if (size < 0)
		size = 0;
	path[size] = 0;
	if ((size_t)size > end && strcmp(path + size - end, deleted) == 0)
		path[(size_t)size - end] = 0;
}

int upgrade_program_open(const char *path, struct error *err)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat is;

	if (fd < 0 || fstat(fd, &is) < 0) {
		error_errno(err, "%.200s", path);
	} else if (!S_ISREG(is.st_mode) || is.st_uid != 0 || is.st_mode & (S_IWGRP | S_IWOTH) ||
		   !(is.st_mode & S_IXUSR)) {
		error_set(err, "%.200s is no program that only root can write", path);
	} else {
		// Above those that the child is given.
		int high = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_PROGRAM + 1);

		if (high < 0)
			error_errno(err, "%.200s", path);
		close(fd);
		return high;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static char **environment_new(char waited[static 64])
{
	size_t count = 0, used = 0;
	char **list;

	while (environ[count])
		count++;
	list = calloc(count + 3, sizeof(*list));
	if (!list)
		return NULL;
	// Who has no service manager that would hear of another process waits for it; and the first
	// of all goes on waiting.
	snprintf(waited, 64, "%s=%d", UPGRADE_WAITED, getpid());
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "WATCHDOG_PID=", 13) != 0 &&
		    strncmp(environ[i], UPGRADE_ENVIRONMENT "=", sizeof(UPGRADE_ENVIRONMENT)) != 0)
			list[used++] = environ[i];
	list[used] = (char *)(uintptr_t)UPGRADE_ENVIRONMENT "=3";
	if (!getenv("NOTIFY_SOCKET") && !getenv(UPGRADE_WAITED))
		list[used + 1] = waited;
	return list;
}

pid_t upgrade_program_start(int program, char *const *arguments, int *channel, struct error *err)
{
	char waited[64], **environment = environment_new(waited);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int pair[2], result;
	pid_t child;

	_Static_assert(CHILD_CHANNEL == 3, "in the environment as text");
	if (!environment)
		return error_set(err, "no memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		free(environment);
		return error_errno(err, "socket");
	}
	// Not forked: that would have workers wait for copies of their pages.
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pair[1], CHILD_CHANNEL);
	posix_spawn_file_actions_adddup2(&actions, program, CHILD_PROGRAM);
	posix_spawn_file_actions_addclosefrom_np(&actions, CHILD_PROGRAM + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	result = posix_spawn(&child, CHILD_PROGRAM_PATH, &actions, &attributes, arguments,
			     environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	close(pair[1]);
	*channel = pair[0];
	return result == 0 ? child : error_set(err, "%s", strerror(result));
}

#include "sluiced/waiter.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include <event2/event.h>

#include "control/upgrade/upgrade.h"

void waiter_become(char **argv)
{
	// Whose parent ends becomes a child of this one.
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && setenv(WAITER_ENVIRONMENT, "1", 1) == 0 &&
	    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		execv("/proc/self/exe", argv);
}

// The one whose place this one has taken is its parent, until it ends.
static void follow(evutil_socket_t fd, short what, void *base)
{
	static const struct timeval again = {.tv_sec = 1};
	const char *text = getenv(UPGRADE_WAITED);
	pid_t waiter = text ? atoi(text) : 0;

	if (!waiter)
		return;
	if (getppid() == waiter)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	// It may have ended before.
	if (kill(waiter, 0) < 0 && errno == ESRCH)
		kill(getpid(), SIGTERM);
	else if (getppid() != waiter)
		event_base_once(base, -1, EV_TIMEOUT, follow, base, &again);
}

void waiter_follow(struct event_base *base)
{
	follow(-1, 0, base);
}

bool waiter_is_wanted(void)
{
	return getenv(WAITER_ENVIRONMENT) != NULL;
}

// Of a process; 0: it has ended.
static pid_t parent_of(const char *process)
{
	char path[300], line[512];
	const char *rest = NULL;
	pid_t parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/stat", process);
	file = fopen(path, "re");
	if (!file)
		return 0;
	// Its name, in brackets, may have anything in it.
	if (fgets(line, sizeof(line), file))
		rest = strrchr(line, ')');
	if (rest && sscanf(rest, ") %*c %d", &parent) != 1)
		parent = 0;
	fclose(file);
	return parent;
}

// Not every kernel lists a process's children.
static void pass_on(int number)
{
	const struct dirent *entry;
	DIR *processes = opendir("/proc");

	if (!processes)
		return;
	while ((entry = readdir(processes)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    parent_of(entry->d_name) == getpid())
			kill(atoi(entry->d_name), number);
	closedir(processes);
}

// False: there are no more.
static bool collect(int *status)
{
	int how;
	pid_t child;

	while ((child = waitpid(-1, &how, WNOHANG)) > 0)
		*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
	return child == 0 || errno == EINTR;
}

int waiter_run(void)
{
	sigset_t awaited;
	int status = 0, number, passed = 0;

	sigemptyset(&awaited);
	sigaddset(&awaited, SIGTERM);
	sigaddset(&awaited, SIGINT);
	sigaddset(&awaited, SIGHUP);
	sigaddset(&awaited, SIGCHLD);
	sigprocmask(SIG_BLOCK, &awaited, NULL);
	while (collect(&status)) {
		if (sigwait(&awaited, &number) != 0)
			continue;
		if (number != SIGCHLD)
			passed = number;
		// Also to the one whose parent has just ended, which did not hear it before.
		if (passed)
			pass_on(passed);
	}
	return status;
}

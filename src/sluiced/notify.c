#include "sluiced/notify.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

struct notify {
	struct event *watchdog; // NULL: not asked for
	struct sockaddr_un address;
	socklen_t length;
	int fd;
};

static int message_send(const struct notify *notify, const char *text)
{
	ssize_t sent = sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL,
			      (const struct sockaddr *)&notify->address, notify->length);

	return sent < 0 ? -1 : 0;
}

static void on_watchdog(evutil_socket_t fd, short what, void *context)
{
	// Where one is lost, the next follows before the time is up.
	message_send(context, "WATCHDOG=1");
}

// A path, or after '@' a name without a file.
static bool address_read(struct notify *notify, const char *text)
{
	size_t length = strlen(text);

	if ((*text != '/' && *text != '@') || length < 2 ||
	    length >= sizeof(notify->address.sun_path))
		return false;
	notify->address.sun_family = AF_UNIX;
	memcpy(notify->address.sun_path, text, length + 1);
	notify->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	if (*text == '@')
		notify->address.sun_path[0] = '\0';
	else
		notify->length++; // with the 0 at its end
	return true;
}

// A positive number of the environment; 0: there is none.
static unsigned long long number_read(const char *name)
{
	const char *text = getenv(name);
	unsigned long long number;
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return 0;
	errno = 0;
	number = strtoull(text, &end, 10);
	return *end || errno ? 0 : number;
}

// Half of the interval after which the manager takes the daemon for dead, microseconds; 0: no
// watchdog.
static unsigned long long watchdog_interval(void)
{
	unsigned long long pid = number_read("WATCHDOG_PID");

	if (getenv("WATCHDOG_PID") && pid != (unsigned long long)getpid())
		return 0;
	return number_read("WATCHDOG_USEC") / 2;
}

static void watchdog_begin(struct notify *notify, struct event_base *base)
{
	unsigned long long interval = watchdog_interval();
	struct timeval time = {
		.tv_sec = (time_t)(interval / 1000000),
		.tv_usec = (suseconds_t)(interval % 1000000),
	};

	if (!interval)
		return;
	notify->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, notify);
	if (!notify->watchdog || event_add(notify->watchdog, &time) < 0)
		log_warning("no memory for the watchdog's timer");
}

struct notify *notify_ready(struct event_base *base, const char *node)
{
	const char *text = getenv("NOTIFY_SOCKET");
	struct notify *notify;
	char message[384];

	if (!text)
		return NULL;
	notify = calloc(1, sizeof(*notify));
	if (!notify)
		return NULL;
	notify->fd = -1;
	if (!address_read(notify, text)) {
		log_warning("NOTIFY_SOCKET is no address of a socket", log_text("address", text));
		free(notify);
		return NULL;
	}
	notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(message, sizeof(message), "READY=1\nSTATUS=node %s", node);
	if (notify->fd < 0 || message_send(notify, message) < 0)
		log_warning("the service manager can't be told", log_text("address", text),
			    log_text("reason", strerror(errno)));
	watchdog_begin(notify, base);
	return notify;
}

static void notify_free(struct notify *notify)
{
	if (notify->watchdog)
		event_free(notify->watchdog);
	if (notify->fd >= 0)
		close(notify->fd);
	free(notify);
}

void notify_successor(struct notify *notify, pid_t successor)
{
	char message[64];

	if (!notify)
		return;
	// Not ready for the first time: what it said itself was not heard, as it was not the main
	// process then.
	snprintf(message, sizeof(message), "MAINPID=%d\nREADY=1", successor);
	message_send(notify, message);
	notify_free(notify);
}

void notify_stopping(struct notify *notify)
{
	if (!notify)
		return;
	message_send(notify, "STOPPING=1");
	notify_free(notify);
}

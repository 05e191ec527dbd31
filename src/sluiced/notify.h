// What a service manager that started the daemon is told, by the protocol of sd_notify(3): ready,
// stopping, and at half of the watchdog's interval that the event loop still turns.

#pragma once

#include <sys/types.h>

#include <event2/event.h>

struct notify;

// Says that the daemon is ready and begins with the watchdog, as NOTIFY_SOCKET, WATCHDOG_USEC and
// WATCHDOG_PID of the environment ask for. NULL: nobody asks.
struct notify *notify_ready(struct event_base *base, const char *node);

// Says that another process is the daemon now. NULL is allowed.
void notify_successor(struct notify *notify, pid_t successor);

// Says that the daemon is ending. NULL is allowed.
void notify_stopping(struct notify *notify);

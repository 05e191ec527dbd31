// What a service manager that started the daemon is told, by the protocol of sd_notify(3): ready,
// stopping, and at half of the watchdog's interval that the event loop still turns.

#pragma once

#include <event2/event.h>

struct notify;

// Says that the daemon is ready and begins with the watchdog, as NOTIFY_SOCKET, WATCHDOG_USEC and
// WATCHDOG_PID of the environment ask for. NULL: nobody asks.
struct notify *notify_ready(struct event_base *base, const char *node);

// Says that the daemon is ending. NULL is allowed.
void notify_stopping(struct notify *notify);

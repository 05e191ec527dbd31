// What the parts of Watch share.

#pragma once

#include <sys/queue.h>

#include "control/control.h"
#include "control/watch_log.h"

#define EVENT(name) SLUICE__V1__WATCH_EVENT_TYPE__WATCH_EVENT_TYPE_##name

struct watcher;

struct watch {
	struct watch_log log;
	struct event *wake;
	bool behind; // as it was told
	uint32_t count;
	TAILQ_HEAD(, watcher) watchers;
};

// watch_changes.c: puts into the log the objects whose status is another one. `silent`: only
// remembers how they are.
void watch_look(struct control *control, bool silent);

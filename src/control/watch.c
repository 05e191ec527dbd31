// Watch: calls that are told what the objects and their status are, and then what becomes of them.
// All calls read one log, each at its own pace; nothing is kept for a slow one.

#include <stdlib.h>

#include "control/control.h"
#include "control/watch_private.h"
#include "model/kind.h"
#include "model/memory.h"
#include "model/object.h"

#define WATCHERS_MAX 64

#define UNMARKED UINT64_MAX

enum phase {
	PHASE_LIST,   // the snapshot, as it is
	PHASE_LOG,    // what has changed since
	PHASE_STATUS, // the snapshot's status, for who goes on
};

struct watcher {
	TAILQ_ENTRY(watcher) entry;
	struct control *control;
	struct rpc_call *call;
	Sluice__V1__Object__KindCase kind; // NOT_SET: all
	char *name;			   // empty: all
	enum phase phase;
	bool resumed;	   // the status is still to be told
	bool asleep;	   // is to be woken
	uint64_t sequence; // next entry of the log
	uint64_t revision; // of the last one
	uint64_t marked;   // of the last bookmark
	// The snapshot: kinds from `kind_index` on, of which the present one is in `objects`.
	struct object_set *snapshot;
	size_t kind_index;
	const Sluice__V1__Object **objects;
	size_t count, index;
	struct member *member; // in the message
	Sluice__V1__WatchEvent message;
};

static bool is_wanted(const struct watcher *watcher, const Sluice__V1__Object *object)
{
	return (!watcher->kind || watcher->kind == object->kind_case) &&
	       (!*watcher->name || strcmp(watcher->name, object_name(object)) == 0);
}

// ---- messages

static void message_clear(struct watcher *watcher)
{
	if (watcher->message.status)
		sluice__v1__object_status__free_unpacked(watcher->message.status, NULL);
	if (watcher->member)
		member_release(watcher->member);
	watcher->member = NULL;
	sluice__v1__watch_event__init(&watcher->message);
}

// The status is of the present version of an object, or of none.
static enum rpc_next message_fill(struct watcher *watcher, Sluice__V1__WatchEventType type,
				  const Sluice__V1__Object *object, uint64_t revision)
{
	const struct control *control = watcher->control;
	const Sluice__V1__Object *present =
		object_set_find(control->objects, object->kind_case, object_name(object));

	watcher->message.type = type;
	watcher->message.revision = revision;
	watcher->message.object = (Sluice__V1__Object *)(uintptr_t)object;
	if (present && (present == object || object_equal(present, object)))
		watcher->message.status = status_new(control, present);
	return RPC_NEXT_MESSAGE;
}

// ---- the snapshot

static void snapshot_free(struct watcher *watcher)
{
	free(watcher->objects);
	object_set_free(watcher->snapshot);
	watcher->objects = NULL;
	watcher->snapshot = NULL;
	watcher->count = 0;
	watcher->index = 0;
}

// NULL: there are no more.
static const Sluice__V1__Object *snapshot_next(struct watcher *watcher)
{
	Sluice__V1__Object__KindCase kind;

	for (;;) {
		while (watcher->index < watcher->count) {
			const Sluice__V1__Object *object = watcher->objects[watcher->index++];

			if (is_wanted(watcher, object))
				return object;
		}
		free(watcher->objects);
		watcher->objects = NULL;
		watcher->count = 0;
		watcher->index = 0;
		kind = kind_at(watcher->kind_index++);
		if (kind == SLUICE__V1__OBJECT__KIND__NOT_SET)
			return NULL;
		if (!watcher->kind || watcher->kind == kind)
			watcher->count =
				object_set_sorted(watcher->snapshot, kind, &watcher->objects);
	}
}

// Does it change though the object does not?
static bool has_own_status(const struct control *control, const Sluice__V1__Object *object)
{
	// Those that have to do with routers outside.
	return object->kind_case == SLUICE__V1__OBJECT__KIND_ROUTE ||
	       (object->kind_case == SLUICE__V1__OBJECT__KIND_NETWORK &&
		object->network->external) ||
	       object->kind_case == SLUICE__V1__OBJECT__KIND_NODE ||
	       (object->kind_case == SLUICE__V1__OBJECT__KIND_PORT &&
		strcmp(object->port->node, control->node) == 0);
}

static enum rpc_next next_of_snapshot(struct watcher *watcher)
{
	bool list = watcher->phase == PHASE_LIST;
	const Sluice__V1__Object *object;

	while ((object = snapshot_next(watcher)) != NULL) {
		if (!list && !has_own_status(watcher->control, object))
			continue;
		message_fill(watcher, list ? EVENT(PRESENT) : EVENT(STATUS), object,
			     watcher->revision);
		// Of one that has changed since the log tells more.
		if (list || watcher->message.status)
			return RPC_NEXT_MESSAGE;
		message_clear(watcher);
	}
	snapshot_free(watcher);
	watcher->phase = PHASE_LOG;
	watcher->marked = UNMARKED;
	return RPC_NEXT_WAIT;
}

// ---- the log

static enum rpc_next next_entry(struct watcher *watcher, const struct watch_entry *entry)
{
	const Sluice__V1__Object *object = member_object(entry->member);

	watcher->sequence++;
	if (!is_wanted(watcher, object))
		return RPC_NEXT_WAIT;
	watcher->member = member_hold(entry->member);
	message_fill(watcher, entry->type, object, entry->revision);
	if (entry->type != EVENT(STATUS) || watcher->message.status)
		return RPC_NEXT_MESSAGE;
	message_clear(watcher);
	return RPC_NEXT_WAIT;
}

static enum rpc_next next_bookmark(struct watcher *watcher)
{
	watcher->marked = watcher->revision;
	watcher->message.type = EVENT(BOOKMARK);
	watcher->message.revision = watcher->revision;
	return RPC_NEXT_MESSAGE;
}

static enum rpc_next next_of_log(struct watcher *watcher, struct rpc_status *status)
{
	const struct watch_log *log = &watcher->control->watch->log;

	for (;;) {
		const struct watch_entry *entry = watch_log_at(log, watcher->sequence);
		uint64_t revision = entry ? entry->revision : log->revision;

		if (!entry && watcher->sequence < log->next) {
			rpc_status_set(status, RPC_OUT_OF_RANGE,
				       "too much has changed since the last event that was taken: "
				       "watch anew, without a revision");
			return RPC_NEXT_END;
		}
		// All of a revision was told when nothing is left, or something of the next one.
		if ((!entry || revision > watcher->revision) && !watcher->resumed &&
		    watcher->marked != watcher->revision)
			return next_bookmark(watcher);
		if (revision > watcher->revision) {
			watcher->revision = revision;
			continue;
		}
		if (entry && next_entry(watcher, entry) == RPC_NEXT_MESSAGE)
			return RPC_NEXT_MESSAGE;
		if (entry)
			continue;
		if (!watcher->resumed)
			return RPC_NEXT_WAIT;
		watcher->resumed = false;
		watcher->phase = PHASE_STATUS;
		watcher->snapshot = object_set_copy(watcher->control->objects);
		return RPC_NEXT_WAIT;
	}
}

static enum rpc_next next(void *context, const ProtobufCMessage **message,
			  struct rpc_status *status)
{
	struct watcher *watcher = context;
	enum phase phase;
	enum rpc_next result;

	message_clear(watcher);
	*message = &watcher->message.base;
	do {
		phase = watcher->phase;
		result = phase == PHASE_LOG ? next_of_log(watcher, status)
					    : next_of_snapshot(watcher);
	} while (result == RPC_NEXT_WAIT && watcher->phase != phase);
	return result;
}

static void close_watcher(void *context)
{
	struct watcher *watcher = context;
	struct watch *watch = watcher->control->watch;

	TAILQ_REMOVE(&watch->watchers, watcher, entry);
	watch->count--;
	message_clear(watcher);
	snapshot_free(watcher);
	free(watcher->name);
	free(watcher);
}

static const struct rpc_stream watch_stream = {
	.next = next,
	.close = close_watcher,
};

// ---- the call

// False: the call was answered.
static bool request_check(struct control *control, struct rpc_call *call,
			  const Sluice__V1__WatchRequest *request, uint64_t *sequence)
{
	const struct watch_log *log = &control->watch->log;
	const char *near;

	if (*request->kind && kind_find(request->kind) == SLUICE__V1__OBJECT__KIND__NOT_SET) {
		near = kind_suggest(request->kind);
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, NULL, "unknown kind '%.60s'%s%s%s",
			      request->kind, near ? ", did you mean '" : "", near ? near : "",
			      near ? "'?" : "");
		return false;
	}
	if (*request->name && !*request->kind) {
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, NULL, "a name needs a kind");
		return false;
	}
	if (control->watch->count == WATCHERS_MAX) {
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "%d callers watch already",
			      WATCHERS_MAX);
		return false;
	}
	*sequence = log->next;
	if (request->has_revision_case && !watch_log_find(log, request->revision, sequence)) {
		rpc_call_fail(call, RPC_OUT_OF_RANGE, NULL,
			      "revision %llu is not among those that are kept (%llu to %llu): "
			      "watch anew, without a revision",
			      (unsigned long long)request->revision,
			      (unsigned long long)log->oldest, (unsigned long long)log->revision);
		return false;
	}
	return true;
}

void watch_answer(struct control *control, struct rpc_call *call,
		  const Sluice__V1__WatchRequest *request)
{
	struct watch *watch = control->watch;
	struct watcher *watcher;
	uint64_t sequence;

	// What has changed while nobody watched is nobody's news.
	watch_look(control, watch->count == 0);
	if (!request_check(control, call, request, &sequence))
		return;
	watcher = memory_new(sizeof(*watcher));
	sluice__v1__watch_event__init(&watcher->message);
	watcher->control = control;
	watcher->call = call;
	watcher->kind = kind_find(request->kind);
	watcher->name = memory_text(request->name);
	watcher->sequence = sequence;
	watcher->resumed = request->has_revision_case;
	watcher->phase = watcher->resumed ? PHASE_LOG : PHASE_LIST;
	watcher->revision = watcher->resumed ? request->revision : watch->log.revision;
	if (!watcher->resumed)
		watcher->snapshot = object_set_copy(control->objects);
	TAILQ_INSERT_TAIL(&watch->watchers, watcher, entry);
	watch->count++;
	rpc_call_stream(call, &watch_stream, watcher);
}

// Waking one may end others, of the same connection.
static void on_wake(evutil_socket_t fd, short what, void *context)
{
	const struct control *control = context;
	struct watcher *watcher;

	TAILQ_FOREACH(watcher, &control->watch->watchers, entry)
	watcher->asleep = true;
	do {
		TAILQ_FOREACH(watcher, &control->watch->watchers, entry)
		if (watcher->asleep)
			break;
		if (watcher) {
			watcher->asleep = false;
			rpc_call_wake(watcher->call);
		}
	} while (watcher);
}

bool watch_open(struct control *control)
{
	struct watch *watch = memory_new(sizeof(*watch));

	TAILQ_INIT(&watch->watchers);
	watch_log_open(&watch->log, control->revision);
	watch->wake = event_new(control->base, -1, 0, on_wake, control);
	control->watch = watch;
	return watch->wake != NULL;
}

void watch_close(struct watch *watch)
{
	if (!watch)
		return;
	if (watch->wake)
		event_free(watch->wake);
	watch_log_close(&watch->log);
	free(watch);
}

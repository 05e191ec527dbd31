// The process that runs, and gives its place to another one.
//
//	the other: starts            this one: forwards
//	Hello                   ->   closes the store; Hello, Prepare
//	compiles the tables
//	Prepared                ->   stops its workers; Port, Part, …, End
//	opens, forwards
//	Taken                   ->   ends
//
// Whatever goes wrong before the last step: the other ends, and this one goes on with all that it
// has, which it has not let go of.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control.h"
#include "control/recover.h"
#include "control/upgrade/cpus.h"
#include "control/upgrade/frame.h"
#include "control/upgrade/program.h"
#include "control/upgrade/upgrade.h"
#include "telemetry/telemetry.h"

#define FRAME(name) SLUICE__HANDOVER__V1__FRAME__CONTENT_##name

#define PREPARE_SECONDS 120
// Nothing can be changed meanwhile.
#define PREPARE_SECONDS_MAX 3600
// To forward, from when this one has stopped.
#define TAKE_SECONDS 20
// For answers to leave, in milliseconds; so many times where callers have not been heard yet.
#define FAREWELL      200
#define FAREWELLS_MAX 25

struct upgrade {
	struct control *control;
	struct rpc_call *call;
	char binary[PATH_MAX];
	int program; // of it
	pid_t child;
	int channel;
	bool prepared; // it was told all that can be told before
	struct event *readable;
	struct event *late;
	char version[64];
	bool done; // the other one has our place
	unsigned int farewells;
};

bool upgrade_is_begun(const struct control *control)
{
	return control->upgrade;
}

pid_t upgrade_successor(const struct control *control)
{
	return control->upgrade && control->upgrade->done ? control->upgrade->child : 0;
}

static void child_end(struct upgrade *upgrade)
{
	if (upgrade->child <= 0 || upgrade->done)
		return;
	kill(upgrade->child, SIGKILL);
	while (waitpid(upgrade->child, NULL, 0) < 0 && errno == EINTR)
		continue;
	upgrade->child = 0;
}

void upgrade_close(struct upgrade *upgrade)
{
	if (!upgrade)
		return;
	child_end(upgrade);
	if (upgrade->readable)
		event_free(upgrade->readable);
	if (upgrade->late)
		event_free(upgrade->late);
	if (upgrade->channel >= 0)
		close(upgrade->channel);
	close(upgrade->program);
	free(upgrade);
}

static void fail(struct upgrade *upgrade, const char *reason)
{
	struct control *control = upgrade->control;

	log_warning("the upgrade failed; this process goes on", log_text("binary", upgrade->binary),
		    log_text("reason", reason));
	rpc_call_fail(upgrade->call, RPC_ABORTED, NULL, "this process goes on: %s", reason);
	control->upgrade = NULL;
	upgrade_close(upgrade);
	control_store_check(control);
}

// ---- while this one forwards

static int send_frame(const struct upgrade *upgrade, Sluice__Handover__V1__Frame *frame,
		      const int *fds, uint32_t count, struct error *err)
{
	return upgrade_frame_send(upgrade->channel, frame, fds, count, err);
}

// All objects; the list is the caller's, they stay the set's.
static bool objects_list(const struct object_set *set, Sluice__V1__GetResponse *all)
{
	const ProtobufCMessageDescriptor *kinds = &sluice__v1__object__descriptor;
	size_t count = 0;

	for (unsigned int i = 0; i < kinds->n_fields; i++)
		count += object_set_count(set, kinds->fields[i].id);
	all->objects = malloc((count + 1) * sizeof(*all->objects));
	if (!all->objects)
		return false;
	for (unsigned int i = 0; i < kinds->n_fields; i++)
		for (size_t j = 0; j < object_set_count(set, kinds->fields[i].id); j++)
			all->objects[all->n_objects++] =
				(Sluice__V1__Object *)(uintptr_t)object_set_at(
					set, kinds->fields[i].id, j);
	return true;
}

// A file of memory with them.
static int objects_file(const struct control *control, uint64_t *size, struct error *err)
{
	Sluice__V1__GetResponse all = SLUICE__V1__GET_RESPONSE__INIT;
	uint8_t *bytes = MAP_FAILED;
	int fd;

	if (!objects_list(control->objects, &all))
		return error_set(err, "no memory");
	*size = sluice__v1__get_response__get_packed_size(&all);
	fd = memfd_create("sluice-objects", MFD_CLOEXEC);
	if (fd >= 0 && *size && ftruncate(fd, (off_t)*size) == 0)
		bytes = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes != MAP_FAILED) {
		sluice__v1__get_response__pack(&all, bytes);
		munmap(bytes, *size);
	} else if (*size || fd < 0) {
		error_errno(err, "memory for the objects");
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	free(all.objects);
	return fd;
}

static int prepare(struct upgrade *upgrade, struct error *err)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__Hello hello;
	Sluice__Handover__V1__Prepare prepared = SLUICE__HANDOVER__V1__PREPARE__INIT;
	struct control *control = upgrade->control;
	int fds[2], result;

	sluice__handover__v1__hello__init(&hello);
	hello.format = HANDOVER_FORMAT;
	hello.version = (char *)(uintptr_t)SLUICE_VERSION;
	hello.node = (char *)(uintptr_t)control->node;
	frame.content_case = FRAME(HELLO);
	frame.hello = &hello;
	if (send_frame(upgrade, &frame, NULL, 0, err) < 0)
		return -1;
	fds[0] = objects_file(control, &prepared.objects_size, err);
	if (fds[0] < 0)
		return -1;
	// Reading it takes the longer the more objects there are, so it is not left for the switch.
	store_close(control->store);
	control->store = NULL;
	fds[1] = control->keep.lock;
	prepared.revision = control->revision;
	prepared.has_lock = true;
	prepared.table = control->engine->flows->id;
	prepared.store_closed = true;
	prepared.cpus_shared = engine_shares_cpus(control->engine);
	frame.content_case = FRAME(PREPARE);
	frame.prepare = &prepared;
	result = send_frame(upgrade, &frame, fds, 2, err);
	close(fds[0]);
	return result;
}

// ---- while nobody forwards

static int say_all(struct upgrade *upgrade, uint64_t *connections, uint64_t *since,
		   struct error *err)
{
	Sluice__Handover__V1__Frame frame = SLUICE__HANDOVER__V1__FRAME__INIT;
	Sluice__Handover__V1__End end = SLUICE__HANDOVER__V1__END__INIT;
	struct upgrade_frame answer = {0};

	if (upgrade_say(upgrade->control, upgrade->channel, err) < 0)
		return -1;
	frame.content_case = FRAME(END);
	frame.end = &end;
	if (send_frame(upgrade, &frame, NULL, 0, err) < 0 ||
	    upgrade_frame_expect(upgrade->channel, &answer, FRAME(TAKEN), TAKE_SECONDS, err) < 0)
		return -1;
	*connections = answer.content->taken->connections;
	*since = answer.content->taken->since;
	upgrade_frame_clear(&answer);
	return 0;
}

// As if nothing had been.
static void go_on(struct control *control)
{
	struct error err;

	for (uint32_t number = 1; number < control->port_count; number++) {
		struct control_port *entry = control->ports[number];

		if (entry && entry->port && entry->port->driver->hand_over_undo)
			entry->port->driver->hand_over_undo(entry->port);
	}
	if (engine_start(control->engine, &err) < 0) {
		log_error("cannot go on", log_text("reason", err.text));
		abort();
	}
	control->heartbeat = heartbeat_open(control->engine);
	// The other may have written its own.
	control->names_missing = true;
	recover_write_names(control);
	// What had to be closed is opened.
	control_look(control);
}

static void answer(struct upgrade *upgrade, uint64_t connections, uint64_t microseconds)
{
	Sluice__V1__UpgradeResponse response;

	sluice__v1__upgrade_response__init(&response);
	response.version = upgrade->version;
	response.pid = (uint32_t)upgrade->child;
	response.connections = connections;
	response.gap_microseconds = microseconds;
	log_info("another process has taken over", log_text("version", upgrade->version),
		 log_number("pid", upgrade->child), log_number("connections", connections),
		 log_number("microseconds", microseconds));
	rpc_call_reply(upgrade->call, &response.base);
}

// Who was let in before the other one listened is answered.
static void on_farewell(evutil_socket_t fd, short what, void *context)
{
	struct upgrade *upgrade = context;

	if (++upgrade->farewells == FAREWELLS_MAX ||
	    !rpc_server_is_waited_for(upgrade->control->server))
		event_base_loopexit(upgrade->control->base, NULL);
}

// This process has no part in it any more: it leaves all as it is, and ends.
static void leave(struct upgrade *upgrade)
{
	struct timeval soon = {.tv_usec = FAREWELL * 1000};
	struct control *control = upgrade->control;
	sigset_t set;

	// They are meant for the other process, and wait for who passes them on (sluiced/waiter.c).
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number] && control->ports[number]->port)
			control->ports[number]->port->handed_over = true;
	rpc_server_leave(control->server);
	metrics_server_close(control->metrics);
	control->metrics = NULL;
	if (control->retry)
		event_del(control->retry);
	event_free(upgrade->late);
	upgrade->late = event_new(control->base, -1, EV_PERSIST, on_farewell, upgrade);
	if (!upgrade->late || event_add(upgrade->late, &soon) < 0)
		event_base_loopexit(control->base, &soon);
}

static void switch_over(struct upgrade *upgrade)
{
	struct control *control = upgrade->control;
	uint64_t begun, connections = 0, since = 0;
	struct upgrade_cpus cpus = {0};
	struct error err;
	int said;

	impact_end_all(control);
	// It would take workers that stand for workers that hang.
	heartbeat_close(control->heartbeat);
	control->heartbeat = NULL;
	if (engine_shares_cpus(control->engine))
		upgrade_cpus_borrow(&cpus, &control->engine->options);
	begun = upgrade_now();
	engine_pause(control->engine);
	said = say_all(upgrade, &connections, &since, &err);
	upgrade_cpus_return(&cpus);
	if (said < 0) {
		child_end(upgrade);
		go_on(control);
		fail(upgrade, err.text);
		return;
	}
	upgrade->done = true;
	answer(upgrade, connections, (since > begun ? since : upgrade_now()) - begun);
	leave(upgrade);
}

// ---- what it says

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct upgrade *upgrade = context;
	struct upgrade_frame frame = {0};
	struct error err;

	if (upgrade->done) {
		event_del(upgrade->readable);
		return;
	}
	if (upgrade_frame_receive(upgrade->channel, &frame, 1, &err) < 0) {
		fail(upgrade, err.text);
		return;
	}
	if (!upgrade->prepared && frame.content->content_case == FRAME(HELLO)) {
		const Sluice__Handover__V1__Hello *hello = frame.content->hello;

		snprintf(upgrade->version, sizeof(upgrade->version), "%s", hello->version);
		upgrade->prepared = true;
		if (hello->format != HANDOVER_FORMAT)
			error_set(&err, "%s hands over in format %u, this one in %u",
				  hello->version, hello->format, HANDOVER_FORMAT);
		else if (strcmp(hello->node, upgrade->control->node) != 0)
			error_set(&err, "it is node %s, not %s", hello->node,
				  upgrade->control->node);
		else if (prepare(upgrade, &err) == 0)
			err.text[0] = 0;
	} else if (upgrade->prepared && frame.content->content_case == FRAME(PREPARED)) {
		upgrade_frame_clear(&frame);
		switch_over(upgrade);
		return;
	} else if (frame.content->content_case == FRAME(FAILED)) {
		error_set(&err, "%.400s", frame.content->failed->reason);
	} else {
		error_set(&err, "it says something else than it should");
	}
	upgrade_frame_clear(&frame);
	if (err.text[0])
		fail(upgrade, err.text);
}

static void on_late(evutil_socket_t fd, short what, void *context)
{
	fail(context, "it does not get ready");
}

static int binary_find(struct upgrade *upgrade, const char *path, struct error *err)
{
	if (*path && strcmp(rpc_call_peer(upgrade->call)->from, "unix") != 0)
		return error_set(err, "a program is named on its own node only");
	if (*path && (*path != '/' || strlen(path) >= PATH_MAX))
		return error_set(err, "'%.200s' is no absolute path", path);
	if (*path)
		snprintf(upgrade->binary, sizeof(upgrade->binary), "%s", path);
	else
		upgrade_program_own(upgrade->binary);
	upgrade->program = upgrade_program_open(upgrade->binary, err);
	return upgrade->program < 0 ? -1 : 0;
}

void upgrade_answer(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__UpgradeRequest *request = (const Sluice__V1__UpgradeRequest *)message;
	struct timeval limit = {.tv_sec = PREPARE_SECONDS};
	struct control *control = context;
	struct upgrade *upgrade;
	struct error err;

	if (request->limit_seconds)
		limit.tv_sec = request->limit_seconds;
	if (limit.tv_sec > PREPARE_SECONDS_MAX) {
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, NULL,
			      "a limit of %u seconds is more than an hour (%d s)",
			      request->limit_seconds, PREPARE_SECONDS_MAX);
		return;
	}
	if (control->upgrade) {
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL, "an upgrade is under way");
		return;
	}
	if (control->waiting.revision) {
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL,
			      "revision %llu waits to be confirmed",
			      (unsigned long long)control->waiting.revision);
		return;
	}
	if (control->keep.lock < 0 || control->keep.reason[0] || control->names_missing) {
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL,
			      "connections would end with this process: %s",
			      control->keep.reason[0] ? control->keep.reason : "no --flows");
		return;
	}
	upgrade = calloc(1, sizeof(*upgrade));
	if (!upgrade) {
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "no memory");
		return;
	}
	upgrade->control = control;
	upgrade->call = call;
	upgrade->channel = -1;
	if (binary_find(upgrade, request->binary, &err) < 0) {
		rpc_call_fail(call, RPC_INVALID_ARGUMENT, NULL, "%s", err.text);
		free(upgrade);
		return;
	}
	control->upgrade = upgrade;
	log_info("upgrade begins", log_text("binary", upgrade->binary),
		 log_text("user", rpc_call_peer(call)->name));
	upgrade->child = upgrade_program_start(upgrade->program, control->arguments,
					       &upgrade->channel, &err);
	if (upgrade->child < 0) {
		error_prefix(&err, "%s", upgrade->binary);
		fail(upgrade, err.text);
		return;
	}
	upgrade->readable = event_new(control->base, upgrade->channel, EV_READ | EV_PERSIST,
				      on_readable, upgrade);
	upgrade->late = evtimer_new(control->base, on_late, upgrade);
	if (!upgrade->readable || !upgrade->late || event_add(upgrade->readable, NULL) < 0 ||
	    event_add(upgrade->late, &limit) < 0)
		fail(upgrade, "no memory");
}

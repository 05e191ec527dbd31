// `sluice capture`: copies of packets from the workers as a stream of messages.
//
// Workers wake nobody for it: they are asked each POLL_MILLISECONDS, as long as the capture runs.

#include <stdlib.h>
#include <time.h>

#include <rte_cycles.h>

#include "control/control.h"
#include "telemetry/telemetry.h"
#include "worker/capture.h"

#define POLL_MILLISECONDS 10
// So long ago must a packet be that none before it can still come from another worker.
#define SETTLE_MICROSECONDS 1000

struct packets_state {
	struct control *control;
	struct rpc_call *call;
	struct capture *capture;
	struct event *timer;
	uint64_t count; // still to be captured, if it is limited
	bool limited;
	bool begun; // the client knows it
	bool said;  // likewise, that there is nothing more
	// The two clocks, at the moment at which this part of the capture was begun to be read.
	uint64_t cycles, nanoseconds;
	// Ports that were asked for by name, which may get other numbers.
	char **names;
	size_t name_count;
	uint32_t generation; // of the tables with which they were looked up
	Sluice__V1__CapturedPacket message;
};

// Returns 0 where this node has no such port.
static uint32_t port_number(const struct control *control, const char *name)
{
	for (uint32_t number = 1; number < control->port_count; number++)
		if (control->ports[number] && strcmp(control->ports[number]->name, name) == 0)
			return number;
	return 0;
}

static void ports_follow(struct packets_state *state)
{
	uint32_t generation = tables_generation(state->control->tables);

	if (state->generation == generation)
		return;
	state->generation = generation;
	for (size_t i = 0; i < state->name_count; i++) {
		uint32_t number = port_number(state->control, state->names[i]);

		if (number)
			capture_add_port(state->capture, (uint16_t)number);
	}
}

static bool ports_set(struct packets_state *state, const Sluice__V1__CaptureRequest *request,
		      enum rpc_code *code, struct error *err)
{
	state->capture->all_ports = request->n_ports == 0;
	state->names = calloc(request->n_ports + 1, sizeof(*state->names));
	for (size_t i = 0; state->names && i < request->n_ports; i++) {
		if (!port_number(state->control, request->ports[i])) {
			*code = RPC_NOT_FOUND;
			error_set(err, "no Port '%s' on node %s", request->ports[i],
				  state->control->node);
			return false;
		}
		state->names[i] = strdup(request->ports[i]);
		if (!state->names[i])
			break;
		state->name_count++;
	}
	if (state->name_count < request->n_ports || !state->names) {
		*code = RPC_RESOURCE_EXHAUSTED;
		error_set(err, "no memory for the capture");
		return false;
	}
	ports_follow(state);
	return true;
}

static bool points_set(struct capture *capture, const Sluice__V1__CaptureRequest *request,
		       struct error *err)
{
	for (size_t i = 0; i < request->n_points; i++) {
		switch (request->points[i]) {
		case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_IN:
			capture->points |= 1 << CAPTURE_IN;
			break;
		case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_OUT:
			capture->points |= 1 << CAPTURE_OUT;
			break;
		case SLUICE__V1__CAPTURE_POINT__CAPTURE_POINT_DROPPED:
			capture->points |= 1 << CAPTURE_DROPPED;
			break;
		default:
			error_set(err, "points[%zu]: %d is no place to capture at", i,
				  (int)request->points[i]);
			return false;
		}
	}
	if (!request->n_points)
		capture->points = (1 << CAPTURE_POINTS) - 1;
	return true;
}

static bool filter_set(struct capture *capture, const Sluice__V1__CaptureRequest *request,
		       struct error *err)
{
	const char *wrong = NULL;
	uint32_t at = 0;

	if (!request->n_filter)
		return true;
	if (request->n_filter > CAPTURE_FILTER_MAX) {
		error_set(err, "filter: %zu instructions, at most %d are accepted",
			  request->n_filter, CAPTURE_FILTER_MAX);
		return false;
	}
	capture->filter = calloc(request->n_filter, sizeof(*capture->filter));
	if (!capture->filter) {
		error_set(err, "no memory for the filter");
		return false;
	}
	capture->filter_count = (uint32_t)request->n_filter;
	for (; at < capture->filter_count; at++) {
		const Sluice__V1__BpfInstruction *from = request->filter[at];

		if (from->code > UINT16_MAX || from->jt > UINT8_MAX || from->jf > UINT8_MAX) {
			wrong = "code or jump is too large";
			break;
		}
		capture->filter[at] = (struct sock_filter){.code = (uint16_t)from->code,
							   .jt = (uint8_t)from->jt,
							   .jf = (uint8_t)from->jf,
							   .k = from->k};
	}
	if (!wrong)
		wrong = capture_filter_check(capture->filter, capture->filter_count, &at);
	if (wrong)
		error_set(err, "filter[%u]: %s", at, wrong);
	return !wrong;
}

// ---- the stream

static void clocks_read(struct packets_state *state)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	state->cycles = rte_rdtsc();
	state->nanoseconds = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct packets_state *state = context;

	ports_follow(state);
	clocks_read(state);
	state->said = state->said && state->message.missed == capture_lost(state->capture);
	rpc_call_wake(state->call);
}

static void fill(struct packets_state *state, const struct capture_record *record)
{
	static char none[] = "";
	const struct control *control = state->control;
	Sluice__V1__CapturedPacket *message = &state->message;
	uint64_t hz = control->engine->cycles_per_second, before = state->cycles - record->time;

	message->port = none;
	if (record->port < control->port_count && control->ports[record->port])
		message->port = control->ports[record->port]->name;
	message->point = (Sluice__V1__CapturePoint)(record->point + 1);
	message->time =
		state->nanoseconds - before / hz * 1000000000 - before % hz * 1000000000 / hz;
	message->length = record->length;
	message->data.data = (uint8_t *)(uintptr_t)record->bytes;
	message->data.len = record->captured;
	message->reason = none;
	if (record->point == CAPTURE_DROPPED)
		message->reason = (char *)(uintptr_t)drop_reason_name(record->reason);
}

static enum rpc_next next(void *context, const ProtobufCMessage **message,
			  struct rpc_status *status)
{
	struct packets_state *state = context;
	uint64_t settle = state->control->engine->cycles_per_second / 1000000 * SETTLE_MICROSECONDS;
	const struct capture_record *record;

	if (state->limited && !state->count)
		return RPC_NEXT_END;
	*message = &state->message.base;
	if (!state->begun) {
		state->begun = true;
		sluice__v1__captured_packet__init(&state->message);
		return RPC_NEXT_MESSAGE;
	}
	do
		record = capture_next(state->capture, state->cycles - settle);
	// Of a port that is gone there is no name any more.
	while (record && (record->port >= state->control->port_count ||
			  !state->control->ports[record->port]));
	sluice__v1__captured_packet__init(&state->message);
	state->message.missed = capture_lost(state->capture);
	if (record) {
		fill(state, record);
		state->count--;
		state->said = false;
		return RPC_NEXT_MESSAGE;
	}
	if (state->said)
		return RPC_NEXT_WAIT;
	state->said = true;
	return RPC_NEXT_MESSAGE;
}

static void close_state(void *context)
{
	struct packets_state *state = context;

	if (state->timer)
		event_free(state->timer);
	capture_close(state->capture);
	for (size_t i = 0; i < state->name_count; i++)
		free(state->names[i]);
	free(state->names);
	free(state);
}

const struct rpc_stream packets_stream = {
	.next = next,
	.close = close_state,
};

static bool start(struct packets_state *state, const Sluice__V1__CaptureRequest *request,
		  enum rpc_code *code, struct error *err)
{
	struct timeval interval = {.tv_usec = POLL_MILLISECONDS * 1000};

	if (request->snaplen > CAPTURE_BYTES_MAX) {
		error_set(err, "snaplen: %u bytes, at most %d are captured of a packet",
			  request->snaplen, CAPTURE_BYTES_MAX);
		return false;
	}
	state->capture->bytes = request->snaplen ? request->snaplen : CAPTURE_BYTES_MAX;
	state->count = request->count;
	state->limited = request->count > 0;
	if (!ports_set(state, request, code, err) || !points_set(state->capture, request, err) ||
	    !filter_set(state->capture, request, err))
		return false;
	*code = RPC_RESOURCE_EXHAUSTED;
	state->timer = event_new(state->control->base, -1, EV_PERSIST, on_timer, state);
	if (!state->timer || event_add(state->timer, &interval) < 0) {
		error_set(err, "no memory for a timer");
		return false;
	}
	return capture_begin(state->control->engine, state->capture, err) == 0;
}

void *packets_open(struct control *control, struct rpc_call *call,
		   const Sluice__V1__CaptureRequest *request, enum rpc_code *code,
		   struct error *err)
{
	struct packets_state *state = calloc(1, sizeof(*state));

	if (state)
		state->capture = calloc(1, sizeof(*state->capture));
	if (!state || !state->capture) {
		free(state);
		*code = RPC_RESOURCE_EXHAUSTED;
		error_set(err, "no memory for the capture");
		return NULL;
	}
	state->control = control;
	state->call = call;
	sluice__v1__captured_packet__init(&state->message);
	if (start(state, request, code, err)) {
		clocks_read(state);
		return state;
	}
	close_state(state);
	return NULL;
}

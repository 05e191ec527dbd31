// `sluice flows`: the connection table as a stream of messages, once, or followed.

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "control/control.h"
#include "telemetry/flow_filter.h"
#include "telemetry/flow_follow.h"
#include "telemetry/flow_message.h"
#include "telemetry/telemetry.h"

// Places in the table that are looked at before others get their turn.
#define STEP 32768

// Between two rounds of a follower, by how much there is to look at.
#define PAUSE_MILLISECONDS	 200
#define PAUSE_MILLISECONDS_LARGE 1000
#define LARGE			 65536

#define FOLLOWERS_MAX 8

struct flows_state {
	struct control *control;
	struct rpc_call *call;
	struct event *timer; // pending: nothing before it
	struct flow_filter filter;
	struct flow_follow *follow; // NULL: only what is there
	uint32_t position;
	uint32_t limit, count; // 0: none
	struct flow_message message;
};

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct flows_state *state = context;

	rpc_call_wake(state->call);
}

static enum rpc_next wait(struct flows_state *state, unsigned int milliseconds)
{
	struct timeval time = {
		.tv_sec = milliseconds / 1000,
		.tv_usec = milliseconds % 1000 * 1000,
	};

	evtimer_add(state->timer, &time);
	return RPC_NEXT_WAIT;
}

static enum rpc_next next_listed(struct flows_state *state)
{
	const struct flow_table *table = state->control->engine->flows;
	uint32_t end = flow_table_end(table);

	for (uint32_t step = 0; state->position < end; step++) {
		struct flow flow;

		if (step == STEP)
			return wait(state, 0);
		if (flow_table_read(table, state->position++, &flow) &&
		    flow_filter_takes(&state->filter, &flow)) {
			flow_message_fill(&state->message, state->control, &flow, "");
			return RPC_NEXT_MESSAGE;
		}
	}
	return RPC_NEXT_END;
}

static enum rpc_next next_followed(struct flows_state *state, struct rpc_status *status)
{
	const struct flow_table *table = state->control->engine->flows;
	const char *event;
	struct flow flow;

	switch (flow_follow_next(state->follow, table, &flow, &event)) {
	case FLOW_FOLLOW_EVENT:
		flow_message_fill(&state->message, state->control, &flow, event);
		return RPC_NEXT_MESSAGE;
	case FLOW_FOLLOW_LATER:
		return wait(state, 0);
	case FLOW_FOLLOW_REST:
		return wait(state, flow_table_end(table) > LARGE ? PAUSE_MILLISECONDS_LARGE
								 : PAUSE_MILLISECONDS);
	case FLOW_FOLLOW_FULL:
		break;
	}
	rpc_status_set(status, RPC_RESOURCE_EXHAUSTED,
		       "more than %d connections are too many to follow: say which",
		       FLOW_FOLLOW_MAX);
	return RPC_NEXT_END;
}

static enum rpc_next next(void *context, const ProtobufCMessage **message,
			  struct rpc_status *status)
{
	struct flows_state *state = context;
	enum rpc_next result;

	if (state->limit && state->count == state->limit)
		return RPC_NEXT_END;
	if (evtimer_pending(state->timer, NULL))
		return RPC_NEXT_WAIT;
	engine_read_begin(state->control->engine);
	result = state->follow ? next_followed(state, status) : next_listed(state);
	engine_read_end(state->control->engine);
	state->count += result == RPC_NEXT_MESSAGE;
	*message = &state->message.message.base;
	return result;
}

static void close_state(void *context)
{
	struct flows_state *state = context;

	if (state->follow)
		state->control->flow_followers--;
	flow_follow_free(state->follow);
	if (state->timer)
		event_free(state->timer);
	free(state);
}

static const struct rpc_stream flows_stream = {
	.next = next,
	.close = close_state,
};

void flows_answer(struct control *control, struct rpc_call *call,
		  const Sluice__V1__FlowsRequest *request)
{
	struct flow_filter filter;
	struct flows_state *state;
	enum rpc_code code;
	struct error err;

	if (flow_filter_read(control, request, &filter, &code, &err) < 0) {
		rpc_call_fail(call, code, NULL, "%s", err.text);
		return;
	}
	if (request->follow && control->flow_followers == FOLLOWERS_MAX) {
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL,
			      "%d callers follow connections already", FOLLOWERS_MAX);
		return;
	}
	state = calloc(1, sizeof(*state));
	if (state) {
		state->timer = evtimer_new(control->base, on_timer, state);
		if (request->follow)
			state->follow = flow_follow_new(&filter, control->engine->flows->max);
	}
	if (!state || !state->timer || (request->follow && !state->follow)) {
		if (state && state->timer)
			event_free(state->timer);
		if (state)
			flow_follow_free(state->follow);
		free(state);
		rpc_call_fail(call, RPC_RESOURCE_EXHAUSTED, NULL, "no memory");
		return;
	}
	control->flow_followers += request->follow != 0;
	state->control = control;
	state->call = call;
	state->filter = filter;
	state->limit = request->limit;
	state->position = 1;
	rpc_call_stream(call, &flows_stream, state);
}

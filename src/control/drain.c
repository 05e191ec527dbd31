// Devices of the uplink that are to be serviced: others send first, then the device is closed.

#include <stdlib.h>

#include "control/control.h"
#include "model/memory.h"
#include "port/failover/failover.h"

#define LOOK_MS 20

// A call that waits until its device is closed.
struct drain {
	struct control *control;
	struct drain *next;
	struct rpc_call *call;
	struct event *timer;
	char *device;
};

static void drain_free(struct drain *drain)
{
	struct drain **place = &drain->control->drains;

	while (*place != drain)
		place = &(*place)->next;
	*place = drain->next;
	event_free(drain->timer);
	free(drain->device);
	free(drain);
}

static void reply(struct drain *drain, const struct port *uplink)
{
	Sluice__V1__DrainResponse response;
	struct failover_view view;

	sluice__v1__drain_response__init(&response);
	for (uint16_t i = 0; i < failover_count(uplink); i++) {
		failover_view(uplink, i, &view);
		if (view.state == FAILOVER_CARRIES)
			response.carried_by = (char *)(uintptr_t)view.name;
	}
	rpc_call_reply(drain->call, &response.base);
	drain_free(drain);
}

static void look(struct drain *drain)
{
	const struct timeval time = {.tv_usec = LOOK_MS * 1000};
	struct port *uplink = control_failover(drain->control);
	int index = failover_find(uplink, drain->device);
	struct failover_view view = {.state = FAILOVER_MISSING};

	if (index >= 0) {
		uplink->driver->check(uplink);
		failover_view(uplink, (uint16_t)index, &view);
	}
	if (view.state == FAILOVER_DRAINING) {
		evtimer_add(drain->timer, &time);
	} else if (view.state == FAILOVER_DRAINED) {
		reply(drain, uplink);
	} else {
		rpc_call_fail(drain->call, RPC_ABORTED, NULL,
			      "%s is wanted again, by somebody else", drain->device);
		drain_free(drain);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	look(context);
}

// -1: the call has failed.
static int device_of(struct control *control, struct rpc_call *call, const char *name)
{
	struct port *uplink = control_failover(control);
	int index = failover_find(uplink, name);

	if (!uplink)
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL,
			      "the uplink of this node has no list of devices");
	else if (index < 0)
		rpc_call_fail(call, RPC_NOT_FOUND, NULL, "the uplink has no device %s", name);
	return uplink ? index : -1;
}

void drain_answer(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__DrainRequest *request = (const Sluice__V1__DrainRequest *)message;
	struct control *control = context;
	int index = device_of(control, call, request->device);
	struct drain *drain;
	struct error err;

	if (index < 0)
		return;
	if (failover_drain(control_failover(control), (uint16_t)index, &err) < 0) {
		rpc_call_fail(call, RPC_FAILED_PRECONDITION, NULL, "%s", err.text);
		return;
	}
	drain = memory_new(sizeof(*drain));
	drain->control = control;
	drain->call = call;
	drain->device = memory_text(request->device);
	drain->timer = memory_required(evtimer_new(control->base, on_timer, drain));
	drain->next = control->drains;
	control->drains = drain;
	look(drain);
}

void undrain_answer(void *context, struct rpc_call *call, ProtobufCMessage *message)
{
	const Sluice__V1__UndrainRequest *request = (const Sluice__V1__UndrainRequest *)message;
	struct control *control = context;
	int index = device_of(control, call, request->device);
	Sluice__V1__UndrainResponse response;

	if (index < 0)
		return;
	failover_undrain(control_failover(control), (uint16_t)index);
	// Its MTU may be less than what the others have.
	control_look(control);
	sluice__v1__undrain_response__init(&response);
	response.device = status_device_new(control_failover(control), (uint16_t)index);
	rpc_call_reply(call, &response.base);
	sluice__v1__device_status__free_unpacked(response.device, NULL);
}

void drains_end(struct control *control)
{
	while (control->drains) {
		rpc_call_fail(control->drains->call, RPC_UNAVAILABLE, NULL, "sluiced ends");
		drain_free(control->drains);
	}
}

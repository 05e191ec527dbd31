#include "layer/tracking/compile.h"

#include <stdlib.h>

// IdleTimes has a field for every state, called as the state is.
static uint32_t idle_time(const Sluice__V1__IdleTimes *object, enum flow_state state)
{
	const char *from = flow_state_name(state);
	const ProtobufCFieldDescriptor *field;
	char name[32] = "";
	uint32_t seconds;

	for (size_t i = 0; from[i] && i < sizeof(name) - 1; i++)
		name[i] = from[i] == '-' ? '_' : from[i];
	field = protobuf_c_message_descriptor_get_field_by_name(object->base.descriptor, name);
	if (!field)
		return flow_state_timeout(state);
	memcpy(&seconds, (const char *)object + field->offset, sizeof(seconds));
	return seconds ? seconds : flow_state_timeout(state);
}

bool tracking_compile(struct network *network, const Sluice__V1__ConnectionTracking *object)
{
	network->window_check = true;
	if (!object)
		return true;
	network->mid_stream_pickup = object->mid_stream_pickup;
	if (object->has_window_check_case)
		network->window_check = object->window_check;
	if (!object->idle_times)
		return true;
	network->idle_times = calloc(FLOW_STATE_COUNT, sizeof(*network->idle_times));
	if (!network->idle_times)
		return false;
	for (unsigned int state = 0; state < FLOW_STATE_COUNT; state++)
		network->idle_times[state] = idle_time(object->idle_times, state);
	return true;
}

bool tracking_collect(struct tables *tables)
{
	const uint32_t **by_network;
	bool any = false;

	for (uint32_t i = 0; i < tables->network_count; i++)
		any |= tables->networks[i].idle_times != NULL;
	if (!any)
		return true;
	by_network = calloc(tables->network_count, sizeof(*by_network));
	if (!by_network)
		return false;
	for (uint32_t i = 0; i < tables->network_count; i++)
		by_network[i] = tables->networks[i].idle_times;
	tables->times =
		(struct flow_times){.by_network = by_network, .count = tables->network_count};
	return true;
}

void tracking_free(struct tables *tables)
{
	for (uint32_t i = 0; tables->networks && i < tables->network_count; i++)
		free(tables->networks[i].idle_times);
	free((void *)(uintptr_t)tables->times.by_network);
}

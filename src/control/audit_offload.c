// Connections that the kernel forwards: does it have what the connection table says, and nothing
// else?

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/audit.h"
#include "flow_offload/check.h"

// Between the two looks.
#define PAUSE_MS 1000

struct audit_offload {
	struct offload_check check;
	struct offload_suspect before[OFFLOAD_SUSPECTS];
	uint32_t before_count;
	bool again;
};

static void say(struct differences *differences, const struct offload_suspect *suspect)
{
	static const char *const texts[] = {
		[OFFLOAD_FAULT_KEYS] = "the kernel does not know it",
		[OFFLOAD_FAULT_CONNECTION] = "the kernel still has it",
		[OFFLOAD_FAULT_SLOT] = "the kernel never had it",
		[OFFLOAD_FAULT_STALE] = "the kernel knows it, and nobody else",
	};
	const struct offload_key *key = &suspect->key;
	char source[IP_TEXT_SIZE], destination[IP_TEXT_SIZE];
	struct ip_address from, to;

	memcpy(&from, key->source, sizeof(from));
	memcpy(&to, key->destination, sizeof(to));
	differences_add(differences, "connection %s > %s, protocol %u, ports %u > %u: %s",
			ip_format(&from, source), ip_format(&to, destination), key->protocol,
			ntohs(key->source_port), ntohs(key->destination_port),
			texts[suspect->fault]);
}

static bool was_there(const struct audit_offload *state, const struct offload_suspect *suspect)
{
	for (uint32_t i = 0; i < state->before_count; i++)
		if (offload_suspect_equal(&state->before[i], suspect))
			return true;
	return false;
}

int audit_offload(const struct control *control, struct audit_offload **place,
		  struct differences *differences)
{
	struct flow_offload *offload = control->engine->offload;
	struct audit_offload *state = *place;
	bool more;

	if (!offload)
		return -1;
	if (!state) {
		state = calloc(1, sizeof(*state));
		if (!state)
			return -1;
		*place = state;
	}
	engine_read_begin(control->engine);
	more = offload_check_step(offload, &state->check);
	engine_read_end(control->engine);
	if (more)
		return 0;
	if (!state->again && state->check.count) {
		state->again = true;
		state->before_count = state->check.count;
		memcpy(state->before, state->check.suspects, sizeof(state->before));
		memset(&state->check, 0, sizeof(state->check));
		return PAUSE_MS;
	}
	for (uint32_t i = 0; state->again && i < state->check.count; i++)
		if (was_there(state, &state->check.suspects[i])) {
			say(differences, &state->check.suspects[i]);
			offload_mend(offload, &state->check.suspects[i]);
		}
	free(state);
	*place = NULL;
	return -1;
}

// A connection as the message Flow, with the texts that it needs.

#pragma once

#include "base/address.h"
#include "flow/flow.h"
#include "sluice.pb-c.h"

struct control;

// The message points into itself and into names of the control thread: it is good until the next
// change of the objects, and must not be copied.
struct flow_message {
	Sluice__V1__Flow message;
	char protocol[8];
	char source[IP_TEXT_SIZE];
	char destination[IP_TEXT_SIZE];
	char translated_source[IP_TEXT_SIZE];
	char translated_destination[IP_TEXT_SIZE];
	char rule[160];
	char source_at[160];
	char destination_at[160];
};

// `event` is static.
void flow_message_fill(struct flow_message *message, const struct control *control,
		       const struct flow *flow, const char *event);

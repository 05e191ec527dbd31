// What has happened to connections since the follower was asked last: it remembers those that it
// has told of, and holds them against the table. So there is no queue that a slow reader could
// fill, and nothing that workers would do for it. A connection stays in the table for at least ten
// seconds, unless policy ends it, so a reader that keeps up misses none.

#pragma once

#include "flow/table.h"
#include "telemetry/flow_filter.h"

#define FLOW_FOLLOW_MAX 65536 // connections of one follower

struct flow_follow;

enum flow_follow_result {
	FLOW_FOLLOW_EVENT, // *flow and *event are filled
	FLOW_FOLLOW_LATER, // much was looked at without finding any: to be called again soon
	FLOW_FOLLOW_REST,  // all were looked at
	FLOW_FOLLOW_FULL,  // more than FLOW_FOLLOW_MAX match
};

// NULL without memory. The filter is copied.
struct flow_follow *flow_follow_new(const struct flow_filter *filter, uint32_t max);
void flow_follow_free(struct flow_follow *follow);

// Between engine_read_begin and engine_read_end. *event is present, opened, changed or ended.
enum flow_follow_result flow_follow_next(struct flow_follow *follow, const struct flow_table *table,
					 struct flow *flow, const char **event);

// Which connections `sluice flows` shows: a FlowsRequest, read and ready to be held against flows.

#pragma once

#include "base/error.h"
#include "flow/flow.h"
#include "rpc/status.h"
#include "sluice.pb-c.h"

struct control;

struct port_range {
	uint16_t first, last; // 0 to 65535: any
};

struct address_range {
	bool given;
	struct ip_prefix prefix;
};

struct flow_filter {
	uint16_t port, network, group; // numbers; 0: any
	int rule;		       // index in the group; -1: any
	int protocol;		       // -1: any
	int state;		       // -1: any
	int offloaded;		       // -1: any
	struct address_range source, destination, address;
	struct port_range source_ports, destination_ports;
};

// On failure the code says whether the request is malformed or names something that is not there,
// and the error is a line for the user.
int flow_filter_read(const struct control *control, const Sluice__V1__FlowsRequest *request,
		     struct flow_filter *filter, enum rpc_code *code, struct error *err);

bool flow_filter_takes(const struct flow_filter *filter, const struct flow *flow);

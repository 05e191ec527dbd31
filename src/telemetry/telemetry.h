// What the data plane can be asked: its connections, its counters, and what it would do with a
// packet.

#pragma once

#include <stdio.h>

#include "rpc/server.h"
#include "sluice.pb-c.h"

struct control;
struct port_counters;

// Answers the call with a stream of connections, or says what is wrong with the request.
void flows_answer(struct control *control, struct rpc_call *call,
		  const Sluice__V1__FlowsRequest *request);

// A stream of captured packets, as CapturedPacket messages. NULL where it can't be: *code says of
// what kind the error is.
void *packets_open(struct control *control, struct rpc_call *call,
		   const Sluice__V1__CaptureRequest *request, enum rpc_code *code,
		   struct error *err);
extern const struct rpc_stream packets_stream;

// Freed with the message's free_unpacked. NULL without memory.
Sluice__V1__StatsResponse *stats_collect(const struct control *control);
// The same without what has to be added up of all ports: `ports`, and the workers' `drops`.
Sluice__V1__StatsResponse *stats_collect_node(const struct control *control);

// What a Nat's pools on this node have in use, by family. Returns how many; one may be NULL (no
// memory).
struct nat;
struct nat_tables;
struct tables;
size_t nat_pools_collect(const struct nat_tables *tables, const struct nat *nat,
			 Sluice__V1__NatPoolStatus *pools[2]);
// False: no memory.
bool nat_stats_add(const struct tables *tables, Sluice__V1__StatsResponse *response);

// What the QosPolicy of that name does on this node. NULL: it is not there, or no memory.
Sluice__V1__QosPolicyStatus *qos_status_new(const struct tables *tables, const char *name);
// Of all policies. False: no memory.
bool qos_stats_add(const struct tables *tables, Sluice__V1__StatsResponse *response);

// Of one port, which control->ports has. The state is up, down, or why its device can't be opened.
struct port_counters stats_port_counters(const struct control *control, uint32_t number);
const char *stats_port_state(const struct control *control, uint32_t number);
// Freed with the message's free_unpacked. NULL without memory.
Sluice__V1__PortStats *stats_port_collect(const struct control *control, uint32_t number);

// process.c: what the process uses, as far as the kernel says it. NULL without memory.
Sluice__V1__ProcessStats *process_stats_collect(void);

// metrics.c: writes the statistics in Prometheus' text format (version 0.0.4).
void metrics_write(FILE *file, const Sluice__V1__StatsResponse *stats, const char *node);

// metrics_server.c: answers GET /metrics and /healthz at "HOST:PORT", on the control thread, and
// `with_page` all that belongs to the page (src/page). The error is a whole line for the user.
struct metrics_server;
int metrics_server_open(struct control *control, const char *address, int *listener, bool with_page,
			struct metrics_server **server, struct error *err);
// As rpc_server_listener; NULL: -1.
int metrics_server_listener(const struct metrics_server *server);
// NULL does nothing.
void metrics_server_close(struct metrics_server *server);

// Freed with the message's free_unpacked. NULL with an error where the packet can't be understood,
// or *not_found.
Sluice__V1__TraceResponse *trace_run(struct control *control,
				     const Sluice__V1__TraceRequest *request, bool *not_found,
				     struct error *err);

// trace_packet.c: reads `tcp 10.1.0.11:1234 > 10.1.0.12:80 ttl 3`. Fills protocol, addresses,
// ports, flags, hop limit, and ip_length (0: none was given).
struct packet;
int trace_packet_parse(const char *text, struct packet *packet, struct error *err);

// trace_frame.c: writes the Ethernet frame that `packet` (as trace_packet_parse left it, with MAC
// addresses) is: ip_length bytes of IP packet, or more if its headers need them. Returns its
// length.
#define TRACE_FRAME_MAX (65535 + 14)
uint32_t trace_frame_write(const struct packet *packet, uint8_t frame[TRACE_FRAME_MAX]);

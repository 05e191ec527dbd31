// What the data plane can be asked: its connections, its counters, and what it would do with a
// packet.

#pragma once

#include <stdio.h>

#include "rpc/server.h"
#include "sluice.pb-c.h"

struct control;

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

// process.c: what the process uses, as far as the kernel says it. NULL without memory.
Sluice__V1__ProcessStats *process_stats_collect(void);

// metrics.c: writes the statistics in Prometheus' text format (version 0.0.4).
void metrics_write(FILE *file, const Sluice__V1__StatsResponse *stats, const char *node);

// metrics_server.c: answers GET /metrics and /healthz at "HOST:PORT", on the control thread. The
// error is a whole line for the user.
struct metrics_server;
int metrics_server_open(struct control *control, const char *address,
			struct metrics_server **server, struct error *err);
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

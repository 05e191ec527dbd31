// `sluice trace`: a made-up packet through the workers' own code, with somebody listening.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_mbuf.h>

#include "control/control.h"
#include "packet/header.h"
#include "telemetry/telemetry.h"

struct trace {
	struct control *control;
	Sluice__V1__TraceResponse *response;
};

static void response_add_step(Sluice__V1__TraceResponse *response, const char *layer,
			      const char *text)
{
	Sluice__V1__TraceStep **grown, *step = malloc(sizeof(*step));

	grown = realloc(response->steps, (response->n_steps + 1) * sizeof(*grown));
	if (grown)
		response->steps = grown;
	if (!grown || !step) {
		free(step);
		return;
	}
	sluice__v1__trace_step__init(step);
	step->layer = strdup(layer);
	step->text = strdup(text);
	grown[response->n_steps++] = step;
}

static void add_step(void *context, const char *layer, const char *text)
{
	response_add_step(((struct trace *)context)->response, layer, text);
}

static void say(Sluice__V1__TraceResponse *response, const char *layer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(Sluice__V1__TraceResponse *response, const char *layer, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	response_add_step(response, layer, text);
}

static void drop(Sluice__V1__TraceResponse *response, enum drop_reason reason)
{
	response->verdict = strdup("drop");
	response->reason = strdup(drop_reason_name(reason));
}

// The MAC address of a group (RFC 1112 section 6.4, RFC 2464 section 7) or of everybody on a
// subnet.
static bool address_everybody(const struct network *network, const struct ip_address *to,
			      struct mac_address *mac)
{
	static const struct mac_address broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	const uint8_t *bytes = to->bytes;

	if (!ip_is_v4(to)) {
		*mac = (struct mac_address){
			{0x33, 0x33, bytes[12], bytes[13], bytes[14], bytes[15]}};
		return ip_is_multicast(to);
	}
	if (ip_is_multicast(to) && bytes[12] != 255) {
		*mac = (struct mac_address){
			{0x01, 0x00, 0x5e, bytes[13] & 0x7f, bytes[14], bytes[15]}};
		return true;
	}
	*mac = broadcast;
	if (ip_is_multicast(to))
		return true;
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		const struct ip_prefix *prefix = &network->subnets[i].prefix;
		uint32_t host;

		// RFC 3021: two addresses have no broadcast.
		if (prefix->length >= 127 || !ip_in_prefix(to, prefix))
			continue;
		host = UINT32_MAX >> (prefix->length - 96);
		if ((ntohl(to->words[3]) & host) == host)
			return true;
	}
	return false;
}

// The frame's MAC addresses, as the workload's own system would choose them: ARP or ND for what is
// on the link, the gateway for the rest. False: it would not be sent at all, and the response says
// why.
static bool address_frame(const struct tables *tables, const struct network *network,
			  const struct endpoint *source, struct packet *packet,
			  Sluice__V1__TraceResponse *response)
{
	const struct ip_address *to = &packet->destination;
	bool v4 = ip_is_v4(to), on_link = ip_is_link_local(to), has_gateway = false;
	const struct endpoint *endpoint;
	char text[IP_TEXT_SIZE];

	packet->source_mac = source->mac;
	if (address_everybody(network, to, &packet->destination_mac))
		return true;
	for (uint32_t i = 0; i < network->subnet_count; i++) {
		const struct subnet *subnet = &network->subnets[i];

		on_link |= ip_in_prefix(to, &subnet->prefix);
		if (!subnet->has_gateway || ip_is_v4(&subnet->gateway) != v4)
			continue;
		has_gateway = true;
		if (!ip_equal(to, &subnet->gateway))
			continue;
		packet->destination_mac = network->gateway_mac;
		return true;
	}
	if (!on_link && has_gateway) {
		packet->destination_mac = network->gateway_mac;
		return true;
	}
	endpoint =
		on_link ? tables_endpoint(tables, tables_find_address(tables, network->domain, to))
			: NULL;
	if (endpoint && endpoint->network == network->number) {
		packet->destination_mac = endpoint->mac;
		return true;
	}
	if (on_link) {
		say(response, "address-resolution",
		    "nobody in network %s has %s: %s is not answered", network->name,
		    ip_format(to, text), v4 ? "ARP" : "ND");
		drop(response, v4 ? DROP_ARP_UNKNOWN : DROP_ND_UNKNOWN);
	} else {
		say(response, "l3", "%s is in no subnet of network %s, and that has no gateway",
		    ip_format(to, text), network->name);
		drop(response, DROP_NO_ROUTE);
	}
	return false;
}

// A packet from a port of another node, as that node would send it here.
static bool address_tunnel(const struct tables *tables, const struct endpoint *source,
			   struct packet *packet, uint16_t *network,
			   Sluice__V1__TraceResponse *response)
{
	uint16_t domain = tables->networks[source->network].domain;
	const struct endpoint *to =
		tables_endpoint(tables, tables_find_address(tables, domain, &packet->destination));
	const char *node = tables->peers[source->peer].name;
	char text[IP_TEXT_SIZE];

	packet->source_mac = source->mac;
	if (address_everybody(&tables->networks[source->network], &packet->destination,
			      &packet->destination_mac)) {
		say(response, "tunnel", "from node %s, which judges egress", node);
		return true;
	}
	if (!to || to->peer) {
		say(response, "tunnel",
		    "%s is no port of this node: node %s would not send it here",
		    ip_format(&packet->destination, text), node);
		drop(response, DROP_TUNNEL_DESTINATION);
		return false;
	}
	say(response, "tunnel", "from node %s, which judges egress", node);
	*network = to->network;
	packet->source_mac = to->network == source->network ? source->mac : to->gateway_mac;
	packet->destination_mac = to->mac;
	return true;
}

static void add_output(void *context, uint16_t port, const struct rte_mbuf *frame)
{
	struct trace *trace = context;
	Sluice__V1__TraceResponse *response = trace->response;
	Sluice__V1__TraceOutput **grown, *output = malloc(sizeof(*output));
	uint8_t *bytes = malloc(frame->pkt_len);
	const void *data;

	grown = realloc(response->outputs, (response->n_outputs + 1) * sizeof(*grown));
	if (grown)
		response->outputs = grown;
	if (!grown || !output || !bytes) {
		free(output);
		free(bytes);
		return;
	}
	sluice__v1__trace_output__init(output);
	data = rte_pktmbuf_read(frame, 0, frame->pkt_len, bytes);
	if (data != bytes)
		memcpy(bytes, data, frame->pkt_len);
	output->port = strdup(tables_port_name(trace->control->tables, port));
	output->frame.data = bytes;
	output->frame.len = frame->pkt_len;
	grown[response->n_outputs++] = output;
}

// `peer`: 0 for frames as the device would hand them over.
static int run(struct trace *trace, uint16_t port, uint16_t peer, uint16_t network,
	       const struct engine_frame *frames, uint32_t count, struct error *err)
{
	struct engine_trace engine_trace = {
		.say = add_step, .output = add_output, .context = trace};

	if (!engine_trace_frames(trace->control->engine, frames, count, port, peer, network,
				 &engine_trace))
		return error_set(err, "no packet buffer is free");
	if (engine_trace.dropped)
		drop(trace->response, engine_trace.reason);
	else
		trace->response->verdict = strdup("allow");
	return 0;
}

// The frame of a written packet: which MAC addresses it has is the sender's decision. One that
// would not be sent has its verdict already, and returns 0.
static uint32_t write_frame(struct trace *trace, const struct endpoint *source,
			    struct packet *packet, uint16_t *network,
			    uint8_t frame[TRACE_FRAME_MAX])
{
	const struct tables *tables = trace->control->tables;

	if (source->peer ? !address_tunnel(tables, source, packet, network, trace->response)
			 : !address_frame(tables, &tables->networks[*network], source, packet,
					  trace->response))
		return 0;
	return trace_frame_write(packet, frame);
}

static const struct endpoint *find_port(const struct tables *tables, const char *name)
{
	for (uint32_t i = 1; i < tables->endpoint_count; i++)
		if (strcmp(tables->details[i].name, name) == 0)
			return &tables->endpoints[i];
	return NULL;
}

static int add_frame(const ProtobufCBinaryData *from, struct engine_frame *frame, struct error *err)
{
	if (!from->len)
		return error_set(err, "a frame is empty");
	if (from->len > TRACE_FRAME_MAX)
		return error_set(err, "the frame is longer than %u bytes", TRACE_FRAME_MAX);
	*frame = (struct engine_frame){.bytes = from->data, .length = (uint32_t)from->len};
	return 0;
}

static int trace_frame(struct trace *trace, const struct endpoint *source,
		       const Sluice__V1__TraceRequest *request, struct error *err)
{
	uint32_t count = (uint32_t)request->n_earlier + 1;
	struct engine_frame *frames;
	int result = 0;

	if (source && source->peer)
		return error_set(err,
				 "Port '%s' is on another node: a frame enters where its Port is",
				 request->port);
	frames = calloc(count, sizeof(*frames));
	if (!frames)
		return error_set(err, "no memory");
	for (uint32_t i = 0; i < count && result == 0; i++)
		result = add_frame(i + 1 < count ? &request->earlier[i] : &request->frame,
				   &frames[i], err);
	if (result == 0)
		result = run(trace, source ? source->port : PORT_UPLINK, 0, 0, frames, count, err);
	free(frames);
	return result;
}

static int trace_written(struct trace *trace, const struct endpoint *source,
			 const Sluice__V1__TraceRequest *request, struct error *err)
{
	uint16_t network = source->network;
	struct packet packet;
	struct engine_frame written;
	uint8_t *frame;
	int result = 0;

	if (request->n_earlier)
		return error_set(err, "what came earlier is known of a frame alone");
	if (trace_packet_parse(request->packet, &packet, err) < 0)
		return -1;
	frame = malloc(TRACE_FRAME_MAX);
	if (!frame)
		return error_set(err, "no memory");
	written.bytes = frame;
	written.length = write_frame(trace, source, &packet, &network, frame);
	if (written.length)
		result = run(trace, source->port, source->peer, network, &written, 1, err);
	free(frame);
	return result;
}

Sluice__V1__TraceResponse *trace_run(struct control *control,
				     const Sluice__V1__TraceRequest *request, bool *not_found,
				     struct error *err)
{
	const struct endpoint *source = find_port(control->tables, request->port);
	struct trace trace = {.control = control};

	// From the underlay there are only whole frames.
	if (!source && (!request->frame.len || strcmp(request->port, "uplink") != 0)) {
		*not_found = true;
		error_set(err, "no Port '%s'", request->port);
		return NULL;
	}
	trace.response = malloc(sizeof(*trace.response));
	if (!trace.response) {
		error_set(err, "no memory");
		return NULL;
	}
	sluice__v1__trace_response__init(trace.response);
	if ((request->frame.len ? trace_frame(&trace, source, request, err)
				: trace_written(&trace, source, request, err)) == 0)
		return trace.response;
	sluice__v1__trace_response__free_unpacked(trace.response, NULL);
	return NULL;
}

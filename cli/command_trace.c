// sluice trace: what each layer would decide on a packet.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

static void trace_print(const Sluice__V1__TraceResponse *response)
{
	int width = 0;
	size_t last = response->n_steps;

	for (size_t i = 0; i < last; i++)
		if ((int)strlen(response->steps[i]->layer) > width)
			width = (int)strlen(response->steps[i]->layer);
	for (size_t i = 0; i < last; i++)
		printf("%-*s  %s\n", width, response->steps[i]->layer, response->steps[i]->text);
	if (strcmp(response->verdict, "drop") == 0) {
		// What leaves all the same is Sluice's answer to it.
		for (size_t i = 0; i < response->n_outputs; i++)
			printf("%-*s  %zu bytes to %s\n", width, "answer",
			       response->outputs[i]->frame.len, response->outputs[i]->port);
		printf("drop %s\n", response->reason);
		return;
	}
	printf("%s", response->verdict);
	for (size_t i = 0; i < response->n_outputs; i++)
		printf("%s %s", i ? "," : " to", response->outputs[i]->port);
	putchar('\n');
}

static int digit(char c)
{
	const char *digits = "0123456789abcdef", *found = strchr(digits, tolower((unsigned char)c));

	return c && found ? (int)(found - digits) : -1;
}

// `0011aa...`, with or without spaces and colons. Length 0: it is something else.
static uint8_t *frame_parse(const char *text, size_t *length)
{
	uint8_t *frame = malloc(strlen(text) / 2 + 1);

	for (*length = 0; frame && *text; text += 2) {
		while (*text == ' ' || *text == ':')
			text++;
		if (!*text)
			break;
		if (digit(text[0]) < 0 || digit(text[1]) < 0) {
			*length = 0;
			break;
		}
		frame[(*length)++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
	}
	return frame;
}

// The last frame is the one that is traced. False: one is none.
static bool frames_parse(const struct invocation *invocation, Sluice__V1__TraceRequest *request)
{
	size_t last = option_count(&invocation->options, "frame") - 1;
	bool right = true;

	request->earlier = calloc(last + 1, sizeof(*request->earlier));
	for (size_t i = 0; request->earlier && i <= last; i++) {
		ProtobufCBinaryData *frame = i < last ? &request->earlier[i] : &request->frame;

		frame->data = frame_parse(option_at(&invocation->options, "frame", i), &frame->len);
		right &= frame->len > 0;
	}
	request->n_earlier = last;
	return right && request->earlier;
}

static void frames_free(Sluice__V1__TraceRequest *request)
{
	for (size_t i = 0; request->earlier && i < request->n_earlier; i++)
		free(request->earlier[i].data);
	free(request->earlier);
	free(request->frame.data);
}

static int trace_run(const struct command *command, const struct invocation *invocation)
{
	Sluice__V1__TraceResponse *response;
	Sluice__V1__TraceRequest request;
	const char *port = option_get(&invocation->options, "port");
	bool framed = option_count(&invocation->options, "frame");

	if (!port)
		return usage_error(command, "--port PORT is missing");
	if (invocation->argument_count != (framed ? 0 : 1))
		return usage_error(command, "trace takes one packet, in quotes, or --frame HEX");
	sluice__v1__trace_request__init(&request);
	request.port = (char *)(uintptr_t)port;
	if (framed) {
		if (!frames_parse(invocation, &request)) {
			frames_free(&request);
			return usage_error(command, "--frame takes hexadecimal digits, two a byte");
		}
	} else {
		request.packet = invocation->arguments[0];
	}
	response = (Sluice__V1__TraceResponse *)call_reported(invocation, "Trace", &request.base);
	frames_free(&request);
	if (!response)
		return EXIT_FAILED;
	if (invocation->output == OUTPUT_TABLE)
		trace_print(response);
	else
		result_print(invocation, &response->base);
	sluice__v1__trace_response__free_unpacked(response, NULL);
	return EXIT_OK;
}

static const struct option_spec options[] = {
	{.name = "port",
	 .argument = "PORT",
	 .text = "where the packet enters; with --frame also `uplink`",
	 .completion = "port"},
	{.name = "frame",
	 .argument = "HEX",
	 .text = "instead of PACKET, an Ethernet frame byte by byte; of several the last, behind "
		 "the others (fragments)",
	 .repeated = true},
	OPTION_OUTPUT,
	{0},
};

const struct command trace_command = {
	.name = "trace",
	.arguments = "--port PORT 'PACKET'|--frame HEX... [-o table|json|yaml]",
	.summary = "Runs a made-up packet through the layers and shows what each decides",
	.about = "The last line is `allow ...` or `drop REASON`; the exit status is 0 in both "
		 "cases.\n",
	.options = options,
	.notes = "PACKET is PROTOCOL SOURCE > DESTINATION:\n"
		 "  tcp 10.1.0.11:1234 > 10.1.0.12:80\n"
		 "  udp [fd00::1]:53 > [fd00::2]:53\n"
		 "  icmp 10.1.0.11 > 10.1.0.12\n"
		 "Behind it may stand `ttl N`, `flags FLAGS` (of TCP, as SA) and `size N` (bytes "
		 "of the\n"
		 "IP packet).\n",
	.examples = "  sluice trace --port web-1 'tcp 10.1.0.11:1234 > 10.1.0.12:80'\n"
		    "  sluice trace --port web-1 'icmp 10.1.0.11 > 10.2.0.12 ttl 1'\n",
	.run = trace_run,
};

// sluice capture: packets at ports, into a file for Wireshark or a line each.

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pcap/pcap.h>

#include "cli/command.h"
#include "cli/packet_summary.h"
#include "cli/pcapng.h"
#include "model/memory.h"

#define SNAPLEN_MAX 262144

struct capturing {
	FILE *file;
	struct pcapng *pcapng; // NULL: lines are printed
	uint64_t packets;
	uint64_t missed;
	bool begun;
};

// What a signal ends.
static struct rpc_client *running;
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = 1;
	rpc_client_interrupt(running);
}

static void line_print(FILE *file, const Sluice__V1__CapturedPacket *packet)
{
	time_t second = (time_t)(packet->time / 1000000000);
	char summary[PACKET_SUMMARY_SIZE], text[16];
	struct tm local;

	packet_summary(packet->data.data, packet->data.len, packet->length, summary);
	localtime_r(&second, &local);
	strftime(text, sizeof(text), "%H:%M:%S", &local);
	fprintf(file, "%s.%06u %s %s", text, (unsigned)(packet->time % 1000000000 / 1000),
		packet->port, capture_point_text(packet->point));
	if (*packet->reason)
		fprintf(file, " %s", packet->reason);
	fprintf(file, "  %s\n", summary);
}

static int packet_take(void *context, const ProtobufCMessage *message)
{
	const Sluice__V1__CapturedPacket *packet = (const Sluice__V1__CapturedPacket *)message;
	struct capturing *capturing = context;

	capturing->missed = packet->missed;
	if (!*packet->port) {
		if (!capturing->begun)
			fputs("capturing; Ctrl-C ends it\n", stderr);
		capturing->begun = true;
		// For the moment that is all: whoever reads behind us gets it now.
		fflush(capturing->file);
	} else {
		capturing->packets++;
		if (capturing->pcapng)
			pcapng_packet(capturing->pcapng, packet);
		else
			line_print(capturing->file, packet);
	}
	return ferror(capturing->file) ? 1 : 0;
}

// ---- the request

static bool number_parse(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *number <= max;
}

static int points_parse(const struct command *command, const struct option_values *options,
			Sluice__V1__CaptureRequest *request)
{
	static const struct {
		const char *name;
		unsigned points; // bit of each CapturePoint
	} words[] = {{"in", 2}, {"out", 4}, {"both", 6}, {"dropped", 8}, {"all", 14}};
	unsigned points = 0;

	for (size_t i = 0; i < option_count(options, "point"); i++) {
		const char *text = option_at(options, "point", i);
		unsigned found = 0;

		for (size_t j = 0; j < sizeof(words) / sizeof(*words); j++)
			if (strcmp(words[j].name, text) == 0)
				found = words[j].points;
		if (!found)
			return usage_error(command,
					   "--point takes in, out, both, dropped or all, not '%s'",
					   text);
		points |= found;
	}
	request->points = memory_new(3 * sizeof(*request->points));
	for (unsigned point = 1; point <= 3; point++)
		if (points >> point & 1)
			request->points[request->n_points++] = (Sluice__V1__CapturePoint)point;
	return EXIT_OK;
}

static char *words_join(char *const *words, int count)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	memory_required(file);
	for (int i = 0; i < count; i++)
		fprintf(file, "%s%s", i ? " " : "", words[i]);
	fclose(file);
	return text;
}

// Compiled here, where the names in it mean what its writer means, and where looking them up keeps
// nobody waiting.
static int filter_compile(const struct command *command, const struct invocation *invocation,
			  Sluice__V1__CaptureRequest *request)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN_MAX);
	char *text = words_join(invocation->arguments, invocation->argument_count);
	struct bpf_program program;
	int result = EXIT_OK;

	memory_required(pcap);
	if (pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		result = usage_error(command, "filter '%s': %s", text, pcap_geterr(pcap));
	} else {
		request->filter = memory_new(program.bf_len * sizeof(*request->filter));
		for (; request->n_filter < program.bf_len; request->n_filter++) {
			const struct bpf_insn *from = &program.bf_insns[request->n_filter];
			Sluice__V1__BpfInstruction *to = memory_new(sizeof(*to));

			sluice__v1__bpf_instruction__init(to);
			to->code = from->code;
			to->jt = from->jt;
			to->jf = from->jf;
			to->k = from->k;
			request->filter[request->n_filter] = to;
		}
		pcap_freecode(&program);
	}
	pcap_close(pcap);
	free(text);
	return result;
}

static int request_make(const struct command *command, const struct invocation *invocation,
			Sluice__V1__CaptureRequest *request)
{
	const struct option_values *options = &invocation->options;
	const char *count = option_get(options, "count"), *snaplen = option_get(options, "snaplen");
	uint64_t number;

	if (count && (!number_parse(count, UINT64_MAX, &request->count) || !request->count))
		return usage_error(command, "--count takes a number of packets from 1 on, not '%s'",
				   count);
	if (snaplen) {
		if (!number_parse(snaplen, SNAPLEN_MAX, &number))
			return usage_error(command, "--snaplen takes 0 to %d bytes, not '%s'",
					   SNAPLEN_MAX, snaplen);
		request->snaplen = (uint32_t)number;
	}
	request->ports = memory_new((option_count(options, "port") + 1) * sizeof(*request->ports));
	for (; request->n_ports < option_count(options, "port"); request->n_ports++)
		request->ports[request->n_ports] =
			(char *)(uintptr_t)option_at(options, "port", request->n_ports);
	if (points_parse(command, options, request) != EXIT_OK)
		return EXIT_USAGE;
	return invocation->argument_count ? filter_compile(command, invocation, request) : EXIT_OK;
}

static void request_clear(Sluice__V1__CaptureRequest *request)
{
	for (size_t i = 0; i < request->n_filter; i++)
		free(request->filter[i]);
	free(request->filter);
	free(request->points);
	free(request->ports);
}

// ---- the call

static int run_call(const struct invocation *invocation, const Sluice__V1__CaptureRequest *request,
		    struct capturing *capturing)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct rpc_status status;
	struct error err;
	int result;

	if (client_open(invocation, &running, &err) < 0)
		return failure("%s", err.text);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	result = rpc_client_stream(running, &sluice__v1__sluice__descriptor, "Capture",
				   &request->base, packet_take, capturing, &status);
	if (result < 0 && !stopped)
		status_failure(&status, NULL);
	rpc_status_clear(&status);
	action.sa_handler = SIG_DFL;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	rpc_client_close(running);
	return result < 0 && !stopped ? EXIT_FAILED : EXIT_OK;
}

static int capture_run(const struct command *command, const struct invocation *invocation)
{
	const char *path = option_get(&invocation->options, "write");
	struct capturing capturing = {.file = stdout};
	Sluice__V1__CaptureRequest request;
	int result;

	sluice__v1__capture_request__init(&request);
	result = request_make(command, invocation, &request);
	if (result == EXIT_OK && path && strcmp(path, "-") != 0) {
		capturing.file = fopen(path, "we");
		if (!capturing.file)
			result = failure("cannot write %s: %s", path, strerror(errno));
	}
	if (result == EXIT_OK) {
		if (path)
			capturing.pcapng = pcapng_new(
				capturing.file, request.snaplen ? request.snaplen : SNAPLEN_MAX);
		result = run_call(invocation, &request, &capturing);
		pcapng_free(capturing.pcapng);
		if (fflush(capturing.file) != 0 || ferror(capturing.file))
			result = failure("cannot write %s: %s", path ? path : "to standard output",
					 strerror(errno));
		if (capturing.begun)
			fprintf(stderr, "%" PRIu64 " packets captured\n", capturing.packets);
		if (capturing.missed)
			fprintf(stderr, "%" PRIu64 " packets not captured: too fast\n",
				capturing.missed);
	}
	if (capturing.file && capturing.file != stdout)
		fclose(capturing.file);
	request_clear(&request);
	return result;
}

static const struct option_spec options[] = {
	{.name = "port",
	 .letter = 'p',
	 .argument = "PORT",
	 .text = "a Port of this node, `uplink` or `uplink-host`; may be given several times; "
		 "without it all",
	 .repeated = true,
	 .completion = "port"},
	{.name = "write",
	 .letter = 'w',
	 .argument = "FILE",
	 .text = "write a pcapng file, for Wireshark, tcpdump and the like; - for standard output",
	 .completion = "FILE"},
	{.name = "count", .letter = 'c', .argument = "N", .text = "end after so many packets"},
	{.name = "point",
	 .argument = "POINT",
	 .text = "in (as received), out (as sent), both, dropped, or all (default); may be given "
		 "several times",
	 .repeated = true,
	 .completion = "in out both dropped all"},
	{.name = "snaplen",
	 .letter = 's',
	 .argument = "N",
	 .text = "how many bytes of each packet; default 262144, as also 0"},
	{0},
};

const struct command capture_command = {
	.name = "capture",
	.arguments = "[--port PORT]... [-w FILE.pcapng|-] [--count N] [--point POINT] [FILTER]",
	.summary = "Captures packets at ports: as received, as sent, and dropped ones with the "
		   "reason",
	.about = "Without -w each packet is a line: time, port, point, for a dropped one the "
		 "reason, and\n"
		 "what tcpdump would say. FILTER is an expression as tcpdump has it "
		 "(pcap-filter(7)); on the\n"
		 "uplink packets have their outer headers. Ctrl-C ends it.\n",
	.options = options,
	.notes = "On the uplink `in` and `out` are tunnel packets. A dropped packet is shown at "
		 "the port that\n"
		 "counts it in `sluice stats`: a connection that the receiver's groups refuse, at "
		 "the receiver.\n"
		 "Large sends are one packet, as the workload hands them over.\n",
	.examples = "  sluice capture --port web-1\n"
		    "  sluice capture --port web-1 --point dropped\n"
		    "  sluice capture --port web-1 --port uplink -w web.pcapng tcp port 80\n"
		    "  sluice capture --port web-1 --count 100 -w - | tcpdump -n -v -r -\n"
		    "  sluice capture -w - 'icmp6 or arp' | wireshark -k -i -\n",
	.run = capture_run,
};

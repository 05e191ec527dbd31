// Cycles a packet of the data plane alone, by stage: the real tables, connections and fast path,
// and ports that only hand packets over.

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

#include "pipeline.h"

// Of fewer the first have ended before they are answered.
#define FIRST_MIN 10000

static const char usage[] =
	"usage: pipeline [OPTION...]\n"
	"  --connections N    (default 1000)\n"
	"  --clients N        IPv4 addresses that connections come from, up to 65536 (one)\n"
	"  --protocol udp|tcp (default udp)\n"
	"  --ipv6\n"
	"  --vxlan            the server is on another node\n"
	"  --balance          the server is a LoadBalancer's member, in another network\n"
	"  --nat              the server is outside, behind a Nat\n"
	"  --limit            the client's port has limits, which are not reached\n"
	"  --mark             what it sends is marked\n"
	"  --first            connections begin, are answered and end, while so many (10000 at\n"
	"                     least) are live; a fifth of them is kept alive\n"
	"  --anew             every packet is judged anew\n"
	"  --workers 1|2      on CPUs 0 and 1\n"
	"  --apart            with two workers: a connection's directions at different ones\n"
	"  --seconds S        of a measurement (default 0.5)\n"
	"  --ordinary-pages   no huge pages for packets\n"
	"  --instructions     instructions a packet by function, under valgrind\n"
	"  --turns N          so many turns of 64 packets, and no figures: for profilers\n";

// One line, and status 2.
__attribute__((format(printf, 1, 2), noreturn)) static void refuse(const char *format, ...)
{
	va_list arguments;

	fputs("pipeline: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(2);
}

static uint32_t read_number(const char *option, uint32_t least, uint32_t most)
{
	char *end;
	unsigned long number = strtoul(optarg, &end, 10);

	if (*optarg < '0' || *optarg > '9' || *end || number < least || number > most)
		refuse("--%s: %s: not a number from %u to %u", option, optarg, least, most);
	return (uint32_t)number;
}

// What does not go together.
static void check(const struct pipeline_options *options)
{
	bool first = options->packets == PACKETS_FIRST;

	if (first && options->connections < FIRST_MIN)
		refuse("--first: needs --connections %u at least", FIRST_MIN);
	if (options->packets != PACKETS_LATER && options->workers > 1)
		refuse("--workers: not with --first or --anew");
	if (options->connections < options->workers)
		refuse("--connections: fewer than workers");
	if (options->clients && options->ipv6)
		refuse("--clients: not with --ipv6");
	if (options->vxlan && (options->balance || options->nat))
		refuse("--vxlan: not with --balance or --nat");
	if (options->nat && (options->balance || options->workers > 1))
		refuse("--nat: not with --balance or --workers 2");
}

static void read_options(int argc, char **argv, struct pipeline_options *options)
{
	enum {
		CONNECTIONS = 256,
		CLIENTS,
		PROTOCOL,
		IPV6,
		VXLAN,
		BALANCE,
		NAT,
		LIMIT,
		MARK,
		FIRST,
		ANEW,
		WORKERS,
		APART,
		SECONDS,
		PAGES,
		INSTRUCTIONS,
		TURNS
	};
	static const struct option list[] = {{"connections", required_argument, NULL, CONNECTIONS},
					     {"clients", required_argument, NULL, CLIENTS},
					     {"protocol", required_argument, NULL, PROTOCOL},
					     {"ipv6", no_argument, NULL, IPV6},
					     {"vxlan", no_argument, NULL, VXLAN},
					     {"balance", no_argument, NULL, BALANCE},
					     {"nat", no_argument, NULL, NAT},
					     {"limit", no_argument, NULL, LIMIT},
					     {"mark", no_argument, NULL, MARK},
					     {"first", no_argument, NULL, FIRST},
					     {"anew", no_argument, NULL, ANEW},
					     {"workers", required_argument, NULL, WORKERS},
					     {"apart", no_argument, NULL, APART},
					     {"seconds", required_argument, NULL, SECONDS},
					     {"ordinary-pages", no_argument, NULL, PAGES},
					     {"instructions", no_argument, NULL, INSTRUCTIONS},
					     {"turns", required_argument, NULL, TURNS},
					     {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", list, NULL)) != -1)
		switch (option) {
		case CONNECTIONS:
			options->connections = read_number("connections", 1, 16000000u);
			break;
		case CLIENTS:
			options->clients = read_number("clients", 1, 65536u);
			break;
		case PROTOCOL:
			if (strcmp(optarg, "tcp") != 0 && strcmp(optarg, "udp") != 0)
				refuse("--protocol: %s: not udp or tcp", optarg);
			options->protocol = strcmp(optarg, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
			break;
		case IPV6:
			options->ipv6 = true;
			break;
		case VXLAN:
			options->vxlan = true;
			break;
		case BALANCE:
			options->balance = true;
			break;
		case NAT:
			options->nat = true;
			break;
		case LIMIT:
			options->limit = true;
			break;
		case MARK:
			options->mark = true;
			break;
		case FIRST:
			options->packets = PACKETS_FIRST;
			break;
		case ANEW:
			options->packets = PACKETS_ANEW;
			break;
		case WORKERS:
			options->workers = read_number("workers", 1, 2u);
			break;
		case APART:
			options->apart = true;
			break;
		case SECONDS:
			options->seconds = strtod(optarg, NULL);
			if (!(options->seconds > 0 && options->seconds <= 3600))
				refuse("--seconds: %s: not a number of seconds", optarg);
			break;
		case PAGES:
			options->ordinary_pages = true;
			break;
		case INSTRUCTIONS:
			options->instructions = true;
			break;
		case TURNS:
			options->turns = read_number("turns", 1, 4294967295u);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	if (optind < argc)
		refuse("%s: not expected", argv[optind]);
	check(options);
}

static void print(const struct pipeline_options *options, const struct measured *result, bool huge)
{
	printf("%s%c%s %8u  %6.1f  (%.1f)", options->protocol == IPPROTO_TCP ? "tcp" : "udp",
	       options->ipv6 ? '6' : '4', options->vxlan ? " vxlan" : "", options->connections,
	       result->least, result->median);
	if (options->workers == 1 && options->packets == PACKETS_LATER)
		printf("   receive+parse %.1f  look up %.1f  apply %.1f  send %.1f   from client "
		       "%.1f  "
		       "from server %.1f",
		       result->receive, result->look_up, result->apply, result->send,
		       result->side[SIDE_CLIENT], result->side[SIDE_SERVER]);
	puts(huge ? "" : "   (no huge pages set aside for connections)");
}

int main(int argc, char **argv)
{
	struct pipeline_options options = {
		.connections = 1000, .workers = 1, .protocol = IPPROTO_UDP, .seconds = 0.5};
	struct measured results[2] = {{0}};
	struct world world = {0};

	read_options(argc, argv, &options);
	if (options.instructions)
		return instructions_run(&options, argv);
	world_start_eal(options.ordinary_pages);
	world_open(&world, &options);
	measure(&world, &options, results);
	if (!options.turns && options.packets != PACKETS_FIRST)
		for (uint32_t i = 0; i < options.workers; i++)
			print(&options, &results[i], world.engine->flows->memory.reserved);
	world_close(&world);
	return 0;
}

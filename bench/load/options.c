// Reading the command line.

#include "options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define PACKETS_MAX 1000000000ull
#define VNI_MAX	    ((1u << 24) - 1)

static const char usage[] =
	"usage: load EAL-OPTIONS [--vdev DEVICE...] -- [OPTIONS]\n"
	"\n"
	"Plays both ends of a device under test. Port 0 is the client, port 1 the server.\n"
	"\n"
	"  --vhost-user path=PATH[,server=1][,queue_size=N]\n"
	"                         a port: the load is the driver; twice, or ports of DPDK's are "
	"taken\n"
	"  --mode stream          all connections in turn, in both directions (default)\n"
	"  --mode new             each packet of port 0 opens a connection, port 1 answers each "
	"once\n"
	"  --mode tcp             connections that open, exchange data, and close\n"
	"  --connections N        of the stream (1), up to 16777216\n"
	"  --protocol udp|tcp     (udp)\n"
	"  --family 4|6           (4)\n"
	"  --size BYTES           of a frame without checksum (60, or what is needed)\n"
	"  --rate N               packets a second, both directions together; in the other modes\n"
	"                         connections a second; 0: as fast as it goes (default)\n"
	"  --hold N               mode new: connections that stay\n"
	"  --keep PPS             mode new: packets a second on those (a tenth of --hold)\n"
	"  --exchanges N          mode tcp: of data and acknowledgement (1)\n"
	"  --active N             mode tcp: connections at a time (1024)\n"
	"  --latency              time stamps and sequence numbers in all packets\n"
	"  --check                look at every packet that comes, not only at one of a burst; "
	"stream:\n"
	"                         count the connections that were answered\n"
	"  --mac MAC,MAC          (52:54:00:00:00:01,52:54:00:00:00:02)\n"
	"  --address IP,IP        (10.1.0.11,10.1.0.12 or fd00:1::11,fd00:1::12)\n"
	"  --seen IP,IP           the same as the server sees them, where they are translated\n"
	"  --next-hop MAC,MAC     to which client and server send (the other's)\n"
	"  --outside              port 1 is: the server learns what the client is there (UDP, "
	"IPv4)\n"
	"  --checksum             UDP has one over IPv4, too\n"
	"  --clients N            IPv4 addresses of the client, from its first one on (1)\n"
	"  --servers N            the same of the server\n"
	"  --tunnel vni=N,local=IP,remote=IP,local-mac=MAC[,remote-mac=MAC]\n"
	"                         port 1 is an underlay and speaks VXLAN\n"
	"  --interval MS          between lines (20)\n"
	"  --drain MS             at the end: wait so long for a packet that is missing (200)\n"
	"  --opening SECONDS      stream: begin after that even if connections are not open\n"
	"  --seconds S            end after that\n";

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

static uint64_t number_read(const char *name, const char *text, uint64_t min, uint64_t max)
{
	char *rest;
	uint64_t value = strtoull(text, &rest, 10);

	if (*text < '0' || *text > '9' || *rest != '\0' || value < min || value > max)
		fail("--%s: %s: not a number from %" PRIu64 " to %" PRIu64, name, text, min, max);
	return value;
}

static double seconds_read(const char *name, const char *text)
{
	char *rest;
	double value = strtod(text, &rest);

	if (*text < '0' || *text > '9' || *rest != '\0' || !(value > 0 && value <= 1e6))
		fail("--%s: %s: not a number of seconds", name, text);
	return value;
}

static bool choice_read(const char *name, const char *text, const char *no, const char *yes)
{
	if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
		fail("--%s: %s: not %s or %s", name, text, no, yes);
	return strcmp(text, yes) == 0;
}

static void address_read(const char *name, const char *text, struct address *address)
{
	address->is_v6 = strchr(text, ':') != NULL;
	if (inet_pton(address->is_v6 ? AF_INET6 : AF_INET, text, address->bytes) != 1)
		fail("--%s: %s: not an IP address", name, text);
}

static void mac_read(const char *name, const char *text, struct rte_ether_addr *mac)
{
	if (rte_ether_unformat_addr(text, mac) != 0 || rte_is_zero_ether_addr(mac) ||
	    rte_is_multicast_ether_addr(mac))
		fail("--%s: %s: not a MAC address", name, text);
}

// Cuts `text` at its comma.
static void pair_read(const char *name, char *text, const char *pair[SIDES])
{
	char *comma = strchr(text, ',');

	if (!comma || strchr(comma + 1, ','))
		fail("--%s: %s: not two, with a comma between", name, text);
	*comma = '\0';
	pair[0] = text;
	pair[1] = comma + 1;
}

static void tunnel_read(char *text, struct tunnel_options *tunnel)
{
	enum {
		VNI,
		LOCAL,
		REMOTE,
		LOCAL_MAC,
		REMOTE_MAC
	};
	static char *const keys[] = {"vni", "local", "remote", "local-mac", "remote-mac", NULL};
	unsigned int seen = 0;
	char *value = NULL;

	while (*text != '\0') {
		char *word = text;
		int key = getsubopt(&text, keys, &value);

		if (key < 0 || !value)
			fail("--tunnel: %s: not %s", word,
			     key < 0 ? "vni, local, remote, local-mac or remote-mac" : "KEY=VALUE");
		seen |= 1u << key;
		if (key == VNI)
			tunnel->vni = (uint32_t)number_read("tunnel", value, 0, VNI_MAX);
		else if (key == LOCAL || key == REMOTE)
			address_read("tunnel", value,
				     key == LOCAL ? &tunnel->local : &tunnel->remote);
		else
			mac_read("tunnel", value,
				 key == LOCAL_MAC ? &tunnel->local_mac : &tunnel->remote_mac);
	}
	for (int key = VNI; key <= LOCAL_MAC; key++) {
		if (!(seen & 1u << key))
			fail("--tunnel: no %s", keys[key]);
	}
	if (tunnel->local.is_v6 != tunnel->remote.is_v6)
		fail("--tunnel: local and remote are of different families");
	tunnel->enabled = true;
}

static void device_read(char *text, struct options *options)
{
	enum {
		PATH,
		SERVER,
		QUEUE_SIZE
	};
	static char *const keys[] = {"path", "server", "queue_size", NULL};
	struct vhost_user_device *device = &options->devices[options->device_count];
	char *value = NULL;

	if (options->device_count++ == SIDES)
		fail("--vhost-user: more than two");
	device->queue_size = VHOST_USER_QUEUE_SIZE_DEFAULT;
	while (*text != '\0') {
		char *word = text;
		int key = getsubopt(&text, keys, &value);

		if (key < 0 || !value)
			fail("--vhost-user: %s: not path, server or queue_size", word);
		if (key == PATH && strlen(value) >= sizeof(device->path))
			fail("--vhost-user: %s: longer than %zu bytes", value,
			     sizeof(device->path) - 1);
		if (key == PATH)
			strcpy(device->path, value);
		else if (key == SERVER)
			device->server = choice_read("vhost-user", value, "0", "1");
		else
			device->queue_size = (uint16_t)number_read("vhost-user", value,
								   VHOST_USER_QUEUE_SIZE_MIN,
								   VHOST_USER_QUEUE_SIZE_MAX);
	}
	if (device->path[0] == '\0')
		fail("--vhost-user: no path");
	if ((device->queue_size & (device->queue_size - 1)) != 0)
		fail("--vhost-user: %u: not a power of two", device->queue_size);
}

static enum mode mode_read(const char *text)
{
	static const char *const names[] = {
		[MODE_STREAM] = "stream", [MODE_NEW] = "new", [MODE_TCP] = "tcp"};

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum mode)i;
	}
	fail("--mode: %s: not stream, new or tcp", text);
}

// What the defaults are depends on other options, and some don't go together.
static void options_complete(struct options *options, bool has_addresses, bool has_seen,
			     bool has_next_hop, bool has_keep)
{
	static const char *const defaults[2][SIDES] = {{"10.1.0.11", "10.1.0.12"},
						       {"fd00:1::11", "fd00:1::12"}};

	for (unsigned int i = 0; i < SIDES; i++) {
		if (!has_addresses)
			address_read("address", defaults[options->is_v6][i],
				     &options->address[0][i]);
		if (!has_seen)
			options->address[1][i] = options->address[0][i];
		if (options->address[0][i].is_v6 != options->is_v6)
			fail("--address: not of the family of --family");
		if (options->address[1][i].is_v6 != options->is_v6)
			fail("--seen: not of the family of --family");
		if (!has_next_hop)
			options->next_hop[i] = options->mac[!i];
	}
	if (options->outside && (options->is_v6 || options->is_tcp || options->mode == MODE_TCP ||
				 options->latency || options->tunnel.enabled))
		fail("--outside: UDP over IPv4 only, without --latency and --tunnel");
	for (unsigned int i = 0; i < SIDES; i++) {
		if (options->addresses[i] > 1 && options->is_v6)
			fail("--%s: IPv4 only", i ? "servers" : "clients");
	}
	if (options->mode == MODE_TCP)
		options->is_tcp = true;
	if (options->latency && options->is_tcp && options->mode != MODE_STREAM)
		fail("--latency: TCP's packets carry time stamps in --mode stream only");
	if (options->size == 0)
		options->size = frames_size_min(options);
	if (options->size < frames_size_min(options))
		fail("--size: %u: no room for headers and payload; at least %u", options->size,
		     frames_size_min(options));
	if (!has_keep)
		options->keep = (options->hold + 9) / 10;
}

void options_read(struct options *options, int argc, char **argv)
{
	enum {
		VHOST_USER = 1,
		MODE,
		CONNECTIONS,
		PROTOCOL,
		FAMILY,
		SIZE,
		RATE,
		HOLD,
		KEEP,
		EXCHANGES,
		ACTIVE,
		LATENCY,
		CHECK,
		MAC,
		ADDRESS,
		SEEN,
		NEXT_HOP,
		OUTSIDE,
		CHECKSUM,
		CLIENTS,
		SERVERS,
		TUNNEL,
		INTERVAL,
		DRAIN,
		OPENING,
		SECONDS,
		HELP,
	};
	static const struct option table[] = {
		{"vhost-user", required_argument, NULL, VHOST_USER},
		{"mode", required_argument, NULL, MODE},
		{"connections", required_argument, NULL, CONNECTIONS},
		{"protocol", required_argument, NULL, PROTOCOL},
		{"family", required_argument, NULL, FAMILY},
		{"size", required_argument, NULL, SIZE},
		{"rate", required_argument, NULL, RATE},
		{"hold", required_argument, NULL, HOLD},
		{"keep", required_argument, NULL, KEEP},
		{"exchanges", required_argument, NULL, EXCHANGES},
		{"active", required_argument, NULL, ACTIVE},
		{"latency", no_argument, NULL, LATENCY},
		{"check", no_argument, NULL, CHECK},
		{"mac", required_argument, NULL, MAC},
		{"address", required_argument, NULL, ADDRESS},
		{"seen", required_argument, NULL, SEEN},
		{"next-hop", required_argument, NULL, NEXT_HOP},
		{"outside", no_argument, NULL, OUTSIDE},
		{"checksum", no_argument, NULL, CHECKSUM},
		{"clients", required_argument, NULL, CLIENTS},
		{"servers", required_argument, NULL, SERVERS},
		{"tunnel", required_argument, NULL, TUNNEL},
		{"interval", required_argument, NULL, INTERVAL},
		{"drain", required_argument, NULL, DRAIN},
		{"opening", required_argument, NULL, OPENING},
		{"seconds", required_argument, NULL, SECONDS},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	bool has_addresses = false, has_seen = false, has_next_hop = false, has_keep = false;
	const char *pair[SIDES];
	int key;

	*options = (struct options){
		.connections = 1,
		.exchanges = 1,
		.active = 1024,
		.interval_ms = 20,
		.drain_ms = 200,
		.mac = {{{0x52, 0x54, 0, 0, 0, 1}}, {{0x52, 0x54, 0, 0, 0, 2}}},
	};
	opterr = 0;
	optind = 1;
	while ((key = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		switch (key) {
		case VHOST_USER:
			device_read(optarg, options);
			break;
		case MODE:
			options->mode = mode_read(optarg);
			break;
		case CONNECTIONS:
			options->connections =
				(uint32_t)number_read("connections", optarg, 1, CONNECTIONS_MAX);
			break;
		case PROTOCOL:
			options->is_tcp = choice_read("protocol", optarg, "udp", "tcp");
			break;
		case FAMILY:
			options->is_v6 = choice_read("family", optarg, "4", "6");
			break;
		case SIZE:
			options->size = (unsigned int)number_read("size", optarg, 60, 1514);
			break;
		case RATE:
			options->rate = number_read("rate", optarg, 0, PACKETS_MAX);
			break;
		case HOLD:
			options->hold = (uint32_t)number_read("hold", optarg, 0, CONNECTIONS_MAX);
			break;
		case KEEP:
			options->keep = number_read("keep", optarg, 0, PACKETS_MAX);
			has_keep = true;
			break;
		case EXCHANGES:
			options->exchanges =
				(unsigned int)number_read("exchanges", optarg, 0, 1000000);
			break;
		case ACTIVE:
			options->active = (uint32_t)number_read("active", optarg, 1, 1u << 20);
			break;
		case LATENCY:
			options->latency = true;
			break;
		case CHECK:
			options->check = true;
			break;
		case MAC:
			pair_read("mac", optarg, pair);
			for (unsigned int i = 0; i < SIDES; i++)
				mac_read("mac", pair[i], &options->mac[i]);
			break;
		case ADDRESS:
			pair_read("address", optarg, pair);
			for (unsigned int i = 0; i < SIDES; i++)
				address_read("address", pair[i], &options->address[0][i]);
			has_addresses = true;
			break;
		case SEEN:
			pair_read("seen", optarg, pair);
			for (unsigned int i = 0; i < SIDES; i++)
				address_read("seen", pair[i], &options->address[1][i]);
			has_seen = true;
			break;
		case NEXT_HOP:
			pair_read("next-hop", optarg, pair);
			for (unsigned int i = 0; i < SIDES; i++)
				mac_read("next-hop", pair[i], &options->next_hop[i]);
			has_next_hop = true;
			break;
		case OUTSIDE:
			options->outside = true;
			break;
		case CHECKSUM:
			options->checksum = true;
			break;
		case CLIENTS:
			options->addresses[0] =
				(uint32_t)number_read("clients", optarg, 1, ADDRESSES_MAX);
			break;
		case SERVERS:
			options->addresses[1] =
				(uint32_t)number_read("servers", optarg, 1, ADDRESSES_MAX);
			break;
		case TUNNEL:
			tunnel_read(optarg, &options->tunnel);
			break;
		case INTERVAL:
			options->interval_ms =
				(unsigned int)number_read("interval", optarg, 1, 3600000);
			break;
		case DRAIN:
			options->drain_ms = (unsigned int)number_read("drain", optarg, 1, 60000);
			break;
		case OPENING:
			options->opening_seconds = seconds_read("opening", optarg);
			break;
		case SECONDS:
			options->seconds = seconds_read("seconds", optarg);
			break;
		case HELP:
			fputs(usage, stdout);
			exit(0);
		case ':':
			fail("%s: needs a value", argv[optind - 1]);
		default:
			fail("%s: unknown option; --help tells of all", argv[optind - 1]);
		}
	}
	if (optind < argc)
		fail("%s: not expected", argv[optind]);
	options_complete(options, has_addresses, has_seen, has_next_hop, has_keep);
}

// Any bytes as a DHCP or DHCPv6 message: read, and answered for a Port. Messages end at a page that
// can't be read; answers must be readable by the same rules. The first byte says which: 0 DHCP, 1
// DHCPv6, 2 DHCPv6 by unicast; more: for the Port without addresses.

#include "fuzz.h"
#include "layer/services/services.h"
#include "plane/tables_from_yaml.h"

#define MESSAGE_MAX 4096
#define REPLY_GUARD 64

static struct tables *tables;

static const char yaml[] =
	"kind: Node\nname: a\n"
	"---\nkind: Network\nname: blue\nvni: 5001\nmtu: 1400\nsubnets:\n"
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1, dns: [10.1.0.2, 10.1.0.3], routes: [{cidr: "
	"192.168.0.0/16}, {cidr: 172.16.0.0/12, nextHop: 10.1.0.9}]}\n"
	"- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1', dns: ['fd00:1::2'], routes: [{cidr: "
	"'fd00:2::/48'}]}\n"
	"dhcp: {domain: example.org, ntp: [10.1.0.4, 'fd00:1::4'], domainSearch: [example.org, "
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.org, "
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example.org, "
	"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.example.org, "
	"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.example.org], "
	"boot: {server: 10.1.0.5, file: a, efiFile: b, ipxeFile: 'http://c', url: 'tftp://d'}}\n"
	"---\nkind: Port\nname: a1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11', 'fd00:1::12']\ndevice: {tap: {name: a1}}\n"
	"---\nkind: Port\nname: a2\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:02'\n"
	"device: {tap: {name: a2}}\n";

static const struct service_endpoint *find(const char *name)
{
	for (uint32_t i = 0; i < tables->services->endpoint_count; i++) {
		const struct service_endpoint *service = &tables->services->endpoints[i];

		if (strcmp(tables->details[service->endpoint].name, name) == 0)
			return service;
	}
	abort();
}

static void fuzz_v4(const struct dhcp_offer *offer, const uint8_t *data, uint32_t size)
{
	uint8_t reply[DHCP_MESSAGE_MAX + REPLY_GUARD];
	struct dhcp_message message, again;
	struct dhcp_answer answer;
	enum drop_reason reason;

	if (!dhcp_read(data, size, &message))
		return;
	memset(reply + DHCP_MESSAGE_MAX, 0x5a, REPLY_GUARD);
	reason = dhcp_answer(offer, &message, reply, &answer);
	for (unsigned int i = 0; i < REPLY_GUARD; i++)
		require(reply[DHCP_MESSAGE_MAX + i] == 0x5a);
	if (reason != DROP_NONE || !answer.size)
		return;
	require(answer.size <= DHCP_MESSAGE_MAX && answer.size >= 300);
	require(message.max_size > 576 || answer.size <= 576 - 28);
	require(dhcp_read(reply, answer.size, &again) && !again.request);
	require(again.type == DHCP_OFFER || again.type == DHCP_ACK || again.type == DHCP_NAK);
	require(again.has_server && again.server == offer->subnet->server);
}

static void fuzz_v6(const struct dhcpv6_offer *offer, bool unicast, const uint8_t *data,
		    uint32_t size)
{
	uint8_t reply[DHCPV6_MESSAGE_MAX + REPLY_GUARD];
	struct dhcpv6_message message, again;
	enum drop_reason reason;

	if (!dhcpv6_read(data, size, &message))
		return;
	memset(reply + DHCPV6_MESSAGE_MAX, 0x5a, REPLY_GUARD);
	reason = dhcpv6_answer(offer, &message, unicast, reply, &size);
	for (unsigned int i = 0; i < REPLY_GUARD; i++)
		require(reply[DHCPV6_MESSAGE_MAX + i] == 0x5a);
	require((reason == DROP_NONE) == (size != 0));
	if (reason != DROP_NONE)
		return;
	require(size <= 1400 - 48);
	require(dhcpv6_read(reply, size, &again));
	require(again.type == DHCPV6_REPLY || again.type == DHCPV6_ADVERTISE);
	require(again.server.size == DHCPV6_DUID_SIZE);
	require(again.identity_count <= message.identity_count);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	tables = tables_from_yaml(yaml, sizeof(yaml) - 1, "a", 1);
	require(tables != NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct service_endpoint *service;
	uint8_t what;

	if (size < 1 || size > MESSAGE_MAX)
		return 0;
	what = *data++;
	size--;
	service = find(what >= 3 ? "a2" : "a1");
	data = guard_put(data, size);
	if (what % 3 == 0)
		fuzz_v4(&service->dhcp, data, (uint32_t)size);
	else
		fuzz_v6(&service->dhcpv6, what % 3 == 2, data, (uint32_t)size);
	return 0;
}

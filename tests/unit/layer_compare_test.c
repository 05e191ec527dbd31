// Tables that are damaged are told from sound ones, and what is wrong is named.

#include "test.h"

#include "layer/allowed_address/allowed_address.h"
#include "layer/compare.h"
#include "layer/security_group/tables.h"
#include "layer/services/tables.h"
#include "layer_fixture.h"
#include "model_fixture.h"

static struct tables *compile(struct layer_fixture *fixture, const struct object_set *set)
{
	static const struct mac_address uplink = {{0x02, 0, 0, 0, 0, 0xaa}};
	struct tables *tables;
	struct error err;

	if (tables_compile(set, fixture->node, &fixture->numbers, &fixture->neighbours, 1, 1, NULL,
			   NULL, &tables, &err) < 0)
		fail_msg("%s", err.text);
	tables_set_uplink(tables, &uplink, 1460);
	return tables;
}

static struct security_group_tables *groups_of(const struct tables *tables)
{
	for (unsigned int i = 0; layers[i]; i++)
		if (strcmp(layers[i]->name, "security-group") == 0)
			return tables->layers[i];
	return NULL;
}

// One entry's value.
static void damage_lookup(struct lookup *lookup)
{
	uint32_t i = 0;

	assert_true(lookup->count > 0);
	while (!lookup->entries[i].value)
		i++;
	lookup->entries[i].value ^= 2;
}

static struct rule_set *rules_of(const struct tables *tables)
{
	return &groups_of(tables)->rules[1]->sets[POLICY_INGRESS];
}

static void damage_prefix_map(struct prefix_map *map)
{
	assert_true(map->v4.count > 1);
	((uint32_t *)map->v4.keys)[1] ^= 256;
}

static uint32_t other_node_of(const struct tables *tables)
{
	uint32_t i = 1;

	while (!tables->endpoints[i].peer)
		i++;
	return i;
}

static struct service_network *service_network_of(struct tables *tables)
{
	return tables->services->networks[tables->endpoints[1].network];
}

#define DAMAGE(name, what)                      \
	static void name(struct tables *tables) \
	{                                       \
		what;                           \
	}
DAMAGE(damage_mac, tables->endpoints[1].mac.bytes[5] ^= 1)
DAMAGE(damage_peer, tables->endpoints[other_node_of(tables)].peer ^= 1)
DAMAGE(damage_mtu, tables->endpoints[1].mtu--)
DAMAGE(damage_addresses, tables->details[1].addresses[0].bytes[15] ^= 1)
DAMAGE(damage_allowed, tables->details[2].allowed[0].length--)
DAMAGE(damage_name, tables->details[2].name[0] ^= 1)
DAMAGE(damage_binding, tables->ports[3].endpoint ^= 1)
DAMAGE(damage_vlan, tables->ports[4].vlan++)
DAMAGE(damage_network, tables->networks[1].routed ^= 1)
DAMAGE(damage_subnet, tables->networks[1].subnets[0].prefix.length--)
DAMAGE(damage_receivers, tables->networks[tables->endpoints[1].network].local[0] ^= 1)
DAMAGE(damage_times, tables->networks[2].idle_times[3]++)
DAMAGE(damage_subnets, tables->subnets[0].domain ^= 1)
DAMAGE(damage_header, tables->peers[2].header[3] ^= 1)
DAMAGE(damage_next_hop, tables->peers[2].next_hop = NULL)
DAMAGE(damage_underlay, tables->underlay.mtu--)
DAMAGE(damage_by_mac, damage_lookup(&tables->by_mac))
DAMAGE(damage_by_address, damage_lookup(&tables->by_address))
DAMAGE(damage_by_gateway, damage_lookup(&tables->by_gateway))
DAMAGE(damage_by_vni, damage_lookup(&tables->by_vni))
DAMAGE(damage_by_vtep, damage_lookup(&tables->by_vtep))
DAMAGE(damage_by_vlan, damage_lookup(&tables->by_vlan))
DAMAGE(damage_owner, tables->shared[0].candidates[0] ^= 1)
DAMAGE(damage_rule, rules_of(tables)->segments[0].first++)
DAMAGE(damage_rule_prefix, damage_prefix_map(&rules_of(tables)->prefixes))
DAMAGE(damage_rule_group, rules_of(tables)->groups[0].group ^= 1)
DAMAGE(damage_group_name, groups_of(tables)->names[1][0] ^= 1)
DAMAGE(damage_allowed_map, damage_prefix_map(&tables->allowed_addresses->maps[0].prefixes))
DAMAGE(damage_members, tables->allowed_addresses->maps[0].groups[0] ^= 1)
DAMAGE(damage_option, service_network_of(tables)->subnets[0].options.bytes[0] ^= 1)
DAMAGE(damage_advertisement, service_network_of(tables)->advertisement.mtu--)
DAMAGE(damage_offer, tables->services->endpoints[0].dhcp.address ^= 1)
DAMAGE(damage_host_name, tables->services->endpoints[0].host_name[0] ^= 1)
DAMAGE(damage_counts, tables->endpoint_count--)

static const struct damage {
	void (*damage)(struct tables *tables);
	const char *said;
} damages[] = {
	{damage_mac, "Port/p0"},
	{damage_peer, "Port/p3"},
	{damage_mtu, "Port/p0"},
	{damage_addresses, "Port/p0"},
	{damage_allowed, "Port/p1"},
	{damage_name, "Port/p1"},
	{damage_binding, "p0: port number 3"},
	{damage_vlan, "p1: port number 4"},
	{damage_network, "Network/w0"},
	{damage_subnet, "Network/w0"},
	{damage_receivers, "Network/w0"},
	{damage_times, "Network/w1"},
	{damage_subnets, "the list of subnets"},
	{damage_header, "Node/n1"},
	{damage_next_hop, "Node/n1"},
	{damage_underlay, "the underlay"},
	{damage_by_mac, "the map of MAC addresses"},
	{damage_by_address, "the map of addresses"},
	{damage_by_gateway, "the map of gateways"},
	{damage_by_vni, "the map of VNIs"},
	{damage_by_vtep, "the map of tunnel addresses"},
	{damage_by_vlan, "the map of VLANs"},
	{damage_owner, "the shared address 10.9.0.1"},
	{damage_rule, "SecurityGroup/g: rules"},
	{damage_rule_prefix, "SecurityGroup/g: rules"},
	{damage_rule_group, "SecurityGroup/g: rules"},
	{damage_group_name, "names of security groups"},
	{damage_allowed_map, "the map of allowed addresses"},
	{damage_members, "the map of allowed addresses"},
	{damage_option, "Network/w0: services"},
	{damage_advertisement, "Network/w0: services"},
	{damage_offer, "Port/p0: services"},
	{damage_host_name, "Port/p0: services"},
	{damage_counts, "there are 3 Ports, 6 of this node's numbers instead of 4, 6"},
};

static const char damaged_yaml[] =
	"kind: Node\nname: n0\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n---\n"
	"kind: Node\nname: n1\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n---\n"
	"kind: Vrf\nname: v0\n---\n"
	"kind: Network\nname: w0\nvni: 1\nvrf: v0\ndhcp: {domain: example.org}\n"
	"subnets: [{cidr: 10.0.0.0/16, gateway: 10.0.0.1, dns: [10.0.0.2]}, {cidr: "
	"'fd00::/64'}]\n---\n"
	"kind: Network\nname: w1\nvni: 2\nconnectionTracking: {idleTimes: {icmp: 5}}\n---\n"
	"kind: SecurityGroup\nname: g\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: '80'}\n"
	"- {direction: ingress, protocol: udp, remote: {cidr: 10.2.0.0/16}}\n"
	"- {direction: ingress, protocol: sctp, remote: {group: g}}\n---\n"
	"kind: Port\nname: p0\nnode: n0\nnetwork: w0\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.0.0.10, 'fd00::10']\nsecurityGroups: [g]\ndevice: {tap: {name: t0}}\n---\n"
	"kind: Port\nname: p1\nnode: n0\nnetwork: w0\nmac: '52:54:00:00:00:02'\n"
	"addresses: [10.0.0.11]\nallowedAddresses: [10.9.0.1/32]\nsecurityGroups: [g]\n"
	"device: {vlan: {port: p0, id: 7}}\n---\n"
	"kind: Port\nname: p2\nnode: n0\nnetwork: w0\nmac: '52:54:00:00:00:03'\n"
	"addresses: [10.0.0.12]\nallowedAddresses: [10.9.0.1/32]\ndevice: {tap: {name: t2}}\n---\n"
	"kind: Port\nname: p3\nnode: n1\nnetwork: w0\nmac: '52:54:00:00:00:04'\n"
	"addresses: [10.0.0.13]\ndevice: {tap: {name: t3}}\n";

// Whatever is wrong is found and named, and nothing else is.
static void test_damage(void **state)
{
	struct object_set *set = object_set_new();
	struct layer_fixture fixture;
	struct tables *want;

	fixture_open(&fixture, "n0");
	set_put(set, damaged_yaml);
	want = compile(&fixture, set);
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		struct tables *have = compile(&fixture, set);
		struct differences differences = {0};
		uint32_t endpoints = have->endpoint_count;
		bool said = false;

		tables_compare(have, want, &differences);
		assert_int_equal(differences.count, 0);
		damages[i].damage(have);
		tables_compare(have, want, &differences);
		for (size_t n = 0; n < differences.named; n++)
			said |= strcmp(differences.texts[n], damages[i].said) == 0;
		if (!said)
			fail_msg("damage %zu: %zu differences, %s instead of %s", i,
				 differences.count, differences.texts[0], damages[i].said);
		have->endpoint_count = endpoints;
		tables_free(have);
	}
	tables_free(want);
	object_set_free(set);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

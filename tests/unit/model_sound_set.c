#include "model_sound_set.h"

static const char sound[] =
	"{kind: Node, name: a, vtep: 192.0.2.1/24, gateway: 192.0.2.254, uplink: {netdev: "
	"up0}}\n---\n"
	"{kind: Node, name: b, vtep: '2001:db8::1/64', gateway: '2001:db8::ff', uplink: {pci: "
	"'0000:3b:00.0'}}\n---\n"
	"{kind: Vrf, name: t}\n---\n"
	"{kind: Network, name: blue, vni: 5001, vrf: t, mtu: 1450, subnets: [{cidr: 10.1.0.0/24, "
	"gateway: 10.1.0.1},"
	" {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}]}\n---\n"
	"{kind: Network, name: red, vrf: t, subnets: [{cidr: 10.2.0.0/24}, {cidr: "
	"10.3.0.0/31}]}\n---\n"
	"{kind: Network, name: alone, subnets: [{cidr: 10.1.0.0/16}]}\n---\n"
	"{kind: SecurityGroup, name: web, rules: [{direction: ingress, protocol: tcp, ports: 80},"
	" {direction: egress, protocol: 132, ports: 1-65535, remote: {group: web}},"
	" {direction: egress, protocol: 58, icmpType: 128, icmpCode: 0}]}\n---\n"
	"{kind: Port, name: p, node: a, network: blue, mac: '52:54:00:00:00:01', addresses: "
	"[10.1.0.11, 'fd00:1::11'],"
	" securityGroups: [web], allowedAddresses: [10.1.0.100/32, '::/0'], device: {vhostUser: "
	"{path: /s}}}\n---\n"
	"{kind: Port, name: q, node: b, network: alone, mac: '52:54:00:00:00:01', addresses: "
	"[10.1.0.11],"
	" device: {vhostUser: {path: /s}}}\n---\n";

struct object_set *sound_set_with(const char *yaml)
{
	struct object_set *set = object_set_new();

	set_put(set, sound);
	set_put(set, yaml);
	return set;
}

char *problems_text(const struct problems *problems)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	for (size_t i = 0; i < problems->count; i++) {
		const Sluice__V1__Problem *problem = problems->list[i];

		fprintf(file, "%s/%s: %s%s%s\n", problem->kind, problem->name, problem->field,
			*problem->field ? ": " : "", problem->text);
	}
	fclose(file);
	return text;
}

// Validation of a whole set of objects: each document breaks one rule of a sound set.

#include "model_sound_set.h"

#define NODE(rest)    "{kind: Node, name: n, " rest "}"
#define NETWORK(rest) "{kind: Network, name: n, " rest "}"
#define SUBNET(rest)  "{kind: Network, name: n, subnets: [{" rest "}]}"
#define RULE(rest)    "{kind: SecurityGroup, name: n, rules: [{" rest "}]}"
#define PORT(rest)                                                                               \
	"{kind: Port, name: n, node: a, network: blue, mac: '52:54:00:00:00:02', device: {tap: " \
	"{name: t}}, " rest "}"
#define DEVICE(rest)                                                                             \
	"{kind: Port, name: n, node: a, network: blue, mac: '52:54:00:00:00:02', device: {" rest \
	"}}"
#define VLAN(name, network, mac, port, id)                                                      \
	"{kind: Port, name: " name ", node: a, network: " network ", mac: '52:54:00:00:00:" mac \
	"', device: {vlan: {port: " port ", id: " id "}}}"
#define MAC(mac) \
	"{kind: Port, name: n, node: a, network: blue, mac: '" mac "', device: {tap: {name: t}}}"

#define LONG_NAME "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"

static const struct {
	const char *text;
	const char *problems;
} cases[] = {
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: up}"), ""},
	{"{kind: Vrf, name: " LONG_NAME "}",
	 "Vrf/" LONG_NAME ": name: longer than 63 characters\n"},
	{"{kind: Vrf, name: .a}", "Vrf/.a: name: must begin with a letter or digit and have only "
				  "letters, digits, '.', '_' and '-'\n"},
	{"{kind: Vrf, name: a b}", "Vrf/a b: name: must begin with a letter or digit and have only "
				   "letters, digits, '.', '_' and '-'\n"},
	// Node
	{NODE("vtep: 192.0.2.1, uplink: {netdev: up}"),
	 "Node/n: vtep: '192.0.2.1' is no address with the prefix length "
	 "of its link, as 192.0.2.1/24\n"},
	{NODE("vtep: 192.0.2.0/24, uplink: {netdev: up}"),
	 "Node/n: vtep: 192.0.2.0 is the network address of 192.0.2.0/24\n"},
	{NODE("vtep: 192.0.2.255/24, uplink: {netdev: up}"),
	 "Node/n: vtep: 192.0.2.255 is the broadcast address of 192.0.2.0/24\n"},
	{NODE("vtep: 224.0.0.1/24, uplink: {netdev: up}"),
	 "Node/n: vtep: 224.0.0.1 is a multicast or broadcast address\n"},
	{NODE("vtep: 127.0.0.1/8, uplink: {netdev: up}"),
	 "Node/n: vtep: 127.0.0.1 is a loopback address\n"},
	{NODE("vtep: '::/64', uplink: {netdev: up}"),
	 "Node/n: vtep: :: is an unspecified address\n"},
	{NODE("vtep: 192.0.2.1/16, uplink: {netdev: up}"),
	 "Node/n: vtep: Node/a has this address already\n"},
	{NODE("vtep: 192.0.2.2/24, gateway: 192.0.3.1, uplink: {netdev: up}"),
	 "Node/n: gateway: 192.0.3.1 is not in 192.0.2.0/24\n"},
	{NODE("vtep: 192.0.2.2/24, gateway: 'fd00::1', uplink: {netdev: up}"),
	 "Node/n: gateway: fd00::1 is IPv6, and 192.0.2.0/24 is not\n"},
	{NODE("vtep: 192.0.2.2/24, gateway: 192.0.2.2, uplink: {netdev: up}"),
	 "Node/n: gateway: is the vtep itself\n"},
	{NODE("vtep: 192.0.2.2/24, gateway: x, uplink: {netdev: up}"),
	 "Node/n: gateway: 'x' is no IP address\n"},
	{NODE("vtep: 192.0.2.2/24"),
	 "Node/n: vtep: is of no use without uplink: nothing could reach it\n"},
	{NODE("gateway: 192.0.2.2"), "Node/n: gateway: is of no use without vtep\n"},
	{NODE("uplink: {netdev: a}"), "Node/n: vtep: missing, an uplink needs it\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: a, mtu: 1279}"),
	 "Node/n: uplink.mtu: 1279 is not 1280 to 9216\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: a, mtu: 9217}"),
	 "Node/n: uplink.mtu: 9217 is not 1280 to 9216\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {}"),
	 "Node/n: uplink: needs one of netdev, pci, devargs, vhostUser, devices\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: ''}"), "Node/n: uplink.netdev: missing\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: a/b}"),
	 "Node/n: uplink.netdev: 'a/b' is no interface name (1 to 15 characters, no space, slash, "
	 "colon or %)\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {netdev: abcdefghijklmnop}"),
	 "Node/n: uplink.netdev: 'abcdefghijklmnop' is no interface name (1 to 15 characters, no "
	 "space, slash, colon "
	 "or %)\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {pci: '3b:00.0'}"),
	 "Node/n: uplink.pci: '3b:00.0' is no PCI address, as 0000:3b:00.0\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {pci: '0000:3b:00.8'}"),
	 "Node/n: uplink.pci: '0000:3b:00.8' is no PCI address, as 0000:3b:00.0\n"},
	{NODE("vtep: 192.0.2.2/24, uplink: {devargs: ''}"), "Node/n: uplink.devargs: missing\n"},
	// Network
	{NETWORK("vni: 16777216"), "Network/n: vni: 16777216 is not 1 to 16777215\n"},
	{NETWORK("vni: 5001"), "Network/n: vni: Network/blue has 5001 already\n"},
	{NETWORK("vrf: T"), "Network/n: vrf: no Vrf 'T', did you mean 't'?\n"},
	{NETWORK("vrf: u"), "Network/n: vrf: no Vrf 'u'\n"},
	{NETWORK("multicast: {rate: 0}"), ""},
	{NETWORK("multicast: {rate: 1000000, burst: 1}"), ""},
	{NETWORK("multicast: {rate: 1000001}"),
	 "Network/n: multicast.rate: 1000001 is not 0 to 1000000\n"},
	{NETWORK("multicast: {burst: 0}"), "Network/n: multicast.burst: 0 is not 1 to 1000000\n"},
	{NETWORK("multicast: {burst: 1000001}"),
	 "Network/n: multicast.burst: 1000001 is not 1 to 1000000\n"},
	{NETWORK("mtu: 67"), "Network/n: mtu: 67 is not 68 to 9000\n"},
	{NETWORK("mtu: 9001"), "Network/n: mtu: 9001 is not 68 to 9000\n"},
	{NETWORK("mtu: 1279, subnets: [{cidr: 'fd00:2::/64'}]"),
	 "Network/n: mtu: 1279 is less than the 1280 that IPv6 needs\n"},
	{NETWORK("mtu: 1279, subnets: [{cidr: 10.0.0.0/24}]"), ""},
	{NETWORK("connectionTracking: {midStreamPickup: true, windowCheck: false, idleTimes: "
		 "{established: 2592000, synSent: 1}}"),
	 ""},
	{NETWORK("connectionTracking: {idleTimes: {established: 2592001}}"),
	 "Network/n: connectionTracking.idleTimes.established: 2592001 is more than 2592000 "
	 "seconds\n"},
	{NETWORK("connectionTracking: {idleTimes: {sctpShutdown: 4294967295}}"),
	 "Network/n: connectionTracking.idleTimes.sctpShutdown: 4294967295 is more than 2592000 "
	 "seconds\n"},
	{NETWORK("encapsulation: geneve"),
	 "Network/n: encapsulation: geneve is not supported yet\n"},
	{SUBNET("gateway: 10.0.0.1"), "Network/n: subnets[0].cidr: missing\n"},
	{SUBNET("cidr: 10.0.0.0"),
	 "Network/n: subnets[0].cidr: '10.0.0.0' is no prefix, as 10.1.0.0/24 or fd00:1::/64\n"},
	{SUBNET("cidr: 10.0.0.1/24"), "Network/n: subnets[0].cidr: '10.0.0.1/24' has bits behind "
				      "its prefix, did you mean 10.0.0.0/24?\n"},
	{SUBNET("cidr: 0.0.0.0/0"),
	 "Network/n: subnets[0].cidr: overlaps with 0.0.0.0/8, where no host is\n"},
	{SUBNET("cidr: 'ff02::/64'"),
	 "Network/n: subnets[0].cidr: overlaps with ff00::/8, where no host is\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.1.1"),
	 "Network/n: subnets[0].gateway: 10.0.1.1 is not in 10.0.0.0/24\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.0.0"),
	 "Network/n: subnets[0].gateway: 10.0.0.0 is the network address of 10.0.0.0/24\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.0.255"),
	 "Network/n: subnets[0].gateway: 10.0.0.255 is the broadcast address of 10.0.0.0/24\n"},
	{SUBNET("cidr: 10.0.0.0/31, gateway: 10.0.0.0"), ""},
	{SUBNET("cidr: 10.0.0.0/24, dns: [a]"),
	 "Network/n: subnets[0].dns[0]: 'a' is no IP address\n"},
	{SUBNET("cidr: 10.0.0.0/24, dns: ['fd00::1']"),
	 "Network/n: subnets[0].dns[0]: fd00::1 is not of the subnet's address family\n"},
	{NETWORK("subnets: [{cidr: 10.0.0.0/24}, {cidr: 10.0.0.128/25}]"),
	 "Network/n: subnets[1].cidr: overlaps with 10.0.0.0/24 of Network/n\n"},
	{NETWORK("vrf: t, subnets: [{cidr: 10.2.0.0/16}]"),
	 "Network/n: subnets[0].cidr: overlaps with 10.2.0.0/24 of Network/red in Vrf/t\n"},
	// What DHCP and router advertisements tell.
	{NETWORK("dhcp: {disabled: true}"), ""},
	{NETWORK("dhcp: {domain: example.org, domainSearch: [a, b.c.], leaseSeconds: 10, ntp: "
		 "[10.0.0.1, "
		 "'fd00::1'], boot: {server: boot.example.org, file: pxelinux.0, url: "
		 "'tftp://x/y'}}"),
	 ""},
	{NETWORK("dhcp: {domain: a..b}"),
	 "Network/n: dhcp.domain: 'a..b' is no domain name, as example.org\n"},
	{NETWORK("dhcp: {domain: -a}"),
	 "Network/n: dhcp.domain: '-a' is no domain name, as example.org\n"},
	{NETWORK("dhcp: {domainSearch: [a, a_b]}"),
	 "Network/n: dhcp.domainSearch[1]: 'a_b' is no domain name, as example.org\n"},
	{NETWORK("dhcp: {domainSearch: [a, b, c, d, e, f, g, h, i]}"),
	 "Network/n: dhcp.domainSearch: more than 8\n"},
	{NETWORK("dhcp: {leaseSeconds: 9}"), "Network/n: dhcp.leaseSeconds: 9 is less than 10\n"},
	{NETWORK("dhcp: {ntp: [pool.ntp.org]}"),
	 "Network/n: dhcp.ntp[0]: 'pool.ntp.org' is no IP address\n"},
	{NETWORK("dhcp: {ntp: [224.0.1.1]}"),
	 "Network/n: dhcp.ntp[0]: 224.0.1.1 is a multicast or broadcast address\n"},
	{NETWORK("dhcp: {boot: {server: 'fd00::1'}}"),
	 "Network/n: dhcp.boot.server: 'fd00::1' is for DHCPv4: over IPv6 there is url\n"},
	{NETWORK("dhcp: {boot: {server: a b}}"),
	 "Network/n: dhcp.boot.server: 'a b' is neither an IPv4 address nor a name\n"},
	{NETWORK("dhcp: {boot: {file: a b}}"),
	 "Network/n: dhcp.boot.file: has a space or what is not ASCII\n"},
	{NETWORK("dhcp: {boot: {efiFile: '" LONG_NAME LONG_NAME "ab'}}"),
	 "Network/n: dhcp.boot.efiFile: longer than 127 characters\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.0.1, routes: [{cidr: 10.9.0.0/16}, {cidr: "
		"0.0.0.0/0, nextHop: 10.0.0.2}]"),
	 ""},
	{SUBNET("cidr: 10.0.0.0/24, routes: [{cidr: 10.9.0.0/16}]"),
	 "Network/n: subnets[0].routes[0].nextHop: missing, and the subnet has no gateway\n"},
	{SUBNET("cidr: 10.0.0.0/24, routes: [{cidr: 10.9.0.0/16, nextHop: 10.0.1.1}]"),
	 "Network/n: subnets[0].routes[0].nextHop: 10.0.1.1 is not in 10.0.0.0/24\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.0.1, routes: [{cidr: 'fd00::/64'}]"),
	 "Network/n: subnets[0].routes[0].cidr: 'fd00::/64' is not of the subnet's family\n"},
	{SUBNET("cidr: 10.0.0.0/24, gateway: 10.0.0.1, routes: [{}]"),
	 "Network/n: subnets[0].routes[0].cidr: missing\n"},
	{SUBNET("cidr: 'fd00:5::/64', gateway: 'fd00:5::1', routes: [{cidr: 'fd00:6::/64', "
		"nextHop: "
		"'fd00:5::2'}]"),
	 "Network/n: subnets[0].routes[0].nextHop: router advertisements tell of the gateway "
	 "only\n"},
	{SUBNET("cidr: 10.0.0.0/24, dns: [10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, "
		"10.0.0.7, "
		"10.0.0.8, 10.0.0.9, 10.0.0.10]"),
	 "Network/n: subnets[0].dns: more than 8\n"},
	{NETWORK("subnets: [{cidr: 'fd01::/64'}, {cidr: 'fd02::/64'}, {cidr: 'fd03::/64'}, {cidr: "
		 "'fd04::/64'}, {cidr: 'fd05::/64'}, {cidr: 'fd06::/64'}, {cidr: 'fd07::/64'}, "
		 "{cidr: "
		 "'fd08::/64'}, {cidr: 'fd09::/64'}, {cidr: 'fd0a::/64'}, {cidr: 'fd0b::/64'}, "
		 "{cidr: "
		 "'fd0c::/64'}, {cidr: 'fd0d::/64'}, {cidr: 'fd0e::/64'}, {cidr: 'fd0f::/64'}, "
		 "{cidr: "
		 "'fd10::/64'}, {cidr: 'fd11::/64'}]"),
	 "Network/n: subnets: more than 16 of IPv6: router advertisements have no room for them\n"},
	{SUBNET("cidr: 'fd00:5::/64', addressMode: slaac"), ""},
	{SUBNET("cidr: 'fd00:5::/80', addressMode: dhcpv6-stateful"), ""},
	{SUBNET("cidr: 'fd00:5::/80', addressMode: dhcpv6-stateless"),
	 "Network/n: subnets[0].addressMode: workloads form addresses in a /64 only (RFC 4862)\n"},
	{SUBNET("cidr: 10.0.0.0/24, addressMode: slaac"),
	 "Network/n: subnets[0].addressMode: is for IPv6 subnets\n"},
	{PORT("hostName: web-1"), ""},
	{PORT("hostName: web.1"), "Port/n: hostName: 'web.1' is no host name (letters, digits and "
				  "inner hyphens, at most 63)\n"},
	{PORT("boot: {url: 'a b'}"), "Port/n: boot.url: has a space or what is not ASCII\n"},
	// SecurityGroup
	{RULE("protocol: tcp"),
	 "SecurityGroup/n: rules[0].direction: missing, it is ingress or egress\n"},
	{RULE("direction: egress, protocol: gre"),
	 "SecurityGroup/n: rules[0].protocol: 'gre' is not tcp, udp, sctp, icmp or a number 0 to "
	 "255\n"},
	{RULE("direction: egress, protocol: tpc"),
	 "SecurityGroup/n: rules[0].protocol: 'tpc' is not tcp, udp, sctp, icmp or a number 0 to "
	 "255, did you mean 'tcp'?\n"},
	{RULE("direction: egress, protocol: 256"),
	 "SecurityGroup/n: rules[0].protocol: '256' is not tcp, udp, sctp, icmp or a number 0 to "
	 "255\n"},
	{RULE("direction: egress, ports: 80"),
	 "SecurityGroup/n: rules[0].ports: only tcp, udp and sctp have ports\n"},
	{RULE("direction: egress, protocol: tcp, ports: 81-80"),
	 "SecurityGroup/n: rules[0].ports: '81-80' is no port 1 to 65535 or range of them, as "
	 "80-81\n"},
	{RULE("direction: egress, protocol: tcp, ports: 0"),
	 "SecurityGroup/n: rules[0].ports: '0' is no port 1 to 65535 or range of them, as 80-81\n"},
	{RULE("direction: egress, protocol: tcp, ports: 1-65536"),
	 "SecurityGroup/n: rules[0].ports: '1-65536' is no port 1 to 65535 or range of them, as "
	 "80-81\n"},
	{RULE("direction: egress, protocol: tcp, icmpType: 8"),
	 "SecurityGroup/n: rules[0].icmpType: only icmp has types and codes\n"},
	{RULE("direction: egress, protocol: icmp, icmpType: 256"),
	 "SecurityGroup/n: rules[0].icmpType: 256 is not 0 to 255\n"},
	{RULE("direction: egress, protocol: 1, icmpCode: 0"),
	 "SecurityGroup/n: rules[0].icmpCode: means nothing without icmpType\n"},
	{RULE("direction: egress, remote: {}"),
	 "SecurityGroup/n: rules[0].remote: needs one of cidr, group\n"},
	{RULE("direction: egress, remote: {group: x}"),
	 "SecurityGroup/n: rules[0].remote.group: no SecurityGroup 'x'\n"},
	{RULE("direction: egress, remote: {cidr: 10.0.0.1/8}"),
	 "SecurityGroup/n: rules[0].remote.cidr: '10.0.0.1/8' has bits behind its prefix, did you "
	 "mean 10.0.0.0/8?\n"},
	// Port
	{"{kind: Port, name: n}",
	 "Port/n: node: missing\nPort/n: network: missing\nPort/n: mac: missing\n"
	 "Port/n: device: missing\n"},
	{"{kind: Port, name: uplink, node: a, network: blue, mac: '52:54:00:00:00:02', device: "
	 "{tap: {name: t}}}",
	 "Port/uplink: name: 'uplink' is the name of a node's own port\n"},
	{MAC("52:54:00:00:00"),
	 "Port/n: mac: '52:54:00:00:00' is no MAC address, as 52:54:00:00:00:01\n"},
	{MAC("00:00:00:00:00:00"), "Port/n: mac: must not be zero\n"},
	{MAC("01:00:5e:00:00:01"), "Port/n: mac: '01:00:5e:00:00:01' is a multicast address\n"},
	{MAC("02:53:4c:00:00:01"),
	 "Port/n: mac: 02:53:4c:xx:xx:xx are the addresses of Sluice's gateways\n"},
	{MAC("06:53:4c:00:00:01"),
	 "Port/n: mac: 06:53:4c:xx:xx:xx are what Sluice's nodes relay with\n"},
	{MAC("52:54:00:00:00:01"), "Port/n: mac: Port/p has this address already\n"},
	{PORT("addresses: [10.1.0.1]"),
	 "Port/n: addresses[0]: 10.1.0.1 is the gateway of its subnet\n"},
	{PORT("addresses: [10.1.0.0]"),
	 "Port/n: addresses[0]: 10.1.0.0 is the network address of 10.1.0.0/24\n"},
	{PORT("addresses: [10.2.0.1]"),
	 "Port/n: addresses[0]: 10.2.0.1 is in no subnet of Network/blue\n"},
	{PORT("addresses: [10.1.0.11]"), "Port/n: addresses[0]: Port/p has 10.1.0.11 already\n"},
	{PORT("addresses: [10.1.0.12, 10.1.0.12]"),
	 "Port/n: addresses[1]: 10.1.0.12 is given twice\n"},
	{PORT("addresses: ['ff02::1']"),
	 "Port/n: addresses[0]: ff02::1 is a multicast or broadcast address\n"},
	{PORT("addresses: [010.1.0.12]"), "Port/n: addresses[0]: '010.1.0.12' is no IP address\n"},
	{PORT("allowedAddresses: [10.0.0.1]"),
	 "Port/n: allowedAddresses[0]: '10.0.0.1' is no prefix, as 10.1.0.0/24 or fd00:1::/64\n"},
	{PORT("securityGroups: [web, x, web]"),
	 "Port/n: securityGroups[1]: no SecurityGroup 'x'\nPort/n: securityGroups[2]: 'web' is "
	 "given twice\n"},
	{DEVICE(""),
	 "Port/n: device: needs one of vhostUser, tap, netdev, pci, devargs, vlan, devices\n"},
	{DEVICE("vhostUser: {path: s}"),
	 "Port/n: device.vhostUser.path: 's' is no absolute path\n"},
	{DEVICE("vhostUser: {path: /s}"),
	 "Port/n: device.vhostUser.path: Port/p has this device already\n"},
	{DEVICE("vhostUser: {path: /" LONG_NAME "/" LONG_NAME "}"),
	 "Port/n: device.vhostUser.path: has 130 characters, a socket's path at most 107\n"},
	{DEVICE("vhostUser: {path: /x, queues: 0}"),
	 "Port/n: device.vhostUser.queues: 0 is not 1 to 16\n"},
	{DEVICE("vhostUser: {path: /x, queues: 17}"),
	 "Port/n: device.vhostUser.queues: 17 is not 1 to 16\n"},
	{DEVICE("vhostUser: {path: /x, mode: server, permissions: '0660', owner: libvirt-qemu, "
		"group: "
		"'64055'}"),
	 ""},
	{DEVICE("vhostUser: {path: /x, mode: server, permissions: '777', owner: '4294967294'}"),
	 ""},
	{DEVICE("vhostUser: {path: /x, mode: server, permissions: '0690'}"),
	 "Port/n: device.vhostUser.permissions: '0690' is not 0000 to 0777 in octal\n"},
	{DEVICE("vhostUser: {path: /x, mode: server, permissions: '4755'}"),
	 "Port/n: device.vhostUser.permissions: '4755' is not 0000 to 0777 in octal\n"},
	{DEVICE("vhostUser: {path: /x, mode: server, permissions: rw}"),
	 "Port/n: device.vhostUser.permissions: 'rw' is not 0000 to 0777 in octal\n"},
	{DEVICE("vhostUser: {path: /x, mode: server, owner: a b, group: -1}"),
	 "Port/n: device.vhostUser.owner: 'a b' is no user's name or number\n"
	 "Port/n: device.vhostUser.group: '-1' is no group's name or number\n"},
	{DEVICE("vhostUser: {path: /x, mode: server, owner: '4294967295'}"),
	 "Port/n: device.vhostUser.owner: '4294967295' is no user's name or number\n"},
	{DEVICE("vhostUser: {path: /x, permissions: '0660'}"),
	 "Port/n: device.vhostUser.permissions: only with mode: server, where Sluice makes the "
	 "socket\n"},
	{DEVICE("vhostUser: {path: /x, mode: client, group: kvm}"),
	 "Port/n: device.vhostUser.group: only with mode: server, where Sluice makes the "
	 "socket\n"},
	{DEVICE("netdev: {name: up0}"),
	 "Port/n: device.netdev.name: Node/a has this device already\n"},
	{PORT("addresses: ['fd00:1::']"),
	 "Port/n: addresses[0]: fd00:1:: is the address of the subnet's routers (anycast)\n"},
	{PORT("allowedAddresses: [10.1.0.1/32]"),
	 "Port/n: allowedAddresses[0]: 10.1.0.1/32 is the gateway of its subnet\n"},
	{PORT("allowedAddresses: [10.9.0.0/16, 10.9.0.0/16]"),
	 "Port/n: allowedAddresses[1]: '10.9.0.0/16' is given twice\n"},
	{PORT("allowedAddresses: [224.0.0.0/24]"),
	 "Port/n: allowedAddresses[0]: 224.0.0.0/24 is multicast, no packet comes from there\n"},
	{DEVICE("vhostUser: {path: /./s}"),
	 "Port/n: device.vhostUser.path: Port/p has this device already\n"},
	{DEVICE("vhostUser: {path: //s}"),
	 "Port/n: device.vhostUser.path: Port/p has this device already\n"},
	{"{kind: Port, name: n, node: b, network: alone, mac: '52:54:00:00:00:02', device: "
	 "{devargs: '0000:3B:00.0,mac=1'}}",
	 "Port/n: device.devargs: Node/b has this device already\n"},
	{"{kind: Port, name: m, node: b, network: alone, mac: '52:54:00:00:00:02', device: "
	 "{devargs: 'net_tap0,iface=x'}}\n---\n"
	 "{kind: Port, name: n, node: b, network: alone, mac: '52:54:00:00:00:03', device: "
	 "{devargs: 'net_tap0,iface=y'}}",
	 "Port/n: device.devargs: Port/m has this device already\n"},
	{DEVICE("tap: {name: up0, netns: x}"), ""},
	{DEVICE("tap: {name: a, netns: ../x}"),
	 "Port/n: device.tap.netns: '../x' is no name of a network namespace\n"},
	{DEVICE("pci: '0000:3B:00.0'"), ""},
	{DEVICE("vlan: {port: p, id: 1}"), ""},
	{DEVICE("vlan: {port: p, id: 4094}"), ""},
	{DEVICE("vlan: {port: p}"), "Port/n: device.vlan.id: 0 is not 1 to 4094\n"},
	{DEVICE("vlan: {port: p, id: 4095}"), "Port/n: device.vlan.id: 4095 is not 1 to 4094\n"},
	{DEVICE("vlan: {id: 5}"), "Port/n: device.vlan.port: missing\n"},
	{DEVICE("vlan: {port: none, id: 5}"), "Port/n: device.vlan.port: no Port 'none'\n"},
	{DEVICE("vlan: {port: n, id: 5}"), "Port/n: device.vlan.port: Port/n is a VLAN itself\n"},
	{DEVICE("vlan: {port: q, id: 5}"), "Port/n: device.vlan.port: Port/q is on Node/b\n"},
	{VLAN("m", "blue", "03", "p", "5") "\n---\n" VLAN("n", "red", "03", "m", "6"),
	 "Port/n: device.vlan.port: Port/m is a VLAN itself\n"},
	{VLAN("m", "blue", "03", "p", "5") "\n---\n" VLAN("n", "red", "03", "p", "5"),
	 "Port/n: device.vlan.id: Port/m has this device already\n"},
	{VLAN("m", "blue", "03", "p", "5") "\n---\n" VLAN("n", "red", "03", "p", "6"), ""},
	{VLAN("m", "blue", "01", "p", "5"), "Port/m: mac: Port/p has this address already\n"},
	{"{kind: Network, name: wide, mtu: 1451}\n---\n" VLAN("m", "wide", "01", "p", "5"),
	 "Port/m: network: mtu 1451 is larger than the 1450 of Network/blue, which Port/p is in\n"},
	{DEVICE("devargs: \"a\\nb\""), "Port/n: device.devargs: has control characters\n"},
};

static void test_sound(void **state)
{
	struct object_set *set = sound_set_with("");
	struct problems problems = {0};

	set_check(set, NULL, &problems);
	char *text = problems_text(&problems);
	assert_string_equal(text, "");
	free(text);
	object_set_free(set);
}

static void test_cases(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct object_set *set = sound_set_with(cases[i].text);
		struct problems problems = {0};
		char *text;

		set_check(set, NULL, &problems);
		text = problems_text(&problems);
		assert_string_equal(text, cases[i].problems);
		free(text);
		problems_clear(&problems);
		object_set_free(set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_cases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

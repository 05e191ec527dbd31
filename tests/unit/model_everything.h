// Each field of each kind, in YAML.

#pragma once

#include "test.h"

#include "model/document.h"
#include "model/object.h"

static const char everything[] =
	"# a comment\n"
	"---\n"
	"kind: Node\n"
	"name: a\n"
	"vtep: 192.0.2.1/24\n"
	"uplink: {devargs: 'net_tap0,iface=up0'}\n"
	"---\n"
	"---\n"
	"{\"kind\":\"Network\",\"name\":\"blue\",\"vni\":5001,\"mtu\":\"1450\",\"encapsulation\":"
	"\"vxlan\",\n"
	" \"subnets\":[{\"cidr\":\"10.1.0.0/24\",\"dns\":[\"10.1.0.2\"]},{\"cidr\":\"fd00:1::/"
	"64\"}]}\n"
	"---\n"
	"- kind: SecurityGroup\n"
	"  name: 5\n"
	"  rules:\n"
	"  - direction: ingress\n"
	"    protocol: tcp\n"
	"    ports: 80\n"
	"    remote: {cidr: 0.0.0.0/0}\n"
	"  - {direction: egress, protocol: icmp, icmpType: 0, icmpCode: 0}\n"
	"- kind: Port\n"
	"  name: yes\n"
	"  network: ~\n"
	"  mac: 52:54:00:00:00:01\n"
	"  addresses: [10.1.0.11, 'fd00:1::11']\n"
	"  allowedAddresses: []\n"
	"  device:\n"
	"    vhostUser:\n"
	"      path: |-\n"
	"        /tmp/a b\n"
	"      mode: server\n";

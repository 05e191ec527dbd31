// What there is to know beside the commands.

#include <stddef.h>

#include "cli/help.h"

const struct help_topic help_topics[] = {
	{"objects", "how objects are written in YAML or JSON",
	 "What Sluice shall do is a set of objects. Each has a kind, a name that is unique within "
	 "the kind, and fields. A file holds any number of them, as YAML documents with --- "
	 "between them, or as JSON (one object, or a list).\n"
	 "\n"
	 "  kind: Vrf\n"
	 "  name: tenant-1\n"
	 "  ---\n"
	 "  kind: Network\n"
	 "  name: blue\n"
	 "  vni: 5001\n"
	 "  vrf: tenant-1\n"
	 "  subnets:\n"
	 "    - {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n"
	 "  ---\n"
	 "  kind: Port\n"
	 "  name: web-1\n"
	 "  node: a\n"
	 "  network: blue\n"
	 "  mac: \"52:54:00:00:00:01\"\n"
	 "  addresses: [10.1.0.11]\n"
	 "  device: {tap: {name: web1}}\n"
	 "\n"
	 "Every node reads the same objects, and takes from them what concerns it: its own ports, "
	 "and where the others' addresses are. Objects refer to each other by name, in any order.\n"
	 "\n"
	 "A set is applied whole or not at all. A mistake is told with file, line, object and "
	 "field, and changes nothing:\n"
	 "\n"
	 "  ports.yaml:12: Port/web-1: network: no Network 'bleu'\n"
	 "\n"
	 "sluice explain lists the kinds, sluice explain KIND says what its fields mean.\n"},
	{"selectors", "how objects, ports and connections are named on the command line",
	 "KIND is written in any case, singular or plural, with or without - between its words: "
	 "these are the same.\n"
	 "\n"
	 "  sluice get securitygroups\n"
	 "  sluice get SecurityGroup\n"
	 "  sluice get security-group\n"
	 "\n"
	 "KIND NAME is one object; KIND alone is all of them. In messages it is KIND/NAME. A field "
	 "is named by its path, as in error messages and for sluice explain:\n"
	 "\n"
	 "  sluice get port web-1\n"
	 "  sluice explain port.device.vhostUser\n"
	 "\n"
	 "A port is named by its Port object's name; uplink is the device that leads to the other "
	 "nodes. A packet, for sluice trace, is PROTOCOL SOURCE > DESTINATION, in quotes:\n"
	 "\n"
	 "  sluice trace --port web-1 'tcp 10.1.0.11:1234 > 10.1.0.12:80'\n"},
	{"output", "tables, JSON, YAML, colours, exit status",
	 "-o table is for people, and its columns may change. -o json and -o yaml are for "
	 "programs: "
	 "their names are those of api/sluice.proto, and stay. What sluice get prints as JSON or "
	 "YAML can be applied again.\n"
	 "\n"
	 "  sluice get ports -o json | jq -r '.[].name'\n"
	 "  sluice get network blue -o yaml > blue.yaml\n"
	 "\n"
	 "On a terminal, tables fit its width (COLUMNS, where it is set): long values go on in "
	 "further lines of their column. Elsewhere nothing is cut or broken. Colours are used on "
	 "terminals only, and not at all where NO_COLOR is set; --color always and --color never "
	 "decide it otherwise.\n"
	 "\n"
	 "Results go to standard output, errors to standard error. The exit status is 0 if all "
	 "went well, 1 if something is wrong (bad input, nobody answers, a check that failed), 2 "
	 "if the command line itself is wrong.\n"},
	{"environment", "variables that sluice looks at",
	 "SLUICE_API is where sluiced listens, unless --api says it; without both it "
	 "is " DEFAULT_API ".\n"
	 "\n"
	 "EDITOR and VISUAL name the editor of sluice edit. NO_COLOR switches colours off. COLUMNS "
	 "is the width of tables on a terminal.\n"},
	{0},
};

"""The command line's contract: commands, forms of output, exit statuses, error lines."""

import json
import re
import subprocess

import pytest
import yaml

from node import BUILD, sluice

NODE = {"kind": "Node", "name": "a"}
VRF = {"kind": "Vrf", "name": "t1"}
NETWORK = {"kind": "Network", "name": "blue", "vni": 5001, "vrf": "t1", "mtu": 1400,
           "subnets": [{"cidr": "10.1.0.0/24", "gateway": "10.1.0.1", "dns": ["10.1.0.2"]},
                       {"cidr": "fd00:1::/64", "gateway": "fd00:1::1"}]}
GROUP = {"kind": "SecurityGroup", "name": "web", "rules": [
    {"direction": "ingress", "protocol": "tcp", "ports": "80-81", "remote": {"cidr": "0.0.0.0/0"}},
    {"direction": "ingress", "protocol": "icmp", "icmpType": 8, "icmpCode": 0, "remote": {"group": "web"}},
    {"direction": "egress"}]}
PORT = {"kind": "Port", "name": "one", "node": "b", "network": "blue", "mac": "52:54:00:00:00:01",
        "addresses": ["10.1.0.11", "fd00:1::11"], "allowedAddresses": ["10.1.0.128/28"], "securityGroups": ["web"],
        "device": {"vhostUser": {"path": "/run/slt/one.sock", "mode": "server", "queues": 2}}}
OTHER_NODE = {"kind": "Node", "name": "b", "vtep": "192.0.2.2/24", "gateway": "192.0.2.254",
              "uplink": {"devargs": "net_tap0,iface=up0"}}
ALL = [NODE, OTHER_NODE, VRF, NETWORK, GROUP, PORT]


@pytest.fixture(scope="module")
def node(make_lab):
    """Its ports are all on another node: nothing is opened here."""
    return make_lab().nodes["a"]


@pytest.fixture(autouse=True)
def objects(node):
    """Each test begins with the same objects."""
    for kind in ("port", "securitygroup", "network", "vrf", "node"):
        for value in node.json("get", kind):
            node.delete(kind, value["name"])
    node.apply(*ALL)


def everything(node):
    return [node.json("get", kind) for kind in ("nodes", "vrfs", "networks", "securitygroups", "ports")]


def written(tmp_path, text, name="objects.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


# apply


def test_apply_says_what_it_did(node, tmp_path):
    file = written(tmp_path, "kind: Vrf\nname: t2\n---\nkind: Vrf\nname: t1\n")
    assert node.ok("apply", "-f", file) == "Vrf/t2 created\n1 unchanged\n"
    assert node.ok("apply", "-f", file) == "2 unchanged\n"
    changed = yaml.safe_dump({**NETWORK, "mtu": 1300})
    assert node.ok("apply", "-f", "-", input=changed) == "Network/blue changed\n"
    assert node.json("get", "network", "blue")["mtu"] == 1300


def test_apply_takes_several_files_as_one_set(node, tmp_path):
    network = written(tmp_path, "kind: Network\nname: n2\nvrf: t2\n", "1.yaml")
    vrf = written(tmp_path, "kind: Vrf\nname: t2\n", "2.yaml")
    assert node.run("apply", "-f", network).returncode == 1
    assert node.ok("apply", "-f", network, "-f", vrf) == "Network/n2 created\nVrf/t2 created\n"


def test_apply_takes_json(node):
    node.ok("apply", "-f", "-", input=json.dumps([{"kind": "Vrf", "name": "t3"}, {"kind": "Vrf", "name": "t4"}]))
    assert {v["name"] for v in node.json("get", "vrfs")} == {"t1", "t3", "t4"}


def test_dry_run_changes_nothing(node):
    before = everything(node)
    text = yaml.safe_dump_all([{"kind": "Vrf", "name": "t2"}, {**NETWORK, "mtu": 1300}])
    assert node.ok("apply", "-f", "-", "--dry-run", input=text) == \
        "Vrf/t2 created (dry run)\nNetwork/blue changed (dry run)\n"
    assert everything(node) == before
    bad = node.run("apply", "-f", "-", "--dry-run", input="kind: Network\nname: x\nvrf: nowhere\n")
    assert bad.returncode == 1


GOOD_LINES = "kind: Vrf\nname: innocent\n---\n"  # 3 lines

BAD_SETS = {
    "unknown kind": ("kind: Netwrok\nname: x\n", r"4: x: unknown kind 'Netwrok', did you mean 'Network'\?"),
    "no kind": ("name: x\n", r"4: x: kind: missing"),
    "unknown field": ("kind: Vrf\nname: x\ncolour: red\n", r"6: Vrf/x: colour: unknown field.*"),
    "no such reference": ("kind: Network\nname: x\nvrf: nowhere\n", r"6: Network/x: vrf: no Vrf 'nowhere'"),
    "number too large": ("kind: Network\nname: x\nvni: 16777216\n", r"6: Network/x: vni: 16777216 is not .+"),
    "no number": ("kind: Network\nname: x\nvni: blue\n", r"6: Network/x: vni: .*blue.*"),
    "VNI twice": ("kind: Network\nname: x\nvni: 5001\n", r"6: Network/x: vni: Network/blue has 5001 already"),
    "MTU too small": ("kind: Network\nname: x\nmtu: 60\n", r"6: Network/x: mtu: 60 is not .+"),
    "host bits": ("kind: Network\nname: x\nsubnets:\n  - cidr: 10.9.0.1/24\n",
                  r"7: Network/x: subnets\[0\]\.cidr: .*10\.9\.0\.0/24.*"),
    "gateway outside": ("kind: Network\nname: x\nsubnets:\n  - {cidr: 10.9.0.0/24, gateway: 10.8.0.1}\n",
                        r"7: Network/x: subnets\[0\]\.gateway: 10\.8\.0\.1 is not in 10\.9\.0\.0/24"),
    "overlap in the Vrf": ("kind: Network\nname: x\nvrf: t1\nsubnets:\n  - cidr: 10.1.0.128/25\n",
                           r"8: Network/x: subnets\[0\]\.cidr: overlaps with 10\.1\.0\.0/24 of Network/blue.*"),
    "no enum": ("kind: SecurityGroup\nname: x\nrules:\n  - {direction: inward}\n",
                r"7: SecurityGroup/x: rules\[0\]\.direction: .*inward.*"),
    "no direction": ("kind: SecurityGroup\nname: x\nrules:\n  - protocol: tcp\n",
                     r"7: SecurityGroup/x: rules\[0\]\.direction: missing.*"),
    "unknown protocol": ("kind: SecurityGroup\nname: x\nrules:\n  - direction: egress\n    protocol: tpc\n",
                         r"8: SecurityGroup/x: rules\[0\]\.protocol: .*tpc.*"),
    "ports of icmp": ("kind: SecurityGroup\nname: x\nrules:\n  - direction: egress\n    protocol: icmp\n"
                      "    ports: 80\n", r"9: SecurityGroup/x: rules\[0\]\.ports: .+"),
    "range backwards": ("kind: SecurityGroup\nname: x\nrules:\n  - direction: egress\n    protocol: tcp\n"
                        "    ports: 81-80\n", r"9: SecurityGroup/x: rules\[0\]\.ports: .*81-80.*"),
    "port too large": ("kind: SecurityGroup\nname: x\nrules:\n  - direction: egress\n    protocol: tcp\n"
                       "    ports: 65536\n", r"9: SecurityGroup/x: rules\[0\]\.ports: .*65536.*"),
    "no such group": ("kind: SecurityGroup\nname: x\nrules:\n  - direction: egress\n    remote: {group: y}\n",
                      r"8: SecurityGroup/x: rules\[0\]\.remote\.group: no SecurityGroup 'y'"),
    "no MAC": ("kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: 52:54\ndevice: {tap: {name: t}}\n",
               r"8: Port/x: mac: .*52:54.*"),
    "multicast MAC": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "01:00:5e:00:00:01"\n'
                      "device: {tap: {name: t}}\n", r"8: Port/x: mac: .*multicast.*"),
    "MAC twice": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:01"\ndevice: {tap: {name: t}}\n',
                  r"8: Port/x: mac: Port/one has this address already"),
    "address twice": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                      "addresses:\n  - 10.1.0.12\n  - 10.1.0.11\ndevice: {tap: {name: t}}\n",
                      r"11: Port/x: addresses\[1\]: Port/one has 10\.1\.0\.11 already"),
    "address of the gateway": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                               "addresses: [10.1.0.1]\ndevice: {tap: {name: t}}\n",
                               r"9: Port/x: addresses\[0\]: 10\.1\.0\.1 is the gateway of its subnet"),
    "address elsewhere": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                          "addresses: [10.2.0.1]\ndevice: {tap: {name: t}}\n",
                          r"9: Port/x: addresses\[0\]: 10\.2\.0\.1 is in no subnet of Network/blue"),
    "no device": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n',
                  r"4: Port/x: device: missing"),
    "two devices": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                    "device: {tap: {name: t}, netdev: {name: u}}\n", r"9: Port/x: device.*: .+"),
    "device twice": ('kind: Port\nname: x\nnode: b\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                     "device: {vhostUser: {path: /run/slt/one.sock}}\n",
                     r"9: Port/x: device\.vhostUser\.path: Port/one has this device already"),
    "interface name": ('kind: Port\nname: x\nnode: a\nnetwork: blue\nmac: "52:54:00:00:00:02"\n'
                       "device: {tap: {name: sixteen-letters-}}\n",
                       r"9: Port/x: device\.tap\.name: .*sixteen-letters-.*"),
    "uplink without vtep": ("kind: Node\nname: x\nuplink: {netdev: up0}\n", r"4: Node/x: vtep: missing.*"),
    "vtep twice": ("kind: Node\nname: x\nvtep: 192.0.2.2/24\n", r"6: Node/x: vtep: Node/b has this address already"),
    "name": ("kind: Vrf\nname: a b\n", r"5: Vrf/a b: name: .+"),
    "no name": ("kind: Vrf\n", r"4: Vrf: name: missing"),
    "given twice": ("kind: Vrf\nname: x\n---\nkind: Vrf\nname: x\n", r"7: Vrf/x: is given twice.*"),
    "no YAML": ("kind: Vrf\nname: {x\n", r"\d+: .+"),
    "key twice": ("kind: Vrf\nname: x\nname: y\n", r"6: .*name.*"),
    "a list": ("- 1\n- 2\n", r"4: .+"),
    "geneve": ("kind: Network\nname: x\nencapsulation: geneve\n", r"6: Network/x: encapsulation: .*not supported.*"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_a_bad_set_changes_nothing(node, tmp_path, name):
    """One clear line with file, line and field; exit status 1; the good part is not applied either."""
    text, expected = BAD_SETS[name]
    before = everything(node)
    file = written(tmp_path, GOOD_LINES + text)
    for command in ("apply", "diff"):
        result = node.run(command, "-f", file)
        assert (result.returncode, result.stdout) == (1, "")
        lines = result.stderr.splitlines()
        assert re.fullmatch(re.escape(str(file)) + ":" + expected, lines[0]), result.stderr
        assert len(lines) <= 2
    assert everything(node) == before


def test_all_problems_are_told(node):
    text = "kind: Network\nname: x\nvni: 16777216\nvrf: nowhere\nmtu: 3\n---\nkind: Network\nname: y\nmtu: 9001\n"
    result = node.run("apply", "-f", "-", input=text)
    assert result.returncode == 1
    assert [line.rsplit(": ", 1)[0] for line in result.stderr.splitlines() if "Network/y" in line] == \
        ["<stdin>:9: Network/y: mtu"]
    assert {line.split(": ")[2] for line in result.stderr.splitlines() if "Network/x" in line} == {"vni", "vrf", "mtu"}


def test_file_that_is_not_there(node, tmp_path):
    result = node.run("apply", "-f", tmp_path / "none.yaml")
    assert result.returncode == 1
    assert result.stderr.startswith(f"{tmp_path}/none.yaml: ") and len(result.stderr.splitlines()) == 1


def test_nothing_in_the_file(node):
    result = node.run("apply", "-f", "-", input="")
    assert (result.returncode, result.stderr) == (1, "sluice: no objects in <stdin>\n")


# delete


def test_delete(node):
    assert node.ok("delete", "port", "one") == "Port/one deleted\n"
    assert node.json("get", "ports") == []


USERS = [("vrf", "t1", "Network/blue: vrf"), ("network", "blue", "Port/one: network"),
         ("securitygroup", "web", "Port/one: securityGroups[0]"), ("node", "b", "Port/one: node")]


@pytest.mark.parametrize("kind, name, user", USERS)
def test_delete_is_refused_while_referred_to(node, kind, name, user):
    before = everything(node)
    result = node.run("delete", kind, name)
    assert result.returncode == 1
    assert user in result.stderr
    assert everything(node) == before


def test_delete_of_what_is_not_there(node):
    for kind, name in (("port", "nobody"), ("prot", "one")):
        result = node.run("delete", kind, name)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        assert (name if kind == "port" else kind) in result.stderr


# get


@pytest.mark.parametrize("kind", ["SecurityGroup", "securitygroup", "SECURITYGROUPS", "securityGroups",
                                  "security-group"])
def test_kind_in_any_case_and_number(node, kind):
    assert [group["name"] for group in node.json("get", kind)] == ["web"]


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_get_goes_back_through_apply(node, form):
    """What get prints can be applied: unchanged here, and the same again where there was nothing."""
    texts = [node.ok("get", kind, "-o", form) for kind in ("nodes", "vrfs", "networks", "securitygroups", "ports")]
    before = everything(node)
    counts = [len(values) for values in before]
    for text, count in zip(texts, counts):
        assert node.ok("apply", "-f", "-", input=text) == f"{count} unchanged\n"
    for kind in ("port", "securitygroup", "network", "vrf", "node"):
        for value in node.json("get", kind):
            node.delete(kind, value["name"])
    for text in texts:
        node.ok("apply", "-f", "-", input=text)
    assert everything(node) == before


def test_get_gives_what_was_applied(node):
    for value in ALL:
        assert node.json("get", value["kind"], value["name"]) == {**value, "status": {"state": "active"}}
        assert yaml.safe_load(node.ok("get", value["kind"], value["name"], "-o", "yaml")) == {**value, "status": {"state": "active"}}


def test_get_table(node):
    lines = node.ok("get", "ports").splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:3] == ["NAME", "NODE", "NETWORK"]
    assert lines[1].split()[:4] == ["one", "b", "blue", "52:54:00:00:00:01"]
    assert "\x1b" not in "".join(lines)


def test_get_nothing(node):
    node.delete("port", "one")
    assert (node.ok("get", "ports"), node.json("get", "ports")) == ("", [])
    result = node.run("get", "port", "one")
    assert (result.returncode, result.stdout) == (1, "") and "one" in result.stderr


def test_get_unknown_kind(node):
    result = node.run("get", "netwrok")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "sluice: unknown kind 'netwrok', did you mean 'Network'?\n"


# diff


def test_diff(node):
    assert node.ok("diff", "-f", "-", input=yaml.safe_dump_all(ALL)) == ""
    before = everything(node)
    wanted = [{**NETWORK, "mtu": 1300}, {"kind": "Vrf", "name": "t9"}]
    text = node.ok("diff", "-f", "-", input=yaml.safe_dump_all(wanted))
    lines = text.splitlines()
    assert lines[0] == "Network/blue would be changed"
    assert "- mtu: 1400" in lines and "+ mtu: 1300" in lines and "  vni: 5001" in lines
    assert "Vrf/t9 would be created" in lines and "+ name: t9" in lines
    assert everything(node) == before


# stats, version


def test_stats(node):
    stats = node.stats()
    assert set(stats) == {"ports", "workers", "connections", "layers", "process", "revision", "audit", "api",
                          "nextHops", "nats", "members", "qosPolicies", "uplinkDevices",
                           "addressConflicts", "untranslatedMessages", "packetBuffers", "store"}
    assert set(stats["connections"]) == {"current", "max", "offloaded"}
    assert {"packets", "cycles", "busyCycles", "idlePercent"} <= set(stats["workers"][0])
    assert yaml.safe_load(node.ok("stats", "-o", "yaml")).keys() == stats.keys()
    text = node.ok("stats")
    assert "IDLE %" in text and "connections: 0 of at most 4096" in text


def test_version(node):
    assert re.fullmatch(r"sluice   \S+\nsluiced  \S+, node a\n", node.ok("version"))
    assert node.json("version")["node"] == "a"


@pytest.mark.parametrize("form, empty", [("json", []), ("yaml", []), ("table", None)])
def test_no_flows(node, form, empty):
    assert yaml.safe_load(node.ok("flows", "-o", form) or "null") == empty


# The command line itself.


USAGE = [
    [], ["nonsense"], ["--nonsense"], ["get"], ["get", "port", "one", "two"], ["get", "ports", "-o", "xml"],
    ["get", "ports", "-o"], ["get", "ports", "--port", "one"], ["apply"], ["apply", "file.yaml"], ["apply", "-f"],
    ["diff"], ["delete"], ["delete", "port"], ["delete", "-f", "x.yaml", "port"], ["flows", "one"],
    ["flows", "--nonsense"], ["stats", "one"], ["trace"], ["trace", "icmp 10.1.0.1 > 10.1.0.2"],
    ["trace", "--port", "one"], ["version", "one"], ["--api"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage(node, arguments):
    """One line that names the way to help; exit status 2; nothing done."""
    before = everything(node)
    result = node.run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(r"sluice: .+\(see sluice .*--help\)\n", result.stderr)
    assert everything(node) == before


COMMANDS = ["apply", "confirm", "delete", "diff", "explain", "flows", "get", "history", "rollback", "stats", "trace", "version"]


def test_help():
    text = sluice("--help")
    assert text.returncode == 0 and text.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text.stdout, re.M)
        own = sluice(command, "--help")
        assert own.returncode == 0 and own.stdout.startswith(f"Usage: sluice {command}")
        assert sluice("help", command).stdout == own.stdout


def test_nobody_answers(tmp_path):
    result = sluice("get", "ports", api=tmp_path / "none.sock")
    assert (result.returncode, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1 and str(tmp_path) in result.stderr


def test_address_from_the_environment(node, tmp_path):
    environment = {"SLUICE_API": f"unix:{node.api}"}
    assert "node a" in sluice("version", env=environment).stdout
    # The option goes before it.
    assert sluice("version", api=tmp_path / "none.sock", env=environment).returncode == 1
    assert "node a" in sluice("version", api=node.api, env={"SLUICE_API": "unix:/nowhere"}).stdout


def test_option_behind_the_command(node):
    assert "node a" in sluice("version", "--api", f"unix:{node.api}").stdout
    assert "node a" in sluice(f"--api=unix:{node.api}", "version").stdout


def test_output_that_cannot_be_written(node):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([BUILD / "sluice", "--api", f"unix:{node.api}", "get", "ports"], stdout=full,
                                stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 1 and result.stderr.startswith("sluice: ")

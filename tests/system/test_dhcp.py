"""DHCPv4: each workload is handed what the objects say, whatever client it brings; and nobody else's."""

import json

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP

import netns
from client import Client, addresses, has, mtu, reset, routes
from node import eventually, sluice
from packets import BROADCAST, Dot1Q, Ether, Raw, told, who_has

SERVICE = {"domain": "example.org", "domainSearch": ["example.org", "sub.example.net"], "ntp": ["10.1.0.3"],
           "boot": {"server": "10.1.0.4", "file": "pxelinux.0", "efiFile": "grub.efi",
                    "ipxeFile": "http://boot.example.org/menu"}}


def make_networks(lab):
    blue = lab.network("blue", 1, dhcp=SERVICE, mtu=1400)
    blue.object["subnets"][0].update(dns=["10.1.0.2", "10.1.0.5"],
                                     routes=[{"cidr": "192.168.7.0/24", "nextHop": "10.1.0.9"},
                                             {"cidr": "192.168.8.0/21"}])
    lab.network("plain", 2, gateway=False)
    lab.network("off", 3, dhcp={"disabled": True})
    lab.network("short", 4, dhcp={"leaseSeconds": 10})


@pytest.fixture(scope="module")
def lab(make_lab):
    """Workloads that only the test speaks for."""
    lab = make_lab()
    make_networks(lab)
    lab.workload("raw", "a", "blue")
    lab.workload("neighbour", "a", "blue", boot={"file": "own.0"})
    lab.workload("lone", "a", "plain")
    lab.workload("silent", "a", "off")
    lab.workload("none", "a", "blue").object["addresses"].pop(0)
    return lab.up()


@pytest.fixture(scope="module")
def systems(make_lab):
    """Workloads that are for clients to configure."""
    lab = make_lab()
    make_networks(lab)
    lab.workload("udhcpc", "a", "blue", automatic=True)
    lab.workload("dhclient", "a", "blue", automatic=True, hostName="other-name")
    lab.workload("dhcpcd", "a", "blue", automatic=True)
    lab.workload("networkd", "a", "blue", automatic=True)
    lab.workload("lone", "a", "plain", automatic=True)
    lab.workload("renewing", "a", "short", automatic=True)
    lab.workload("releasing", "a", "short", automatic=True)
    lab.workload("changing", "a", "short", automatic=True)
    return lab.up()


# Unmodified clients.

ALL_ROUTES = {"default": "10.1.0.1", "10.1.0.0/24": None, "192.168.7.0/24": "10.1.0.9", "192.168.8.0/21": "10.1.0.1"}


def own(workload):
    return f"{workload.address['v4']}/24"


def test_udhcpc(systems):
    workload = systems["udhcpc"]
    netns.ip(workload.netns, f"link set {workload.interface} mtu 1500")
    with Client(workload, "udhcpc", "-f", "-i", workload.interface, "-O", "mtu", "-O", "search") as client:
        has(workload, own(workload), family="v4")
        eventually(lambda: "nameserver 10.1.0.5" in client.read("/etc/resolv.conf"))
        assert "domain example.org" in client.read("/etc/resolv.conf")
        assert routes(workload)["default"] == "10.1.0.1"
        assert workload.ping("10.1.0.1")


def test_dhclient(systems):
    workload = systems["dhclient"]
    netns.ip(workload.netns, f"link set {workload.interface} mtu 1300")
    with Client(workload, "dhclient", "-4", "-d", "-v", workload.interface) as client:
        has(workload, own(workload), family="v4")
        eventually(lambda: "bound to" in client.log)
        assert routes(workload) == ALL_ROUTES
        assert mtu(workload) == 1400
        assert "search example.org. sub.example.net." in client.read("/etc/resolv.conf")
        lease = client.read("/var/lib/dhcp/dhclient.leases")
        for line in ("host-name \"other-name\"", "ntp-servers 10.1.0.3", "dhcp-lease-time 3600",
                     "dhcp-server-identifier 10.1.0.1", "broadcast-address 10.1.0.255"):
            assert line in lease
        assert workload.ping("10.1.0.1")


def test_dhcpcd(systems):
    workload = systems["dhcpcd"]
    with Client(workload, "dhcpcd", "-4", "-B", "-A", "-d", workload.interface) as client:
        has(workload, own(workload), family="v4")
        eventually(lambda: "leased" in client.log)
        eventually(lambda: routes(workload) == ALL_ROUTES)


NETWORKD = """[Match]
Name=eth0
[Network]
DHCP=ipv4
IPv6AcceptRA=no
[DHCPv4]
UseMTU=yes
RoutesToDNS=no
RoutesToNTP=no
"""


def test_networkd(systems):
    workload = systems["networkd"]
    with Client(workload, "/lib/systemd/systemd-networkd",
                files={"/etc/systemd/network/10-eth0.network": NETWORKD}) as client:
        has(workload, own(workload), family="v4")
        eventually(lambda: f"{own(workload)}, gateway 10.1.0.1 acquired from 10.1.0.1" in client.log)
        # And routes of its own making to each next hop.
        eventually(lambda: ALL_ROUTES.items() <= routes(workload).items())


def test_renewal(systems):
    """At half of the lease the client asks the gateway alone, and goes on with its address."""
    workload = systems["renewing"]
    with Client(workload, "dhclient", "-4", "-d", "-v", workload.interface) as client:
        has(workload, own(workload), family="v4")
        eventually(lambda: "DHCPREQUEST for 10.4.0.16 on eth0 to 10.4.0.1 port 67" in client.log, 30)
        eventually(lambda: client.log.count("bound to") >= 2)
        assert addresses(workload, "v4") == [own(workload)]


def test_rebinding_with_changed_objects(systems):
    """Who renews an address that is its own no more gets the new one, as soon as it asks anybody."""
    workload = systems["changing"]
    with Client(workload, "dhclient", "-4", "-d", "-v", workload.interface):
        has(workload, own(workload), family="v4")
        systems.change(workload, addresses=["10.4.0.200"])
        has(workload, "10.4.0.200/24", family="v4")


def test_release(systems):
    workload = systems["releasing"]
    with Client(workload, "dhclient", "-4", "-d", "-v", workload.interface):
        has(workload, own(workload), family="v4")
        with Client(workload, "dhclient", "-4", "-r", "-v", workload.interface) as client:
            client.wait()
    reset(workload)
    with Client(workload, "udhcpc", "-f", "-q", "-R", "-i", workload.interface) as client:
        client.wait()
        assert f"lease of {workload.address['v4']} obtained" in client.log


def test_without_gateway(systems):
    """There is no router to tell of; a lease is rebound by broadcast, and its server answers ARP."""
    workload = systems["lone"]
    with Client(workload, "udhcpc", "-f", "-i", workload.interface) as client:
        has(workload, own(workload), family="v4")
        assert "from 169.254.0.1" in client.log
        assert routes(workload) == {"10.2.0.0/24": None}


def test_server_without_gateway_answers_arp(lab):
    lone, raw = lab["lone"], lab["raw"]
    lone.send(who_has("169.254.0.1", lone.mac, lone.address["v4"]))
    assert told(lone.receive(), "169.254.0.1")
    lab.dropped(raw, who_has("169.254.0.1", raw.mac, raw.address["v4"]), "arp-unknown")


# By hand, where clients don't go.

def message(workload, kind, *options, ciaddr="0.0.0.0", flags=0, chaddr=None, src="0.0.0.0", dst="255.255.255.255",
            dst_mac=BROADCAST, op=1, sport=68, dport=67, **fields):
    mac = bytes.fromhex((chaddr or workload.mac).replace(":", ""))
    return (Ether(src=workload.mac, dst=dst_mac) / IP(src=src, dst=dst) / UDP(sport=sport, dport=dport)
            / BOOTP(op=op, xid=0x1234, ciaddr=ciaddr, flags=flags, chaddr=mac, **fields)
            / DHCP(options=[("message-type", kind), *options, "end"]))


def ask(workload, kind, *options, **fields):
    """The answer, and its options; lists of a single value as the value."""
    workload.wire.drain()
    workload.send(message(workload, kind, *options, **fields))
    answer = workload.wire.wait_for(lambda frame: DHCP in frame)
    found = {}
    for option in answer[DHCP].options:
        if isinstance(option, tuple):
            found[option[0]] = option[1] if len(option) == 2 else list(option[1:])
    assert answer[BOOTP].xid == 0x1234
    return answer, found


def test_parameters_in_the_clients_order(lab):
    raw = lab["raw"]
    answer, options = ask(raw, "discover", ("param_req_list", [42, 3, 1, 26, 6, 250]))
    assert list(options) == ["message-type", "server_id", "lease_time", "renewal_time", "rebinding_time",
                             "subnet_mask", "NTP_server", "router", "interface-mtu", "name_server"]
    assert (options["lease_time"], options["renewal_time"], options["rebinding_time"]) == (3600, 1800, 3150)
    assert options["interface-mtu"] == 1400
    assert options["name_server"] == ["10.1.0.2", "10.1.0.5"]
    assert answer[BOOTP].yiaddr == raw.address["v4"]
    # Unicast, as the client did not ask for broadcast; from the gateway.
    assert (answer[IP].dst, answer.dst) == (raw.address["v4"], raw.mac)
    assert (answer[IP].src, answer.src) == ("10.1.0.1", raw.gateway_mac())
    assert answer[UDP].sport == 67 and answer[UDP].dport == 68
    assert len(bytes(answer[BOOTP])) >= 300


def test_checksums(lab):
    answer, _ = ask(lab["raw"], "discover")
    again = Ether(bytes(answer))
    del again[IP].chksum, again[UDP].chksum
    again = Ether(bytes(again))
    assert (answer[IP].chksum, answer[UDP].chksum) == (again[IP].chksum, again[UDP].chksum)


def test_broadcast_flag(lab):
    answer, _ = ask(lab["raw"], "discover", flags=0x8000)
    assert (answer[IP].dst, answer.dst) == ("255.255.255.255", BROADCAST)
    assert answer[BOOTP].flags & 0x8000


def test_rapid_commit(lab):
    answer, options = ask(lab["raw"], "discover", (80, b""))
    assert options["message-type"] == 5 and answer[BOOTP].yiaddr == lab["raw"].address["v4"]
    assert 80 in options or "rapid_commit" in options


@pytest.mark.parametrize("client", [
    {"options": [("server_id", "10.1.0.1"), ("requested_addr", "10.1.0.99")]},
    {"options": [("requested_addr", "10.1.0.99")]},
    {"options": [], "ciaddr": "10.1.0.99", "src": "10.1.0.99"},
    {"options": [("requested_addr", "192.168.0.1")]},
], ids=["selecting", "init-reboot", "rebinding", "other network"])
def test_another_address_is_refused(lab, client):
    client = dict(client)
    answer, options = ask(lab["raw"], "request", *client.pop("options"), **client)
    assert options["message-type"] == 6
    assert (answer[BOOTP].yiaddr, answer[IP].dst) == ("0.0.0.0", "255.255.255.255")


def test_own_address_is_confirmed(lab):
    raw = lab["raw"]
    address = raw.address["v4"]
    for options, fields in (([("server_id", "10.1.0.1"), ("requested_addr", address)], {}),
                            ([("requested_addr", address)], {}),
                            ([], {"ciaddr": address, "src": address}),
                            ([], {"ciaddr": address, "src": address, "dst": "10.1.0.1",
                                  "dst_mac": raw.gateway_mac()})):
        answer, found = ask(raw, "request", *options, **fields)
        assert (found["message-type"], answer[BOOTP].yiaddr) == (5, address)


def test_inform(lab):
    raw = lab["raw"]
    answer, options = ask(raw, "inform", ("param_req_list", [6]), ciaddr=raw.address["v4"], src=raw.address["v4"])
    assert options["message-type"] == 5 and answer[BOOTP].yiaddr == "0.0.0.0"
    assert "lease_time" not in options and options["name_server"] == ["10.1.0.2", "10.1.0.5"]


def test_client_identifier_comes_back(lab):
    """RFC 6842"""
    _, options = ask(lab["raw"], "discover", ("client_id", b"\x01abcdef"))
    assert options["client_id"] == b"\x01abcdef"


@pytest.mark.parametrize("asked,file", [
    ([], b"pxelinux.0"),
    ([("vendor_class_id", b"PXEClient:Arch:00000"), ("pxe_client_architecture", b"\x00\x00")], b"pxelinux.0"),
    ([("vendor_class_id", b"PXEClient:Arch:00007"), (93, b"\x00\x07")], b"grub.efi"),
    ([(77, b"iPXE"), (93, b"\x00\x07")], b"http://boot.example.org/menu"),
], ids=["unknown", "BIOS", "UEFI", "iPXE"])
def test_boot_file(lab, asked, file):
    asked = [(93 if code == "pxe_client_architecture" else code, value) for code, value in asked]
    answer, options = ask(lab["raw"], "discover", ("param_req_list", [66, 67]), *asked)
    assert answer[BOOTP].file.rstrip(b"\0") == file and answer[BOOTP].siaddr == "10.1.0.4"
    assert options.get("boot-file-name", options.get(67)) == file
    assert options.get("tftp_server_name", options.get(66)) == b"10.1.0.4"


def test_boot_of_a_port(lab):
    answer, _ = ask(lab["neighbour"], "discover")
    assert answer[BOOTP].file.rstrip(b"\0") == b"own.0" and answer[BOOTP].siaddr == "0.0.0.0"


def test_name(lab):
    _, options = ask(lab["raw"], "discover", ("param_req_list", [12, 15]))
    assert (options["hostname"], options["domain"]) == (b"raw", b"example.org")


# Not answered.

def test_release_and_decline_want_no_answer(lab):
    raw = lab["raw"]
    before = lab.drops()
    for kind in ("release", "decline"):
        raw.send(message(raw, kind, ("server_id", "10.1.0.1"), ("requested_addr", raw.address["v4"])))
    ask(raw, "discover")
    assert lab.drops() == before and not raw.wire.drain()


REFUSED = {
    "server's offer": ("dhcp-spoofed", {"kind": "offer", "op": 2}),
    "server's message type in a request": ("dhcp-spoofed", {"kind": "ack"}),
    "reply to others": ("dhcp-spoofed", {"kind": "ack", "op": 2, "sport": 67, "dport": 68}),
    "reply from another port": ("dhcp-spoofed", {"kind": "offer", "op": 2, "sport": 5000, "dport": 68}),
    "another's hardware address": ("dhcp-spoofed", {"kind": "discover", "chaddr": "52:54:00:00:99:99"}),
    "relay agent": ("dhcp-spoofed", {"kind": "discover", "giaddr": "10.1.0.50"}),
    "another server": ("dhcp-unanswered", {"kind": "request", "options": [("server_id", "10.1.0.77"),
                                                                            ("requested_addr", "10.1.0.15")]}),
    "request for nothing": ("dhcp-malformed", {"kind": "request"}),
    "token ring": ("dhcp-malformed", {"kind": "discover", "htype": 6}),
    "long hardware address": ("dhcp-malformed", {"kind": "discover", "hlen": 16}),
    "lease query": ("dhcp-unanswered", {"kind": 10}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(lab, name):
    reason, fields = REFUSED[name]
    fields = dict(fields)
    lab.dropped(lab["raw"], message(lab["raw"], fields.pop("kind"), *fields.pop("options", []), **fields), reason)


def with_options(workload, data):
    frame = message(workload, "discover")
    del frame[DHCP]
    frame[BOOTP].options = b"c\x82Sc"
    return frame / Raw(data)


BROKEN = {
    "cut before the cookie": lambda w: _cut(w, 200),
    "wrong cookie": lambda w: _patched(w, b"c\x82Sc", b"c\x82Sd"),
    "option over the end": lambda w: with_options(w, b"\x35\x01\x01\x32\x80\x0a\x01"),
    "option without length": lambda w: with_options(w, b"\x35\x01\x01\x32"),
    "message type of two bytes": lambda w: with_options(w, b"\x35\x02\x01\x01\xff"),
    "address of three bytes": lambda w: with_options(w, b"\x35\x01\x01\x32\x03\x0a\x01\x00\xff"),
    "overload of 7": lambda w: with_options(w, b"\x35\x01\x01\x34\x01\x07\xff"),
    "operation 3": lambda w: message(w, "discover", op=3),
}


def _cut(workload, size):
    frame = message(workload, "discover")
    return Ether(src=frame.src, dst=frame.dst) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(
        sport=68, dport=67) / Raw(bytes(frame[BOOTP])[:size])


def _patched(workload, old, new):
    frame = message(workload, "discover")
    return Ether(src=frame.src, dst=frame.dst) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(
        sport=68, dport=67) / Raw(bytes(frame[BOOTP]).replace(old, new))


@pytest.mark.parametrize("name", BROKEN)
def test_broken(lab, name):
    lab.dropped(lab["raw"], BROKEN[name](lab["raw"]), "dhcp-malformed")


def test_options_in_overloaded_fields_are_read(lab):
    raw = lab["raw"]
    frame = with_options(raw, b"\x34\x01\x01\xff")
    frame[BOOTP].file = b"\x35\x01\x01\xff"
    raw.wire.drain()
    raw.send(frame)
    assert raw.wire.wait_for(lambda answer: DHCP in answer)[BOOTP].yiaddr == raw.address["v4"]


def test_disabled(lab):
    lab.dropped(lab["silent"], message(lab["silent"], "discover"), "dhcp-unanswered")


def test_port_without_an_address(lab):
    lab.dropped(lab["none"], message(lab["none"], "discover"), "dhcp-unanswered")


def test_source_mac_holds(lab):
    raw = lab["raw"]
    frame = message(raw, "discover")
    frame.src = "52:54:00:00:99:99"
    lab.dropped(raw, frame, "source-mac")


@pytest.mark.parametrize("number,reason", [(68, "dhcp-spoofed"), (67, "dhcp-malformed")])
def test_messages_in_fragments(lab, number, reason):
    raw, neighbour = lab["raw"], lab["neighbour"]
    to, mac = (neighbour.address["v4"], neighbour.mac) if number == 68 else ("255.255.255.255", BROADCAST)
    data = bytes(message(raw, "ack", op=2, sport=67, dport=number, src=raw.address["v4"], dst=to)[UDP])
    header = Ether(src=raw.mac, dst=mac) / IP(src=raw.address["v4"], dst=to, id=number, proto=17)
    before = lab.drops().get(("raw", reason), 0)
    neighbour.wire.drain()
    frames = [header / Raw(data[:64]), header / Raw(data[64:])]
    frames[0][IP].flags, frames[1][IP].frag = "MF", 8
    # The first one is enough to see what it is for.
    sent = frames[:1] if number == 68 else frames
    for frame in sent:
        raw.send(frame)
    eventually(lambda: lab.drops().get(("raw", reason), 0) == before + len(sent))
    assert not [got for got in neighbour.wire.drain() if IP in got]


def test_a_server_for_others_is_a_workload_like_any(lab):
    """What is sent to another workload alone is no business of the network's server."""
    raw, neighbour = lab["raw"], lab["neighbour"]
    lab.passes(raw, raw.frame(neighbour, UDP(sport=5000, dport=67)), neighbour)


def test_large_answers_use_the_headers_fields(one_lab):
    """What has no room in 576 bytes goes where the boot file and the server's name would be."""
    lab = one_lab()
    network = lab.network("big", 1, dhcp={"domainSearch": [f"{c * 40}.example.org" for c in "abcde"]})
    network.object["subnets"][0]["routes"] = [{"cidr": f"192.168.{i}.0/24"} for i in range(8)]
    one = lab.workload("one", "a", "big")
    lab.up()
    asked = ("param_req_list", [3, 121, 119, 12])
    answer, _ = ask(one, "discover", asked)
    header, own = bytes(answer[BOOTP])[:240], bytes(answer[BOOTP])[240:]
    assert len(bytes(answer[IP])) <= 576
    assert b"\x34\x01\x01" in own
    # Put together in the order of RFC 3396: what begins in the options goes on in the file and the server's name.
    search = b"".join(option_parts(119, own) + option_parts(119, header[108:236]) + option_parts(119, header[44:108]))
    assert search == b"".join(b"\x28" + c.encode() * 40 + b"\x07example\x03org\x00" for c in "abcde")
    answer, options = ask(one, "discover", asked, ("max_dhcp_size", 1400))
    assert options["hostname"] == b"one" and bytes(answer[BOOTP])[44:236] == bytes(192)


def option_parts(code, data):
    """What the field has of an option."""
    parts, at = [], 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if data[at] == code:
            parts.append(data[at + 2:at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return parts


def test_changed_objects_are_told_at_the_next_request(lab):
    raw = lab["raw"]
    network = json.loads(json.dumps(raw.network.object))
    network["dhcp"]["domain"] = "changed.example.org"
    lab.apply(network)
    _, options = ask(raw, "discover", ("param_req_list", [15]))
    lab.apply(raw.network.object)
    assert options["domain"] == b"changed.example.org"


def test_every_node_answers_its_own_alike(one_lab):
    """With two workers each, too. Nothing of it travels between nodes."""
    lab = one_lab(("a", "b"), underlay="v4", options=("--workers", "0,1"))
    lab.network("blue", 1, dhcp=SERVICE)
    workloads = [lab.workload(f"on-{node}-{i}", node, "blue") for node in lab.nodes for i in range(3)]
    lab.up()
    answers = []
    for workload in workloads:
        answer, options = ask(workload, "discover", ("param_req_list", [3, 15, 12]))
        assert answer[BOOTP].yiaddr == workload.address["v4"] and options.pop("hostname") == workload.name.encode()
        answers.append((answer.src, answer[IP].src, options))
    assert all(answer == answers[0] for answer in answers)
    assert not any(DHCP in frame for workload in workloads for frame in workload.wire.drain())


def test_sub_port(one_lab):
    """A VLAN on a port is told of its own network."""
    lab = one_lab()
    lab.network("blue", 1)
    lab.network("red", 2)
    trunk = lab.workload("trunk", "a", "blue")
    sub = lab.workload("sub", "a", "red", vlan=("trunk", 100))
    lab.nodes["a"].apply(*lab.objects)
    trunk.listen()
    frame = message(sub, "discover")
    trunk.send(Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=100) / frame[IP])
    answer = trunk.wire.wait_for(lambda got: DHCP in got)
    assert answer[Dot1Q].vlan == 100 and answer[BOOTP].yiaddr == sub.address["v4"] and answer[IP].src == "10.2.0.1"


def test_trace_says_so(lab):
    raw = lab["raw"]
    result = sluice("trace", "--port", "raw", "--frame", bytes(message(raw, "discover")).hex(),
                    api=lab.nodes["a"].api)
    assert "DHCP: answered" in result.stdout, result.stdout + result.stderr
    assert not raw.wire.drain()

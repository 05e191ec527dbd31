"""DHCPv6: each workload is given all IPv6 addresses of its Port, whatever client it brings; and nobody else's."""

import pytest
from scapy.layers import dhcp6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment

from client import Client, addresses, has, reset, routes
from node import eventually
from packets import Ether, Raw

GATEWAY = "fe80::53:4cff:fe00:1389"
DUID = bytes.fromhex("00030001" "02534c001389")
SERVERS = ("ff02::1:2", "33:33:00:01:00:02")


def make_networks(lab):
    blue = lab.network("blue", 1, dhcp={
        "domain": "example.org", "domainSearch": ["example.org", "sub.example.net"], "ntp": ["fd00:1::3"],
        "boot": {"url": "tftp://[fd00:1::4]/boot.efi", "ipxeFile": "http://boot.example.org/menu"}})
    blue.object["subnets"][1]["dns"] = ["fd00:1::53", "fd00:1::54"]
    lab.network("short", 2, dhcp={"leaseSeconds": 10})
    lab.network("off", 3, dhcp={"disabled": True})


@pytest.fixture(scope="module")
def lab(make_lab):
    """Workloads that only the test speaks for."""
    lab = make_lab()
    make_networks(lab)
    lab.workload("raw", "a", "blue", boot={"url": "http://[fd00:1::5]/own"}).object["addresses"].append("fd00:1::1234")
    lab.workload("menu", "a", "blue")
    lab.workload("none", "a", "blue").object["addresses"].pop(1)
    lab.workload("silent", "a", "off")
    return lab.up()


@pytest.fixture(scope="module")
def systems(make_lab):
    """Workloads that are for clients to configure."""
    lab = make_lab()
    make_networks(lab)
    lab.workload("dhclient", "a", "blue", automatic=True)
    lab.workload("dhcpcd", "a", "blue", automatic=True).object["addresses"].append("fd00:1::1234")
    lab.workload("networkd", "a", "blue", automatic=True)
    lab.workload("informed", "a", "blue", automatic=True)
    lab.workload("renewing", "a", "short", automatic=True)
    return lab.up()


# Unmodified clients.

def test_dhclient(systems):
    workload = systems["dhclient"]
    with Client(workload, "dhclient", "-6", "-d", "-v", workload.interface) as client:
        has(workload, f"{workload.address['v6']}/128", family="v6")
        eventually(lambda: "nameserver fd00:1::54" in client.read("/etc/resolv.conf"))
        assert "search example.org. sub.example.net." in client.read("/etc/resolv.conf")
        assert "Server ID: 00:03:00:01:02:53:4c:00:13:89" in client.log


def test_dhclient_asks_for_all_but_addresses(systems):
    workload = systems["informed"]
    # It ends when it has been told, and its system with it.
    with Client(workload, "sh", "-c", f"dhclient -6 -S -d -v {workload.interface}; cat /etc/resolv.conf") as client:
        eventually(lambda: "nameserver fd00:1::53" in client.log)
        assert not addresses(workload, "v6")


def test_renewal(systems):
    workload = systems["renewing"]
    with Client(workload, "dhclient", "-6", "-d", "-v", workload.interface) as client:
        has(workload, f"{workload.address['v6']}/128", family="v6")
        eventually(lambda: "XMT: Renew on" in client.log, 30)
        eventually(lambda: client.log.count("RCV: Reply message") >= 2)
        assert addresses(workload, "v6") == [f"{workload.address['v6']}/128"]


def test_dhcpcd(systems):
    """By the router's flags; with several addresses."""
    workload = systems["dhcpcd"]
    with Client(workload, "dhcpcd", "-6", "-B", "-d", workload.interface) as client:
        has(workload, f"{workload.address['v6']}/128", "fd00:1::1234/128", family="v6")
        eventually(lambda: routes(workload, "v6").get("default") == GATEWAY)
        assert workload.ping("fd00:1::1"), client.log


NETWORKD = """[Match]
Name=eth0
[Network]
DHCP=no
IPv6AcceptRA=yes
"""


def test_networkd(systems):
    """Asks by DHCPv6 because the router's advertisement says so."""
    workload = systems["networkd"]
    reset(workload)
    with Client(workload, "/lib/systemd/systemd-networkd",
                files={"/etc/systemd/network/10-eth0.network": NETWORKD}) as client:
        has(workload, f"{workload.address['v6']}/128", family="v6")
        eventually(lambda: routes(workload, "v6").get("default") == GATEWAY)
        assert workload.ping("fd00:1::1"), client.log


# By hand, where clients don't go.

CLIENT = dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL(lladdr="52:54:00:00:00:01"))
SERVER = dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(lladdr="02:53:4c:00:13:89"))


def link_local(workload):
    return "fe80::5054:ff:fe00:%x" % int(workload.mac[-5:-3] + workload.mac[-2:], 16)


def message(workload, *parts, to=SERVERS, source=None, dport=547, sport=546):
    frame = Ether(src=workload.mac, dst=to[1]) / IPv6(src=source or link_local(workload), dst=to[0]) / UDP(
        sport=sport, dport=dport)
    for part in parts:
        frame = frame / part
    return frame


def is_answer(frame):
    return UDP in frame and frame[UDP].dport == 546


def ask(workload, *parts, **fields):
    workload.wire.drain()
    workload.send(message(workload, *parts, **fields))
    answer = workload.wire.wait_for(is_answer)
    assert (answer[IPv6].src, answer[IPv6].dst, answer.dst) == (GATEWAY, link_local(workload), workload.mac)
    again = Ether(bytes(answer))
    del again[UDP].chksum
    assert Ether(bytes(again))[UDP].chksum == answer[UDP].chksum
    return answer[UDP].payload


def option(answer, kind, number=0):
    return answer.getlayer(kind, number + 1)


def given(association):
    """Addresses of an association with their lifetimes, and its status."""
    offered = {o.addr: o.validlft for o in association.ianaopts if isinstance(o, dhcp6.DHCP6OptIAAddress)}
    status = [o.statuscode for o in association.ianaopts if isinstance(o, dhcp6.DHCP6OptStatusCode)]
    return offered, status


def all_of(workload, lifetime=3600):
    return {a: lifetime for a in workload.object["addresses"] if ":" in a}


def association(*had, number=5):
    return dhcp6.DHCP6OptIA_NA(iaid=number, T1=0, T2=0, ianaopts=[
        dhcp6.DHCP6OptIAAddress(addr=a, preflft=100, validlft=100) for a in had])


def test_solicit(lab):
    raw = lab["raw"]
    answer = ask(raw, dhcp6.DHCP6_Solicit(trid=0x123456), CLIENT, association())
    assert isinstance(answer, dhcp6.DHCP6_Advertise) and answer.trid == 0x123456
    assert bytes(option(answer, dhcp6.DHCP6OptServerId).duid) == DUID
    assert bytes(option(answer, dhcp6.DHCP6OptClientId).duid) == bytes(CLIENT.duid)
    assert option(answer, dhcp6.DHCP6OptPref).prefval == 255
    found = option(answer, dhcp6.DHCP6OptIA_NA)
    assert given(found) == (all_of(raw), []) and (found.iaid, found.T1, found.T2) == (5, 1800, 2880)


def test_rapid_commit(lab):
    answer = ask(lab["raw"], dhcp6.DHCP6_Solicit(trid=1), CLIENT, dhcp6.DHCP6OptRapidCommit(), association())
    assert isinstance(answer, dhcp6.DHCP6_Reply) and option(answer, dhcp6.DHCP6OptRapidCommit)
    assert given(option(answer, dhcp6.DHCP6OptIA_NA))[0] == all_of(lab["raw"])


@pytest.mark.parametrize("kind", [dhcp6.DHCP6_Request, dhcp6.DHCP6_Renew, dhcp6.DHCP6_Rebind])
def test_addresses_are_confirmed(lab, kind):
    raw = lab["raw"]
    server = [] if kind is dhcp6.DHCP6_Rebind else [SERVER]
    answer = ask(raw, kind(trid=1), CLIENT, *server, association(raw.address["v6"]))
    assert isinstance(answer, dhcp6.DHCP6_Reply)
    assert given(option(answer, dhcp6.DHCP6OptIA_NA)) == (all_of(raw), [])


def test_renewal_of_what_is_no_more(lab):
    """Told with a lifetime of zero; and what is new comes along."""
    raw = lab["raw"]
    answer = ask(raw, dhcp6.DHCP6_Renew(trid=1), CLIENT, SERVER, association("fd00:1::99", raw.address["v6"]))
    assert given(option(answer, dhcp6.DHCP6OptIA_NA))[0] == {**all_of(raw), "fd00:1::99": 0}


def test_request_on_another_link(lab):
    answer = ask(lab["raw"], dhcp6.DHCP6_Request(trid=1), CLIENT, SERVER, association("fd00:77::1"))
    assert given(option(answer, dhcp6.DHCP6OptIA_NA)) == ({}, [4])


@pytest.mark.parametrize("had,status", [(["fd00:1::1234"], 0), (["fd00:1::99"], 4), (["fd00:1::1234", "fd00:2::1"], 4)])
def test_confirm(lab, had, status):
    answer = ask(lab["raw"], dhcp6.DHCP6_Confirm(trid=1), CLIENT, association(*had))
    assert option(answer, dhcp6.DHCP6OptStatusCode).statuscode == status


@pytest.mark.parametrize("kind", [dhcp6.DHCP6_Release, dhcp6.DHCP6_Decline])
def test_release_and_decline(lab, kind):
    answer = ask(lab["raw"], kind(trid=1), CLIENT, SERVER, association(lab["raw"].address["v6"]))
    assert option(answer, dhcp6.DHCP6OptStatusCode).statuscode == 0


def test_what_is_not_given(lab):
    """A second association, temporary addresses, prefixes: refused each by itself."""
    raw = lab["raw"]
    answer = ask(raw, dhcp6.DHCP6_Solicit(trid=1), CLIENT, association(), association(number=6),
                 dhcp6.DHCP6OptIA_TA(iaid=7), dhcp6.DHCP6OptIA_PD(iaid=8))
    assert given(option(answer, dhcp6.DHCP6OptIA_NA)) == (all_of(raw), [])
    assert given(option(answer, dhcp6.DHCP6OptIA_NA, 1)) == ({}, [2])
    assert [o.statuscode for o in option(answer, dhcp6.DHCP6OptIA_TA).iataopts] == [2]
    assert [o.statuscode for o in option(answer, dhcp6.DHCP6OptIA_PD).iapdopt] == [6]


def test_port_without_an_address(lab):
    answer = ask(lab["none"], dhcp6.DHCP6_Solicit(trid=1), CLIENT, association())
    assert given(option(answer, dhcp6.DHCP6OptIA_NA)) == ({}, [2])


def test_options_that_are_asked_for(lab):
    menu = lab["menu"]
    answer = ask(menu, dhcp6.DHCP6_InfoRequest(trid=1), CLIENT,
                 dhcp6.DHCP6OptOptReq(reqopts=[23, 24, 31, 56, 59, 250]), dhcp6.DHCP6OptClientFQDN(fqdn="x"))
    assert isinstance(answer, dhcp6.DHCP6_Reply) and not option(answer, dhcp6.DHCP6OptIA_NA)
    assert option(answer, dhcp6.DHCP6OptDNSServers).dnsservers == ["fd00:1::53", "fd00:1::54"]
    assert option(answer, dhcp6.DHCP6OptDNSDomains).dnsdomains == ["example.org.", "sub.example.net."]
    assert option(answer, dhcp6.DHCP6OptSNTPServers).sntpservers == ["fd00:1::3"]
    assert bytes.fromhex("0038001400010010") in bytes(answer)
    assert bytes.fromhex("003b001b") + b"tftp://[fd00:1::4]/boot.efi" in bytes(answer)
    assert b"\x00\x27" in bytes(answer) and b"\x04menu\x07example\x03org\x00" in bytes(answer)
    assert option(answer, dhcp6.DHCP6OptInfoRefreshTime).reftime == 3600


def test_boot_url(lab):
    """A Port's own; and what iPXE gets when it runs already."""
    requested = dhcp6.DHCP6OptOptReq(reqopts=[59])
    answer = ask(lab["raw"], dhcp6.DHCP6_InfoRequest(trid=1), CLIENT, requested)
    assert b"http://[fd00:1::5]/own" in bytes(answer)
    answer = ask(lab["menu"], dhcp6.DHCP6_InfoRequest(trid=1), CLIENT, requested,
                 Raw(bytes.fromhex("000f0006" "0004") + b"iPXE"))
    assert b"http://boot.example.org/menu" in bytes(answer)


def test_unicast_is_told_to_ask_all(lab):
    raw = lab["raw"]
    to = (GATEWAY, raw.gateway_mac("v6"))
    answer = ask(raw, dhcp6.DHCP6_Renew(trid=1), CLIENT, SERVER, association(raw.address["v6"]), to=to)
    assert option(answer, dhcp6.DHCP6OptStatusCode).statuscode == 5
    lab.dropped(raw, message(raw, dhcp6.DHCP6_Solicit(trid=1), CLIENT, association(), to=to), "dhcp-unanswered")


OTHER_SERVER = dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(lladdr="02:53:4c:00:13:8a"))
REFUSED = {
    "advertisement": ("dhcp-spoofed", [dhcp6.DHCP6_Advertise(trid=1), CLIENT, SERVER], {}),
    "reply": ("dhcp-spoofed", [dhcp6.DHCP6_Reply(trid=1), CLIENT, SERVER], {}),
    "reply to all nodes": ("dhcp-spoofed", [dhcp6.DHCP6_Reply(trid=1), CLIENT, SERVER],
                           {"to": ("ff02::1", "33:33:00:00:00:01"), "dport": 546, "sport": 547}),
    "reply from any port": ("dhcp-spoofed", [dhcp6.DHCP6_Reply(trid=1), CLIENT, SERVER],
                            {"to": ("ff02::1", "33:33:00:00:00:01"), "dport": 546, "sport": 5000}),
    "reconfigure": ("dhcp-spoofed", [dhcp6.DHCP6_Reconf(trid=1), CLIENT, SERVER], {}),
    "relay": ("dhcp-spoofed", [dhcp6.DHCP6_RelayForward(linkaddr="fd00:1::1", peeraddr="fe80::1")], {}),
    "other server": ("dhcp-unanswered", [dhcp6.DHCP6_Request(trid=1), CLIENT, OTHER_SERVER, association()], {}),
    "solicit with a server": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), CLIENT, SERVER, association()], {}),
    "solicit without a client": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), association()], {}),
    "request without a server": ("dhcp-malformed", [dhcp6.DHCP6_Request(trid=1), CLIENT, association()], {}),
    "confirm of nothing": ("dhcp-unanswered", [dhcp6.DHCP6_Confirm(trid=1), CLIENT, association()], {}),
    "information with an association": ("dhcp-malformed", [dhcp6.DHCP6_InfoRequest(trid=1), CLIENT, association()], {}),
    "unknown type": ("dhcp-unanswered", [Raw(b"\x63\0\0\1"), CLIENT], {}),
    "two clients": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), CLIENT, CLIENT, association()], {}),
    "three bytes": ("dhcp-malformed", [Raw(b"\1\0\0")], {}),
    "option over the end": ("dhcp-malformed", [Raw(bytes.fromhex("01000001" "0001000a0003"))], {}),
    "short association": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), CLIENT, Raw(bytes.fromhex("0003000400000005"))], {}),
    "short address": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), CLIENT,
                                         Raw(bytes.fromhex("00030014" + "00" * 12 + "00050004" "00000000"))], {}),
    "no address": ("dhcp-malformed", [dhcp6.DHCP6_Solicit(trid=1), CLIENT, association()], {"source": "::"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(lab, name):
    reason, parts, fields = REFUSED[name]
    lab.dropped(lab["raw"], message(lab["raw"], *parts, **fields), reason)


def test_server_messages_in_fragments(lab):
    raw = lab["raw"]
    data = bytes(message(raw, dhcp6.DHCP6_Reply(trid=1), CLIENT, SERVER, sport=547, dport=546)[UDP])
    header = Ether(src=raw.mac, dst="33:33:00:00:00:01") / IPv6(src=link_local(raw), dst="ff02::1")
    lab.dropped(raw, header / IPv6ExtHdrFragment(nh=17, id=9, m=1) / Raw(data[:16]), "dhcp-spoofed")
    hidden = b"\x11\x00\x01\x04\0\0\0\0" + data[:16]
    lab.dropped(raw, header / IPv6ExtHdrFragment(nh=60, id=9, m=1) / Raw(hidden), "extension-headers")


@pytest.mark.parametrize("number,reason", [(546, "dhcp-spoofed"), (547, "dhcp-malformed")])
def test_messages_behind_further_headers_in_fragments(lab, number, reason):
    """Where each fragment shows nothing, the whole datagram does: to one workload alone, and to the gateway."""
    raw, menu = lab["raw"], lab["menu"]
    to, mac = (menu.address["v6"], menu.mac) if number == 546 else (GATEWAY, raw.gateway_mac("v6"))
    data = b"\x11\x00\x01\x04\0\0\0\0" + bytes(message(
        raw, dhcp6.DHCP6_Reply(trid=1), CLIENT, SERVER, sport=547, dport=number, to=(to, mac))[UDP])
    header = Ether(src=raw.mac, dst=mac) / IPv6(src=link_local(raw), dst=to)
    before = lab.drops().get(("raw", reason), 0)
    raw.wire.drain()
    menu.wire.drain()
    raw.send(header / IPv6ExtHdrFragment(nh=60, id=number, m=1) / Raw(data[:24]))
    raw.send(header / IPv6ExtHdrFragment(nh=60, id=number, offset=3) / Raw(data[24:]))
    eventually(lambda: lab.drops().get(("raw", reason), 0) == before + 2)
    assert not [got for workload in (raw, menu) for got in workload.wire.drain() if IPv6ExtHdrFragment in got]


def test_disabled(lab):
    silent = lab["silent"]
    lab.dropped(silent, message(silent, dhcp6.DHCP6_Solicit(trid=1), CLIENT, association()), "dhcp-unanswered")


def test_source_mac_holds(lab):
    frame = message(lab["raw"], dhcp6.DHCP6_Solicit(trid=1), CLIENT, association())
    frame.src = "52:54:00:00:99:99"
    lab.dropped(lab["raw"], frame, "source-mac")


def test_more_addresses_than_a_message_holds(one_lab):
    lab = one_lab()
    lab.network("blue", 1)
    one = lab.workload("one", "a", "blue")
    one.object["addresses"] += [f"fd00:1::1:{i:x}" for i in range(100)]
    lab.up()
    answer = ask(one, dhcp6.DHCP6_Solicit(trid=1), CLIENT, association(), dhcp6.DHCP6OptOptReq(reqopts=[23]))
    offered, status = given(option(answer, dhcp6.DHCP6OptIA_NA))
    assert 30 < len(offered) < 50 and not status and offered.items() <= all_of(one).items()
    assert len(bytes(answer)) <= 1450 - 48

"""How many connections a Nat's ports are for: blocks are bounded, ports are shared between destinations, none is used again in TIME-WAIT."""

import pytest

from node import eventually
from outside import FAR, Router, at, network, route
from packets import UDP, Wire
from web import ADDRESS, ask

POOL = {"v4": at("v4", 64), "v6": at("v6", 64)}
# Behind the router, too; nobody answers.
OTHER = {"v4": "198.51.100.10", "v6": "2001:db8:9::10"}
BLOCK = 64


@pytest.fixture(scope="module")
def lab(make_lab):
    """Each inside Port has one block of 64 ports."""
    lab = make_lab(nodes=("a",), underlay="v4", options=("--metrics", ADDRESS))
    lab.outside = Router(lab)
    lab.network("blue", 1)
    lab.workload("many", "a", "blue")
    lab.workload("other", "a", "blue")
    lab.workload("program", "a", "blue", kernel=True)
    lab.objects += [network("a"), route(),
                    {"kind": "Nat", "name": "nat", "vrf": "t1", "network": "internet", "portBlock": BLOCK, "maxBlocks": 1,
                     "pools": [{"node": "a", "addresses": list(POOL.values())}]}]
    lab.up()
    lab.heard = Wire(lab.outside.netns, lab.outside.interface)
    yield lab
    lab.heard.close()


def opened(lab, sender, family, ports, destination):
    """Sends a datagram from each port; the external ports that are seen, and how many were refused for want of ports."""
    reason = (sender.name, "nat-blocks")
    before = lab.drops()[reason]
    seen = []
    gateway = sender.gateway_mac(family)
    for port in ports:
        sender.send(sender.frame(sender, UDP(sport=port, dport=9), family, dst=destination, dst_mac=gateway))

    def done():
        for frame in lab.heard.drain():
            if UDP in frame and frame[UDP].dport == 9 and ip_header_of(frame, family)[1] == destination:
                assert ip_header_of(frame, family)[0] == POOL[family]
                seen.append(frame[UDP].sport)
        return len(seen) + lab.drops()[reason] - before == len(ports)

    eventually(done)
    return seen, lab.drops()[reason] - before


def ip_header_of(frame, family):
    layer = frame.getlayer("IP" if family == "v4" else "IPv6")
    return (layer.src, layer.dst) if layer else (None, None)


def test_blocks_are_bounded_and_shared(lab, family):
    """To one destination there are just so many ports; to another one the same serve again, for other ends, too."""
    many, ports = lab["many"], range(20000, 20000 + BLOCK + 6)
    far, near = FAR[family], lab.outside.address[family]
    seen, refused = opened(lab, many, family, ports, far)
    assert (len(set(seen)), len(seen), refused) == (BLOCK, BLOCK, 6)
    # Those that were refused have none of their own.
    again, refused = opened(lab, many, family, ports[BLOCK:], near)
    assert refused == 0 and len(set(again)) == 6 and set(again) < set(seen)
    # Those that have one keep it, whatever the destination.
    again, refused = opened(lab, many, family, ports[:BLOCK], OTHER[family])
    assert (again, refused) == (seen, 0)


def test_others_have_their_own(lab, family):
    """Whoever has used up what it may takes nothing from others."""
    seen, refused = opened(lab, lab["other"], family, [30000, 30001], FAR[family])
    assert len(set(seen)) == 2 and refused == 0


def test_seen(lab, family):
    """What is in use, in metrics and status, and in the log whose the ports are."""
    node = lab.nodes["a"]
    (port, *_), refused = opened(lab, lab["other"], family, [30002], FAR[family])
    assert refused == 0
    line, = eventually(lambda: node.events("block of ports given", address=POOL[family], port="other"))
    first, last = map(int, line["ports"].split("-"))
    assert first <= port <= last and last - first + 1 == BLOCK
    assert (line["nat"], line["network"], line["inside"]) == ("nat", "blue", lab["other"].address[family])
    pool, = [pool for pool in node.json("get", "nat", "nat")["status"]["pools"] if pool["family"] == f"ip{family}"]
    assert pool["addresses"] == 1 and pool["blocks"] >= 1 and pool["mappings"] >= 1
    assert pool["blocksMax"] == (65536 - 1024) // BLOCK
    text = ask(node, "/metrics")[1].decode()
    for name, key in (("mappings", "mappings"), ("port_blocks", "blocks"), ("port_blocks_max", "blocksMax"),
                      ("refused_packets_total", "refused")):
        assert f'sluice_nat_{name}{{nat="nat",family="ip{family}"}} {pool.get(key, 0)}\n' in text


def test_time_wait(lab, family):
    """A connection that was closed keeps its port until the other side can't mistake a new one for it."""
    program = lab["program"]
    with lab.outside.server(80, family) as server:
        for _ in range(BLOCK):
            client = program.open_socket(family)
            client.connect((FAR[family], 80))
            accepted, _ = server.accept()
            client.close()
            assert accepted.recv(1) == b""
            accepted.close()
        before = lab.drops()[("program", "nat-blocks")]
        client = program.open_socket(family)
        client.setblocking(False)
        assert client.connect_ex((FAR[family], 80)) != 0
        eventually(lambda: lab.drops()[("program", "nat-blocks")] > before)
        client.close()
    # To another destination there is one.
    with lab.outside.server(81, family) as server:
        client = program.open_socket(family)
        client.connect((FAR[family], 81))
        server.accept()[0].close()
        client.close()

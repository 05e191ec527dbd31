"""Random packets between those of a random world, which mostly meet its objects."""

import ipaddress

import outside
from packets import (ARP, BROADCAST, ICMP, IP, TCP, UDP, VXLAN, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6EchoReply,
                     ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr,
                     ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                     IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, Raw, ip_header, split)
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (DUID_LL, DHCP6_Advertise, DHCP6_Confirm, DHCP6_InfoRequest, DHCP6_Renew, DHCP6_Reply,
                                DHCP6_Request, DHCP6_Solicit, DHCP6OptClientId, DHCP6OptIA_NA, DHCP6OptIAAddress)
from scapy.layers.inet import IPOption_Router_Alert
from scapy.layers.inet6 import ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLReport, RouterAlert

# Few, so that rules and packets meet.
PORTS = [22, 53, 80, 81, 443, 1000, 33434]
FAMILIES = ("v4", "v6")
FLAGS = ["S", "S", "S", "SA", "A", "A", "PA", "FA", "F", "R", "RA", "SF", "", "FPU", "SR", "SEC"]

# Behind the router on the external network.
OUTSIDE = {"v4": "198.51.100.9", "v6": "2001:db8:7::9"}
OUTSIDE_PREFIX = {"v4": "198.51.100.0/24", "v6": "2001:db8:7::/64"}


def family_of(address):
    return "v6" if ":" in address else "v4"


def link_local(mac):
    octets = [int(part, 16) for part in mac.split(":")]
    octets[0] ^= 2
    return str(ipaddress.IPv6Address(bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0, *octets[:3], 0xff, 0xfe, *octets[3:]])))


def plain(data):
    """A frame without what is above TCP and UDP: random bytes are no DNS, and scapy may be lost in them."""
    frame = Ether(data)
    for layer in (TCP, UDP):
        if layer in frame and frame[layer].payload:
            content = frame[layer].payload.original
            frame[layer].remove_payload()
            frame[layer].add_payload(Raw(content))
    return frame


class Packets:
    """Of the World that inherits it: its random numbers, its lab, and what there is in that."""

    # What a packet is made of.

    def address(self, family):
        """Mostly somebody's."""
        rng = self.rng
        if self.router and rng.random() < .15:
            return rng.choice([OUTSIDE[family], OUTSIDE[family], OUTSIDE[family], outside.own("a")[family],
                               self.router.address[family]])
        if (self.virtual[family] or self.public[family]) and rng.random() < .3:
            nat64 = ["64:ff9b::c633:6409"] if family == "v6" else []
            return rng.choice([*self.virtual[family], *self.virtual[family], *self.public[family], *nat64])
        networks = list(self.lab.networks.values())
        choice = rng.random()
        if choice < .7:
            return rng.choice(list(self.lab.workloads.values())).address[family]
        if choice < .85:
            network = rng.choice(networks)
            return network.gateway.get(family) or str(ipaddress.ip_network(network.prefix[family])[200])
        return rng.choice({
            "v4": ["203.0.113.9", "255.255.255.255", "224.0.0.1", "224.0.0.251", "239.1.2.3", "0.0.0.0", "127.0.0.1",
                   "10.1.0.100", "10.1.0.255", "169.254.1.1"],
            "v6": ["2001:db8:9::9", "ff02::1", "ff02::fb", "ff05::1:3", "::", "::1", "fd00:1::100", "fe80::1",
                   "::ffff:10.1.0.11"]}[family])

    def mac_for(self, sender, address):
        rng = self.rng
        if rng.random() < .1:
            return rng.choice([BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", "52:54:00:99:99:99", sender.mac])
        for workload in self.lab.workloads.values():
            if address in workload.address.values() and workload.network is sender.network and rng.random() < .9:
                return workload.mac
        parsed = ipaddress.ip_address(address)
        if parsed.is_multicast:
            return ("01:00:5e:%02x:%02x:%02x" % (parsed.packed[1] & 127, *parsed.packed[2:]) if parsed.version == 4
                    else "33:33:%02x:%02x:%02x:%02x" % tuple(parsed.packed[12:]))
        return self.gateway_mac(sender.network)

    @staticmethod
    def gateway_mac(network):
        return "02:53:4c:%02x:%02x:%02x" % tuple(network.vni.to_bytes(3, "big"))

    def payload(self):
        rng = self.rng
        return Raw(bytes(rng.choices(range(256), k=rng.choice([0, 0, 8, 64, 64, 600, 1200, 1210, 1380, 1420, 1500]))))

    def upper(self, source):
        """What is in an IP packet: (next header or None for what scapy finds, layers)."""
        rng = self.rng
        v4 = family_of(source) == "v4"
        sport, dport = rng.choice(PORTS), rng.choice(PORTS)
        kind = rng.choice(["tcp", "tcp", "tcp", "udp", "udp", "echo", "echo", "icmp", "sctp", "other", "error"])
        if kind == "tcp":
            return None, TCP(sport=sport, dport=dport, flags=rng.choice(FLAGS), seq=rng.choice([0, 1, 5000, 2**32 - 1]),
                             ack=rng.choice([0, 1, 2, 5000]))
        if kind == "udp":
            return None, UDP(sport=sport, dport=dport)
        if kind == "echo":
            reply = rng.random() < .3
            if v4:
                return None, ICMP(type=0 if reply else 8, id=sport)
            return None, ICMPv6EchoReply(id=sport) if reply else ICMPv6EchoRequest(id=sport)
        if kind == "icmp":
            return (1, ICMP(type=rng.randint(0, 20), code=rng.randint(0, 5))) if v4 else \
                (58, Raw(bytes([rng.choice([5, 100, 127, 138, 160]), 0, 0, 0, 0, 0, 0, 0])))
        if kind == "sctp":
            chunk = rng.choice([0, 1, 2, 3, 6, 7, 8, 10, 11, 14])
            return 132, Raw(sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + bytes([0, 0, 0, 1, 0, 0, 0, 0, chunk, 0,
                                                                                        0, 20]) + bytes(16))
        if kind == "error":
            return None, self.error(v4)
        return rng.choice([47, 50, 51, 112, 4, 41, 136, 253]), Raw(bytes(rng.choices(range(256), k=24)))

    def error(self, v4):
        """An ICMP error, mostly about a packet that was seen."""
        rng = self.rng
        quotes = [frame for _, frame in self.seen if (IP if v4 else IPv6) in frame]
        quote = bytes(rng.choice(quotes)[IP if v4 else IPv6])[:rng.choice([20, 28, 48, 64, 200])] if quotes else bytes(28)
        if v4:
            return ICMP(type=rng.choice([3, 3, 11, 12, 4]), code=rng.choice([0, 1, 3, 4])) / Raw(quote)
        return rng.choice([ICMPv6DestUnreach(code=4), ICMPv6PacketTooBig(mtu=1280)]) / Raw(quote)

    def arp(self, sender):
        rng = self.rng
        return Ether(src=sender.mac, dst=rng.choice([BROADCAST, BROADCAST, self.gateway_mac(sender.network)])) / \
            ARP(op=rng.choice([1, 1, 1, 2, 3]), hwsrc=rng.choice([sender.mac, sender.mac, "52:54:00:99:99:99"]),
                psrc=rng.choice([sender.address["v4"], sender.address["v4"], "0.0.0.0", self.address("v4")]),
                pdst=self.address("v4"))

    def nd(self, sender):
        rng = self.rng
        target, source = self.address("v6"), rng.choice([sender.address["v6"], link_local(sender.mac), "::",
                                                         self.address("v6")])
        message = rng.choice([ICMPv6ND_NS(tgt=target), ICMPv6ND_NS(tgt=target),
                              ICMPv6ND_NS(tgt=target) / ICMPv6NDOptSrcLLAddr(lladdr=sender.mac),
                              ICMPv6ND_NA(tgt=target) / ICMPv6NDOptDstLLAddr(lladdr=sender.mac), ICMPv6ND_RA()])
        return Ether(src=sender.mac, dst="33:33:ff:00:00:01") / \
            IPv6(src=source, dst=rng.choice(["ff02::1", self.address("v6")]), hlim=rng.choice([255, 255, 255, 64])) / message

    def dhcp(self, sender):
        """As a client does it, or nearly."""
        rng = self.rng
        mac = sender.mac if rng.random() < .9 else "52:54:00:99:99:99"
        kind = rng.choice(["discover", "discover", "request", "request", "release", "inform", "decline", "offer", "ack"])
        own = sender.address["v4"]
        bound = kind in ("release", "inform") or rng.random() < .2
        asked = own if rng.random() < .7 else self.address("v4")
        server = sender.network.gateway.get("v4", "10.1.0.1")
        options = [("message-type", kind), ("requested_addr", asked), ("server_id", server), "end"]
        if rng.random() < .3:
            del options[rng.choice([0, 1, 2])]
        if rng.random() < .3:
            options.insert(1, ("param_req_list", rng.choices(range(1, 255), k=rng.randint(1, 20))))
        boot = BOOTP(op=2 if kind in ("offer", "ack") else 1, chaddr=bytes.fromhex(mac.replace(":", "")),
                     xid=rng.getrandbits(32), ciaddr=own if bound else "0.0.0.0", flags=rng.choice([0, 0x8000]))
        ports = {"sport": 68, "dport": 67} if boot.op == 1 else {"sport": 67, "dport": 68}
        unicast = bound and rng.random() < .5
        return Ether(src=sender.mac, dst=self.gateway_mac(sender.network) if unicast else BROADCAST) / \
            IP(src=own if bound else "0.0.0.0", dst=server if unicast else "255.255.255.255") / UDP(**ports) / boot / \
            DHCP(options=options)

    def dhcpv6(self, sender):
        rng = self.rng
        duid = DHCP6OptClientId(duid=DUID_LL(lladdr=sender.mac))
        association = DHCP6OptIA_NA(iaid=1, ianaopts=[DHCP6OptIAAddress(addr=self.address("v6"))]
                                    if rng.random() < .5 else [])
        message = rng.choice([DHCP6_Solicit, DHCP6_Solicit, DHCP6_Request, DHCP6_InfoRequest, DHCP6_Advertise, DHCP6_Reply,
                              DHCP6_Confirm, DHCP6_Renew])(trid=rng.getrandbits(24))
        body = message / duid / association if rng.random() < .9 else message
        server = isinstance(message, (DHCP6_Advertise, DHCP6_Reply))
        return Ether(src=sender.mac, dst="33:33:00:01:00:02") / IPv6(
            src=rng.choice([link_local(sender.mac)] * 3 + [sender.address["v6"]]), dst="ff02::1:2") / UDP(
                sport=547 if server else 546, dport=546 if server else 547) / body

    def solicit_router(self, sender):
        source = self.rng.choice([link_local(sender.mac), "::", sender.address["v6"]])
        message = ICMPv6ND_RS() if source == "::" or self.rng.random() < .3 else \
            ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=sender.mac)
        return Ether(src=sender.mac, dst="33:33:00:00:00:02") / IPv6(src=source, dst="ff02::2", hlim=255) / message

    def membership(self, sender):
        """IGMP and MLD, from members and from who would like to be the querier."""
        rng = self.rng
        group = rng.choice(["224.0.0.251", "239.1.2.3", "239.1.2.4", "10.1.0.11"])
        if rng.random() < .5:
            kind = rng.choice([0x16, 0x16, 0x12, 0x17, 0x11])
            data = bytes([kind, 0, 0, 0]) + ipaddress.ip_address(group).packed
            if rng.random() < .3:
                data = bytes([0x22, 0, 0, 0, 0, 0, 0, 1, rng.randint(1, 6), 0, 0, 0]) + ipaddress.ip_address(group).packed
            total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, len(data), 2))
            total = (total & 0xffff) + (total >> 16)
            data = data[:2] + (~total & 0xffff).to_bytes(2, "big") + data[4:]
            to = {0x22: "224.0.0.22", 0x17: "224.0.0.2", 0x11: "224.0.0.1"}.get(data[0], group)
            return Ether(src=sender.mac, dst=self.mac_for(sender, to)) / IP(
                src=sender.address["v4"], dst=to, ttl=1, proto=2, options=[IPOption_Router_Alert()]) / Raw(data)
        group = rng.choice(["ff05::1:3", "ff02::fb", "ff0e::7"])
        message = rng.choice([ICMPv6MLReport(mladdr=group), ICMPv6MLDone(mladdr=group), ICMPv6MLQuery(mladdr="::")])
        return Ether(src=sender.mac, dst=self.mac_for(sender, group)) / IPv6(
            src=rng.choice([link_local(sender.mac), "::", sender.address["v6"]]), dst=group, hlim=1) / \
            IPv6ExtHdrHopByHop(options=[RouterAlert()]) / message

    def answer(self, sender):
        """What somebody would say to a frame that it got, or says again of one that it sent."""
        rng = self.rng
        own = [frame for who, frame in self.seen if who is sender and (IP in frame or IPv6 in frame)]
        if not own:
            return None
        frame = rng.choice(own).copy()
        ip = frame[IP] if IP in frame else frame[IPv6]
        if frame.dst == sender.mac:
            frame.src, frame.dst, ip.src, ip.dst = frame.dst, frame.src, ip.dst, ip.src
            if TCP in frame:
                tcp = frame[TCP]
                tcp.sport, tcp.dport = tcp.dport, tcp.sport
                tcp.seq, tcp.ack = tcp.ack, (tcp.seq + 1) & 0xffffffff
                tcp.flags = rng.choice(FLAGS)
            elif UDP in frame:
                frame[UDP].sport, frame[UDP].dport = frame[UDP].dport, frame[UDP].sport
            elif ICMP in frame and frame[ICMP].type == 8:
                frame[ICMP].type = 0
            elif ICMPv6EchoRequest in frame:
                frame[ICMPv6EchoRequest].type = 129
        elif TCP in frame:
            frame[TCP].flags = rng.choice(FLAGS)
        for layer in (IP, IPv6, TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6EchoReply):
            if layer in frame and hasattr(frame[layer], "chksum" if layer in (IP, TCP, UDP, ICMP) else "cksum"):
                delattr(frame[layer], "chksum" if layer in (IP, TCP, UDP, ICMP) else "cksum")
        return plain(bytes(frame))

    def ip(self, sender, source=None):
        rng = self.rng
        family = rng.choice(FAMILIES)
        if not source:
            source = sender.address[family] if rng.random() < .8 else self.address(family)
        destination = self.address(family_of(source))
        header = ip_header(source, destination, ttl=rng.choice([0, 1, 2, 64, 64, 64, 64, 255]))
        protocol, layers = self.upper(source)
        if protocol is not None:
            setattr(header, "proto" if family_of(source) == "v4" else "nh", protocol)
        packet = header / self.extension(family_of(source), protocol) / layers if rng.random() < .1 and not protocol and \
            family_of(source) == "v6" else header / layers
        return Ether(src=sender.mac, dst=self.mac_for(sender, destination)) / packet / self.payload()

    def through(self, sender):
        """To what is translated on its way."""
        rng = self.rng
        destination, protocol, port = rng.choice(self.targets[sender.network.object["vrf"]])
        sport = rng.choice(PORTS)
        layers = {"tcp": TCP(sport=sport, dport=port, flags="S"), "udp": UDP(sport=sport, dport=port)}.get(protocol)
        header = ip_header(sender.address[family_of(destination)], destination)
        if not layers:
            setattr(header, "proto" if family_of(destination) == "v4" else "nh", 132)
            layers = Raw(sport.to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(8) + bytes([1, 0, 0, 20, 0, 0, 0, 1])
                         + bytes(12))
        return Ether(src=sender.mac, dst=self.gateway_mac(sender.network)) / header / layers / self.payload()

    def extension(self, family, protocol):
        return self.rng.choice([IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]), IPv6ExtHdrDestOpt(),
                                IPv6ExtHdrRouting(type=0), IPv6ExtHdrFragment(offset=0, m=0, id=1)])

    def mangle(self, data, start=12):
        """A frame that somebody or something has damaged, from byte `start` on."""
        rng = self.rng
        data = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(start, min(len(data), start + 70))] = rng.randrange(256)
        return bytes(data[:rng.randint(start + 2, len(data))] if rng.random() < .3 else data)

    def fragments(self, data):
        """A frame in pieces, mostly whole and in their order; or as it is, if there is nothing to cut."""
        rng = self.rng
        if data[12:15] not in (b"\x08\0\x45", b"\x86\xdd\x60") or len(data) < 80:
            return [data]
        size, number = max(rng.choice([8, 24, 64, 512, 1200]), len(data) // 48 * 8), rng.getrandbits(32)
        pieces = split(data, size, number)
        if rng.random() < .3:
            rng.shuffle(pieces)
        kind = rng.random()
        if kind < .1:
            pieces.insert(rng.randrange(len(pieces)), rng.choice(pieces))
        elif kind < .2:
            del pieces[rng.randrange(len(pieces))]
        elif kind < .3:
            # Others of the same datagram: they overlap.
            pieces.insert(rng.randrange(len(pieces)), rng.choice(split(data, size + 8, number)))
        elif kind < .35:
            pieces[0] = self.mangle(pieces[0], 16)
        return pieces

    def next_of(self, who, make):
        """The next frame of a sender: one of a datagram in pieces, or another."""
        rng = self.rng
        if not self.waiting[who] or rng.random() < .2:
            data = make()
            if rng.random() < .1:
                self.waiting[who] += self.fragments(data)
            else:
                return data
        return self.waiting[who].pop(0) if self.waiting[who] else make()

    def frame(self, sender):
        """One frame of a workload, as bytes."""
        return self.next_of(sender, lambda: self.whole(sender))

    def whole(self, sender):
        rng = self.rng
        kind = rng.random()
        frame = None
        if kind < .35:
            frame = self.answer(sender)
        elif kind < .42:
            frame = self.arp(sender)
        elif kind < .50:
            frame = self.nd(sender)
        elif kind < .60:
            frame = rng.choice([self.dhcp, self.dhcpv6, self.solicit_router, self.membership])(sender)
        elif kind < .75 and self.targets.get(sender.network.object.get("vrf")):
            frame = self.through(sender)
        if frame is None:
            frame = self.ip(sender)
        if rng.random() < .05:
            frame.src = rng.choice(["52:54:00:99:99:99", BROADCAST])
        if rng.random() < .05:
            frame = Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=rng.choice([0, 0, 7])) / frame.payload
        data = bytes(frame)
        return self.mangle(data) if rng.random() < .08 else data

    def from_outside(self):
        """A frame of the router, of somebody behind it, mostly to a workload that is known outside or to the node itself."""
        rng, lab = self.rng, self.lab
        if rng.random() < .3 and (frame := self.answer(self.router)):
            return self.router.tag(bytes(frame))
        family = rng.choice(FAMILIES)
        known = [w.address[family] for w in lab.workloads.values()
                 if any("external" in s for s in w.network.object["subnets"] if (":" in s["cidr"]) == (family == "v6"))]
        own = outside.own("a")[family]
        source = rng.choice([OUTSIDE[family]] * 6 + [self.router.address[family], own, *known])
        destination = rng.choice(known) if known and rng.random() < .8 else own
        if self.public[family] and rng.random() < .5:
            destination = rng.choice(self.public[family])
        header = ip_header(source, destination, ttl=rng.choice([0, 1, 2, 64, 64, 64]))
        protocol, layers = self.upper(source)
        if protocol is not None:
            setattr(header, "proto" if family == "v4" else "nh", protocol)
        data = self.router.tag(bytes(Ether(src=self.router.mac, dst=lab.uplink_mac) / header / layers / self.payload()))
        # With other addresses the device leaves it to the host's kernel.
        start = len(bytes(Ether(dst=BROADCAST) / header)) + 4
        return self.mangle(data, start) if rng.random() < .1 and len(data) > start + 2 else data

    def tunnelled(self):
        """A frame of node b on the underlay, or of somebody who is no node, or no tunnel packet."""
        rng = self.rng
        others = [w for w in self.lab.workloads.values() if not w.node]
        sender = rng.choice(others or list(self.lab.workloads.values()))
        inner = Ether(self.whole(sender))
        if rng.random() < .8:
            there = [w for w in self.lab.workloads.values() if w.node]
            inner.dst = rng.choice(there).mac
            if rng.random() < .3:
                inner.src = self.gateway_mac(sender.network)
        header = ip_header(self.lab.vtep["b"] if rng.random() < .95 else
                           {"v4": "192.0.2.77", "v6": "2001:db8::77"}[family_of(self.lab.vtep["a"])], self.lab.vtep["a"])
        outer = Ether(src="52:54:00:ff:00:02", dst=self.lab.uplink_mac) / header / UDP(
            sport=50000, dport=4789 if rng.random() < .97 else 4790) / VXLAN(
                flags=8 if rng.random() < .95 else 0, vni=sender.network.vni if rng.random() < .95 else 99)
        data = bytes(outer / self.next_of(None, lambda: bytes(inner)))
        # With other outer headers the device leaves it to the host's kernel.
        return self.mangle(data, len(bytes(outer)) - 8) if rng.random() < .1 else data

    def remember(self, who, data):
        frame = plain(data)
        self.seen = [*self.seen[-60:], (who, frame)]

"""What a wire hides is Sluice's own talk, and nothing that only looks like it."""

import pytest
from scapy.all import (ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, TCP, UDP, Ether, IPv6)

from packets import is_membership, is_question, is_unasked_advertisement

GATEWAY = "02:53:4c:00:13:8a"


def hidden(frame):
    data = bytes(frame)
    return is_unasked_advertisement(data) or is_membership(data) or is_question(data)


@pytest.mark.parametrize("transport", [TCP, UDP])
def test_ports_are_no_types(transport):
    """The first byte behind the header is a port's here, and ICMPv6's type in what is hidden."""
    for first in (130, 131, 132, 133, 134, 135, 136, 143):
        for to in ("52:54:00:00:00:01", "33:33:00:00:00:01"):
            frame = Ether(src=GATEWAY, dst=to) / IPv6(src="fd00:2::11", dst="fd00:1::11") / transport(sport=first * 256 + 7)
            assert not hidden(frame), f"{frame.summary()}"


def test_own_talk_is_hidden():
    own = Ether(src=GATEWAY, dst="33:33:00:00:00:01") / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
    assert is_question(bytes(own / ICMPv6ND_NS(tgt="fd00:1::9") / ICMPv6NDOptSrcLLAddr(lladdr=GATEWAY)))
    assert is_unasked_advertisement(bytes(own / ICMPv6ND_RA()))

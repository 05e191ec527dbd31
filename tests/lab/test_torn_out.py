"""As test_hot_unplug.py on a machine without an IOMMU: cards have physical addresses, and one that is pulled is gone before
anybody is told; its registers are no more there."""

import pytest

from test_hot_unplug import ADDRESS, FIRST, SECOND, in_use, put, server
from test_uplink_devices import Stream
from uplinks import carries


@pytest.fixture(scope="module")
def lab(make_lab, node_image):
    with server(make_lab, node_image, iommu=False) as lab:
        yield lab


@pytest.mark.parametrize("model", ["virtio-net-pci", "vmxnet3"])
def test_card_is_torn_out_and_returns(lab, model):
    in_use(lab, model)
    with Stream(lab, "one", "two") as stream:
        lab.guest.pull(FIRST)
        carries(lab, ADDRESS[SECOND])
        stream.progress()
        put(lab, FIRST, model)
        carries(lab, ADDRESS[FIRST])
        stream.progress()


def test_link_is_looked_at(lab):
    """There is no interrupt for it."""
    in_use(lab, "e1000e")
    with Stream(lab, "one", "two") as stream:
        lab.guest.link(FIRST, False)
        carries(lab, ADDRESS[SECOND])
        stream.progress()
        lab.guest.link(FIRST, True)
        carries(lab, ADDRESS[FIRST])
        stream.progress()


def test_driver_waits_for_what_has_gone(lab):
    """For the better part of a minute in all, with the card of the last test. Nobody waits for the driver, and the daemon
    can end meanwhile."""
    with Stream(lab, "one", "two") as stream:
        lab.guest.pull(FIRST)
        carries(lab, ADDRESS[SECOND])
        status = lab.nodes["a"].json("get", "node", "a")["status"]
        assert "is still being closed" in status["devices"][FIRST]["reason"]
        stream.progress()

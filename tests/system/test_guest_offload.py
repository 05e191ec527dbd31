"""What a guest on a vhost-user port leaves to its device, and what it takes unfinished: by the features that it
negotiated, on all kinds of rings."""

import contextlib
import queue
import subprocess
import threading

import pytest

from node import BUILD, eventually
from packets import TCP, UDP, Ether, Raw, fresh_port, ip_header
from virtio import ECN, Sender, checksum_is_right, content

MTU = 1400
RINGS = {
    "split": "",
    "packed": ",packed_vq=1",
    "split in order": ",in_order=1",
    "packed in order": ",packed_vq=1,in_order=1",
    "no mergeable buffers": ",mrg_rxbuf=0",
    "packed, no mergeable buffers": ",packed_vq=1,mrg_rxbuf=0,in_order=0",
}


class Guest:
    """tests/unit/guest.c on a socket; what it receives, as (flags, size, frame)."""

    def __init__(self, workload, ring="split", features=("tx", "rx")):
        device = f"net_virtio_user0,path={workload.path},queue_size=256,mac={workload.mac}{RINGS[ring]}"
        command = ["setpriv", "--pdeathsig", "KILL", BUILD / "tests/unit/guest", device, *features]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.received = queue.Queue()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            words = line.split()
            if words == ["ready"]:
                self.ready.set()
            elif len(words) == 4:
                self.received.put((words[0], int(words[1]), Ether(bytes.fromhex(words[3]))))

    def send(self, frame, flags="-", l2=14, l3=0, l4=0, size=0):
        self.process.stdin.write(f"{flags} {l2} {l3} {l4} {size} {bytes(frame).hex()}\n")
        self.process.stdin.flush()

    def receive(self, port):
        """The next packet from this TCP or UDP source port."""
        while True:
            flags, size, frame = self.received.get(timeout=60)
            if any(layer in frame and frame[layer].sport == port for layer in (TCP, UDP)):
                return flags, size, frame

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def lab(make_lab):
    return guest_lab(make_lab)


@pytest.fixture(scope="module")
def lab_without_programs(make_lab):
    return guest_lab(make_lab, options=["--flow-offload", "off"])


def guest_lab(make_lab, **options):
    lab = make_lab(nodes=("a", "b"), underlay="v4", **options)
    # Frames of the tests' own come in the middle of a stream.
    lab.network("blue", 1, mtu=MTU, connectionTracking={"midStreamPickup": True})
    lab.workload("near", "a", "blue")
    lab.workload("far", "b", "blue")
    lab.up()
    path = lab.directory / "guest.sock"
    guest = lab.workload("guest", "a", "blue", device={"vhostUser": {"path": str(path), "mode": "server"}})
    guest.path = path
    lab.apply(guest.object)
    return lab


@pytest.fixture
def start(lab):
    with starting(lab) as begin:
        yield begin


@contextlib.contextmanager
def starting(lab):
    """Starts guests; they end with the body, and the port is down then."""
    running = []

    def state():
        return lab.nodes["a"].stats()["ports"]["guest"]["state"]

    def begin(*arguments, **options):
        guest = Guest(lab["guest"], *arguments, **options)
        running.append(guest)
        eventually(lambda: guest.ready.is_set() or guest.process.poll() is not None)
        assert guest.process.poll() is None
        eventually(lambda: state() == "up")
        return guest

    yield begin
    for guest in running:
        guest.stop()
    eventually(lambda: state() == "down")


def large(sender, receiver, family, size, port, **fields):
    if family == "v4":
        fields = {"flags": "DF", **fields}
    header = ip_header(sender.address[family], receiver.address[family], **fields)
    layer = TCP(sport=port, dport=80, flags="PA", seq=1000, ack=1)
    return Ether(src=sender.mac, dst=receiver.mac) / header / layer / Raw(content(size))


def header_size(family):
    return 20 if family == "v4" else 40


def with_segmentation(guest, frame, family, size=1000):
    guest.send(frame, "ts" + family[1], 14, header_size(family), 20, size)


def of_port(wire, port, count):
    return [wire.wait_for(lambda frame: TCP in frame and frame[TCP].sport == port) for _ in range(count)]


@pytest.mark.parametrize("ring", RINGS)
def test_segmentation_is_left_to_sluice(lab, start, ring, family):
    """Near and behind a tunnel: in one piece, which the uplink's kernel carries as such."""
    guest = start(ring)
    port = fresh_port()
    for workload in (lab["near"], lab["far"]):
        with_segmentation(guest, large(lab["guest"], workload, family, 50000, port), family)
        frame = of_port(workload.wire, port, 1)[0]
        assert bytes(frame[TCP].payload) == content(50000)


@pytest.mark.parametrize("ring", RINGS)
def test_segments_for_a_tunnel(lab_without_programs, ring, family):
    """Where no program tells the uplink's kernel what is in the tunnel: in segments with right checksums."""
    lab, port = lab_without_programs, fresh_port()
    far = lab["far"]
    with starting(lab) as start:
        with_segmentation(start(ring), large(lab["guest"], far, family, 50000, port), family)
        frames = of_port(far.wire, port, 50)
    assert b"".join(bytes(frame[TCP].payload) for frame in frames) == content(50000)
    assert [frame[TCP].seq for frame in frames] == [1000 + i * 1000 for i in range(50)]
    assert ["P" in frame[TCP].flags for frame in frames] == [False] * 49 + [True]


@pytest.mark.parametrize("ring", RINGS)
def test_as_the_guest_takes_it(lab, start, ring, family):
    """Large frames from another workload arrive whole where the guest takes them so, and in finished segments where it
    does not."""
    near, port = lab["near"], fresh_port()
    whole = "mergeable" not in ring
    guest = start(ring, features=("tx", "rx") if whole else ("tx",))
    sender = Sender(near)
    frame = large(near, lab["guest"], family, 20000, port)
    sender.send_segments(frame, family, 1000)
    if whole:
        flags, size, received = guest.receive(port)
        assert ("l" in flags, size) == (True, 1000)
        assert bytes(received[TCP].payload) == content(20000)
    else:
        got = [guest.receive(port) for _ in range(20)]
        assert b"".join(bytes(received[TCP].payload) for _, _, received in got) == content(20000)
        assert all(checksum_is_right(received) for _, _, received in got)
    sender.close()


def test_cwr_is_the_first_segments(lab, start, family):
    """A guest that has not asked for large frames with CWR (GUEST_ECN) gets them cut, and all others whole."""
    near, guest = lab["near"], start(features=("rx",))
    sender = Sender(near)
    for flags, count in (("PAC", 20), ("PAE", 1)):
        frame = large(near, lab["guest"], family, 20000, port := fresh_port())
        frame[TCP].flags = flags
        sender.send_segments(frame, family, 1000, ECN)
        got = [guest.receive(port) for _ in range(count)]
        assert b"".join(bytes(received[TCP].payload) for _, _, received in got) == content(20000)
        assert ["C" in received[TCP].flags for _, _, received in got] == ["C" in flags] + [False] * (count - 1)
    sender.close()


def test_features_change_with_the_guest(lab, start, family):
    """The same port, with a guest that takes large frames, then with one that takes nothing unfinished."""
    near = lab["near"]
    sender = Sender(near)
    for features, count in ((("rx",), 1), ((), 5), (("rx",), 1)):
        guest, port = start(features=features), fresh_port()
        sender.send_segments(large(near, lab["guest"], family, 5000, port), family, 1000)
        got = [guest.receive(port) for _ in range(count)]
        assert b"".join(bytes(received[TCP].payload) for _, _, received in got) == content(5000)
        guest.stop()
        eventually(lambda: lab.nodes["a"].stats()["ports"]["guest"]["state"] == "down")
    sender.close()


def test_checksum_is_left_to_sluice(lab, start, family):
    """Whatever was in its field."""
    guest, near, port = start(features=("tx",)), lab["near"], fresh_port()
    frame = large(lab["guest"], near, family, 100, port)
    frame[TCP].chksum = 0x1122
    guest.send(frame, "t" + family[1], 14, header_size(family), 20)
    assert bytes(of_port(near.wire, port, 1)[0][TCP].payload) == content(100)


HOSTILE = {
    "segments of 8 bytes": {"size": 8},
    "no size": {"size": 0},
    "IP length too small": {"fields": {"v4": {"len": 900}, "v6": {"plen": 900}}},
    "IP length too large": {"fields": {"v4": {"len": 60000}, "v6": {"plen": 60000}}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_contradictions(lab, start, what, family):
    """Dropped and counted; the guest's next packet passes."""
    guest, near, port = start(), lab["near"], fresh_port()
    options = dict(HOSTILE[what])
    fields = options.pop("fields", {}).get(family, {})
    before = lab.drops()
    frame = large(lab["guest"], near, family, 5000, port, **fields)
    guest.send(frame, "ts" + family[1], 14, header_size(family), 20, **{"size": 1000, **options})
    after = eventually(lambda: (now := lab.drops()) != before and now)
    counted = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)}
    # Without a size the driver asks for nothing, and the frame is too large; it may be that its sender is told.
    assert counted in ({("guest", "offload"): 1}, {("guest", "too-big"): 1}, {("guest", "truncated"): 1})
    with_segmentation(guest, large(lab["guest"], near, family, 5000, port), family)
    assert bytes(of_port(near.wire, port, 1)[0][TCP].payload) == content(5000)


def test_larger_than_any_packet(lab, start):
    """Descriptors for hundreds of kilobytes take no more buffers than a packet may have, and hurt nobody."""
    guest, near, port = start(), lab["near"], fresh_port()
    before = lab.drops()
    frame = large(lab["guest"], near, "v4", 1000, port)
    for _ in range(20):
        guest.send(bytes(frame) + bytes(300000))
    eventually(lambda: sum(lab.drops().values()) >= sum(before.values()) + 20)
    with_segmentation(guest, large(lab["guest"], near, "v4", 5000, port), "v4")
    assert bytes(of_port(near.wire, port, 1)[0][TCP].payload) == content(5000)

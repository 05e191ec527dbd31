"""vhost-user ports: workloads that come, go, crash and come back otherwise, and the socket between them and Sluice."""

import os
import socket
import stat
import struct
import subprocess
import threading
import time

import pytest

from node import eventually
from packets import UDP, Dot1Q, Ether, fresh_port
from testpmd import Guest


@pytest.fixture(scope="module", params=["0", "0,1"], ids=["one worker", "two workers"])
def lab(make_lab, request):
    lab = make_lab(options=["--workers", request.param])
    lab.network("blue", 1)
    lab.network("red", 2)
    lab.workload("raw", "a", "blue")
    lab.workload("one", "a", "blue", kernel=True)
    lab.workload("two", "a", "blue", kernel=True)
    return lab.up()


@pytest.fixture
def guest_port(lab):
    """Adds a vhost-user port to the running lab; it goes with the test."""
    names = []

    def add(name="guest", device=None, mode="server", network="blue", **fields):
        path = lab.directory / f"{name}.sock"
        workload = lab.workload(name, "a", network, device=device or {"vhostUser": {
            "path": str(path), "mode": mode, **fields}})
        workload.path = path
        names.append(name)
        lab.apply(workload.object)
        return workload

    yield add
    for name in reversed(names):
        workload = lab.workloads.pop(name)
        lab.objects.remove(workload.object)
        if any(port["name"] == name for port in lab.nodes["a"].json("get", "ports")):
            lab.nodes["a"].delete("port", name)


@pytest.fixture
def guests():
    running = []

    def start(*arguments, **options):
        guest = Guest(*arguments, **options)
        running.append(guest)
        return guest

    yield start
    for guest in running:
        if guest.process.poll() is None:
            guest.stop()


def state(lab, name="guest"):
    return lab.nodes["a"].stats()["ports"].get(name, {}).get("state")


def wait_up(lab, guest, name="guest"):
    eventually(lambda: state(lab, name) == "up" or guest.process.poll() is not None)
    assert guest.process.poll() is None, guest.text()


def wait_down(lab, name="guest"):
    eventually(lambda: state(lab, name) == "down")


def echoed(lab, port, family="v4", flows=1):
    """Packets to the guest come back; the first ones may be lost while it begins."""
    raw = lab["raw"]
    missing = {fresh_port() for _ in range(flows)}

    def attempt():
        for number in list(missing)[:16]:
            raw.send(raw.frame(port, UDP(sport=number, dport=7), family))
        end = time.monotonic() + 0.2
        while missing and (left := end - time.monotonic()) > 0 and (answer := raw.receive(left)):
            if UDP in answer and answer[UDP].dport in missing:
                assert (answer.src, answer.dst, answer[UDP].sport) == (port.mac, raw.mac, 7)
                missing.discard(answer[UDP].dport)
        return not missing

    eventually(attempt, what=f"testpmd does not answer to {len(missing)} of {flows}")
    raw.wire.drain()


@pytest.mark.parametrize("mode", ["client", "server"])
def test_guest_comes_and_goes(lab, guest_port, guests, mode):
    """The guest is killed and comes back; meanwhile the port is down and says so."""
    port = guest_port(mode=mode)
    raw = lab["raw"]
    assert state(lab) == "down"
    raw.send(raw.frame(port, UDP(sport=fresh_port(), dport=7)))
    eventually(lambda: lab.drops().get(("guest", "port-down")))
    for _ in range(2):
        if mode == "server":
            eventually(port.path.exists)
        guest = guests(port.path, mode == "client")
        wait_up(lab, guest)
        for family in ("v4", "v6"):
            echoed(lab, port, family)
        guest.stop()
        wait_down(lab)
        if mode == "client":
            port.path.unlink(missing_ok=True)
    lab.nodes["a"].delete("port", "guest")
    if mode == "server":
        assert not port.path.exists()


LIVES = [{"queues": 1, "mrg_rxbuf": 0, "in_order": 0},
         {"queues": 4, "packed_vq": 1, "memory": 200},
         {"queues": 2, "packed_vq": 1, "mrg_rxbuf": 0, "in_order": 0},
         {"queues": 3, "in_order": 1, "memory": 96},
         {"queues": 4, "queue_size": 64},
         {"queues": 1, "packed_vq": 1, "in_order": 1, "queue_size": 1024}]


def test_one_port_many_guests(lab, guest_port, guests):
    """Each is killed while packets go to it; the next one has other features, queues and memory."""
    port = guest_port(queues=4)
    for options in LIVES:
        guest = guests(port.path, **options)
        wait_up(lab, guest)
        echoed(lab, port, flows=20)
        echoed(lab, port, "v6")
        frames = [lab["raw"].frame(port, UDP(sport=fresh_port(), dport=7)) for _ in range(200)]
        for frame in frames[:100]:
            lab["raw"].send(frame)
        guest.process.kill()
        for frame in frames[100:]:
            lab["raw"].send(frame)
        guest.stop()
        wait_down(lab)
        lab["raw"].wire.drain()


def test_queue_count_at_run_time(lab, guest_port, guests):
    port = guest_port(queues=4)
    guest = guests(port.path, queues=4)
    wait_up(lab, guest)
    for count in (4, 1, 3, 2):
        guest.set_queues(count)
        echoed(lab, port, flows=30)


def test_more_queues_than_the_port_has(lab, guest_port, guests):
    """It is told how many there are, and refuses or makes do; the port goes on."""
    port = guest_port(queues=2)
    guest = guests(port.path, queues=4)
    eventually(lambda: guest.process.poll() is not None or state(lab) == "up")
    if guest.process.poll() is None:
        guest.stop()
    wait_down(lab)
    guest = guests(port.path, queues=2)
    wait_up(lab, guest)
    echoed(lab, port, flows=10)


def test_a_guest_that_hangs(lab, guest_port, guests):
    """What does not fit into its ring is dropped; nobody else waits; then it goes on."""
    port = guest_port()
    guest = guests(port.path)
    wait_up(lab, guest)
    echoed(lab, port)
    guest.pause()
    frames = [lab["raw"].frame(port, UDP(sport=9, dport=9)) for _ in range(64)]

    def full():
        for frame in frames:
            lab["raw"].send(frame)
        return lab.drops().get(("guest", "queue-full"))

    eventually(full)
    assert lab["one"].ping(lab["two"], "v4") and lab["one"].ping(lab["two"], "v6")
    lab.apply({"kind": "Vrf", "name": "another"})
    guest.go_on()
    lab["raw"].wire.drain()
    echoed(lab, port)


def test_the_newest_guest_has_the_port(lab, guest_port, guests):
    """One that starts anew before the old one is gone."""
    port = guest_port()
    first = guests(port.path)
    wait_up(lab, first)
    echoed(lab, port)
    second = guests(port.path)
    eventually(lambda: len(lab.nodes["a"].events("workload connected", port="guest", device=str(port.path))) >= 2)
    first.stop()
    echoed(lab, port)
    assert state(lab) == "up"
    second.stop()
    wait_down(lab)


@pytest.mark.parametrize("vlan", [False, True], ids=["", "vlan"])
def test_sluice_starts_anew(lab, guest_port, guests, vlan):
    """The guest makes the socket, and is found again; its sub-port too."""
    port = guest_port(mode="client")
    sub = guest_port("sub", {"vlan": {"port": "guest", "id": 9}}, network="red") if vlan else None
    port.path.unlink(missing_ok=True)
    guest = guests(port.path, server=True)
    wait_up(lab, guest)
    echoed(lab, port)
    if vlan:
        tagged_echo(lab, sub)
    lab["raw"].close()
    lab.nodes["a"].stop()
    lab.nodes["a"].start()
    lab["raw"].listen()
    lab["one"].configure()
    lab["two"].configure()
    wait_up(lab, guest)
    echoed(lab, port)
    if vlan:
        tagged_echo(lab, sub)
        assert state(lab, "sub") == "up"
        guest.stop()
        wait_down(lab, "sub")


@pytest.mark.parametrize("mode", ["client", "server"])
def test_sluice_is_upgraded(lab, guest_port, guests, mode):
    """Another process has the guest's rings, where they were; the guest hears of nothing."""
    port = guest_port(mode=mode)
    port.path.unlink(missing_ok=True)
    if mode == "server":
        lab.nodes["a"].delete("port", "guest")
        lab.apply(port.object)
        eventually(port.path.exists)
    guest = guests(port.path, server=mode == "client")
    wait_up(lab, guest)
    echoed(lab, port, flows=40)
    lines = len(lab.nodes["a"].events("workload disconnected"))
    for _ in range(2):
        lab.nodes["a"].json("upgrade")
        assert state(lab) == "up"
        echoed(lab, port, flows=40)
    assert len(lab.nodes["a"].events("workload disconnected")) == lines
    guest.stop()
    wait_down(lab)
    if mode == "client":
        port.path.unlink(missing_ok=True)
    guest = guests(port.path, server=mode == "client")
    wait_up(lab, guest)
    echoed(lab, port)


def test_sluice_is_upgraded_under_traffic(lab, guest_port, guests):
    """Each packet of several connections and queues comes back, once. Not more are under way than rings have room for."""
    port = guest_port(mode="client", queues=2)
    port.path.unlink(missing_ok=True)
    guest = guests(port.path, server=True, queues=2, packed_vq=1)
    wait_up(lab, guest)
    echoed(lab, port, flows=8)
    raw, ports, waiting, seen = lab["raw"], [fresh_port() for _ in range(8)], set(), []
    frames = {number: bytearray(bytes(raw.frame(port, UDP(sport=number, dport=7, chksum=0), payload=bytes(8)))) for number in ports}
    upgrades = threading.Thread(target=lambda: [lab.nodes["a"].json("upgrade") for _ in range(2)])
    upgrades.start()
    sent = 0
    while upgrades.is_alive() or sent < 1000 or waiting:
        if (upgrades.is_alive() or sent < 1000) and len(waiting) < 64:
            frame = frames[ports[sent % 8]]
            frame[-8:] = sent.to_bytes(8)
            raw.wire.socket.send(frame)
            waiting.add(sent)
            sent += 1
        answer = raw.receive(0 if len(waiting) < 64 else 30)
        assert answer or len(waiting) < 64, f"{sorted(waiting)} of {sent} are lost: {lab.drops()}"
        if answer and UDP in answer and answer[UDP].sport == 7:
            number = int.from_bytes(bytes(answer[UDP].payload)[:8])
            waiting.discard(number)
            seen.append(number)
    upgrades.join()
    assert sorted(seen) == list(range(sent))


def tagged_echo(lab, sub):
    """A packet to the sub-port comes back: testpmd leaves the tag where it is."""
    raw, number = lab["raw"], fresh_port()

    def attempt():
        raw.send(raw.frame(sub, UDP(sport=number, dport=7)))
        while answer := raw.receive(0.2):
            if UDP in answer and answer[UDP].dport == number:
                return answer
        return None

    answer = eventually(attempt)
    assert (answer.src, answer[UDP].sport) == (raw.gateway_mac(), 7) and Dot1Q not in answer


# The socket.


def test_long_path(lab, guest_port):
    """A socket's path has at most 107 characters, whoever makes it."""
    for length, fine in ((107, True), (108, False), (200, False)):
        path = str(lab.directory) + "/" + "x" * (length - len(str(lab.directory)) - 1)
        assert len(path) == length
        for mode in ("server", "client"):
            value = {"kind": "Port", "name": "long", "node": "a", "network": "blue", "mac": "52:54:00:00:99:99",
                     "device": {"vhostUser": {"path": path, "mode": mode}}}
            result = lab.nodes["a"].run("apply", "-f", "-", input=str(value).replace("'", '"'))
            if fine:
                assert result.returncode == 0, result.stderr
                assert state(lab, "long") == "down"
                assert os.path.exists(path) == (mode == "server")
                lab.nodes["a"].delete("port", "long")
            else:
                assert result.returncode == 1
                assert result.stderr == ("<stdin>:1: Port/long: device.vhostUser.path: "
                                         f"has {length} characters, a socket's path at most 107\n")


def socket_of(path):
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def test_a_connection_ends_while_its_port_goes(lab, guest_port):
    """Whoever is first: the port comes back, and finds the socket again."""
    port = guest_port(mode="client")
    lab.nodes["a"].delete("port", "guest")
    port.path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(port.path))
        listening.listen()
        listening.settimeout(60)
        for _ in range(40):
            lab.apply(port.object)
            accepted, _ = listening.accept()
            accepted.close()
            lab.nodes["a"].delete("port", "guest")
        lab.apply(port.object)
        for _ in range(2):
            listening.accept()[0].close()


def test_permissions(lab, guest_port, guests):
    port = guest_port(permissions="0620", owner="nobody", group="1234")
    assert socket_of(port.path) == (0o620, 65534, 1234)
    device = port.object["device"]["vhostUser"]
    for change, expected in (({"permissions": "777"}, (0o777, 65534, 1234)), ({"owner": "", "group": "daemon"}, (0o777, 0, 1)),
                             ({"permissions": "", "group": ""}, (0o755, 0, 0)), ({"group": "0"}, (0o755, 0, 0))):
        device.update(change)
        lab.apply(port.object)
        assert socket_of(port.path) == expected
    device["owner"] = "nobody-at-all"
    lab.apply(port.object)
    assert "no user 'nobody-at-all' on this node" in state(lab)
    assert not port.path.exists()
    device.update(owner="4321", permissions="0600")
    lab.apply(port.object)
    assert socket_of(port.path) == (0o600, 4321, 0)
    guest = guests(port.path)
    wait_up(lab, guest)
    echoed(lab, port)


CLIENT = """
import socket, sys, errno
seen = set()
print("begun", flush=True)
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(sys.argv[1])
        seen.add("connected")
    except OSError as problem:
        seen.add(errno.errorcode[problem.errno])
    made.close()
print(*sorted(seen))
"""


def test_no_moment_without_permissions(lab, guest_port):
    """Somebody else who tries all the time is never let in."""
    os.chmod(lab.directory, 0o755)
    path = lab.directory / "guest.sock"
    client = subprocess.Popen(["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "/usr/bin/python3", "-c", CLIENT, path],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdout.readline() == "begun\n"
    port = guest_port(permissions="0600", owner="4321")
    for number in range(20):
        port.object["device"]["vhostUser"]["permissions"] = "0600" if number % 2 else "0660"
        lab.apply(port.object)
    output, _ = client.communicate("end\n", timeout=60)
    assert set(output.split()) <= {"EACCES", "ENOENT"} and "EACCES" in output, output


def test_path_that_another_has(lab, guest_port):
    """Nobody's file or socket is taken away; a socket that nobody listens on is."""
    path = lab.directory / "guest.sock"
    path.write_text("precious", encoding="utf-8")
    port = guest_port()
    assert "is not a socket" in state(lab)
    assert path.read_text(encoding="utf-8") == "precious"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        lab.change(port, mac="52:54:00:00:77:77")
        eventually(lambda: "another process listens" in state(lab))
    eventually(lambda: state(lab) == "down")


def message(request, payload=b"", flags=1, size=None):
    return struct.pack("<III", request, flags, len(payload) if size is None else size) + payload


HOSTILE = {
    "half a header": b"\1\0\0",
    "half a message": message(3, size=8) + b"\0",
    "no such request": message(999),
    "wrong version": message(1, flags=0),
    "a payload of gigabytes": message(5, size=0xffffffff),
    "memory without descriptors": message(5, struct.pack("<IIQQQQ", 1, 0, 0, 4096, 0, 0)),
    "a ring that isn't": message(8, struct.pack("<II", 0xffff, 256)),
    "ring addresses of nothing": message(9, struct.pack("<IIQQQQ", 0, 0, 1 << 40, 2 << 40, 3 << 40, 0)),
    "a kick without a descriptor": message(12, struct.pack("<Q", 1)),
    "a ring of odd size": message(8, struct.pack("<II", 0, 3)),
    "features that are none": message(2, struct.pack("<Q", (1 << 64) - 1)),
}


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_guest_takes_its_memory_away(lab, guest_port, guests, mode):
    """What it maps into Sluice ends in the middle of the traffic; that is the end of its port's connection alone."""
    port = guest_port(mode=mode)
    guest = guests(port.path, mode == "client")
    wait_up(lab, guest)
    echoed(lab, port)
    # It must not notice it first.
    guest.pause()
    held = [f"/proc/{guest.process.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{guest.process.pid}/fd")]
    memory = [path for path in held if os.readlink(path).startswith("/memfd:")]
    assert memory
    for path in memory:
        os.truncate(path, 0)
    raw = lab["raw"]
    for _ in range(64):
        raw.send(raw.frame(port, UDP(sport=fresh_port(), dport=7)))
    eventually(lambda: "taken its memory away" in lab.nodes["a"].text())
    lab.check()
    assert lab["one"].ping(lab["two"])
    guest.stop()
    if mode == "server":
        eventually(port.path.exists)
    else:
        port.path.unlink()  # the dead guest's
    again = guests(port.path, mode == "client")
    wait_up(lab, again)
    echoed(lab, port)


def test_silent_connections(lab, guest_port, guests):
    """Any number of those who say nothing, or half of something, before a guest and beside it."""
    port = guest_port()
    silent = []

    def crowd():
        for number in range(20):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(port.path))
            silent.append(client)
            client.sendall((message(3) + message(8, size=8))[:number])

    try:
        crowd()
        guest = guests(port.path)
        wait_up(lab, guest)
        echoed(lab, port)
        crowd()
        echoed(lab, port)
        assert state(lab) == "up"
    finally:
        for client in silent:
            client.close()
    echoed(lab, port)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages(lab, guest_port, guests, name):
    """They cost their sender the connection; other ports, and the next guest, don't notice."""
    port = guest_port()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(port.path))
        client.sendall(message(3) + HOSTILE[name])
        assert lab["one"].ping(lab["two"])
        assert state(lab) == "down"
        # The control thread has to wait for nobody.
        port.object["device"]["vhostUser"]["path"] = str(lab.directory / "guest2.sock")
        lab.apply(port.object)
        eventually((lab.directory / "guest2.sock").exists)
    if name == "half a message":
        guest = guests(lab.directory / "guest2.sock")
        wait_up(lab, guest)
        echoed(lab, port)


def test_tag_that_nobody_has(lab, guest_port, guests):
    """A guest that sends with a tag, while the port has no VLANs: dropped, whatever the device."""
    port = guest_port()
    sub = guest_port("sub", {"vlan": {"port": "guest", "id": 9}}, network="red")
    guest = guests(port.path)
    wait_up(lab, guest)
    echoed(lab, port)
    tagged_echo(lab, sub)
    lab.nodes["a"].delete("port", "sub")
    assert state(lab, "sub") is None
    frame = lab["raw"].frame(port, UDP(sport=1, dport=2))
    before = lab.drops().get(("raw", "vlan"), 0)
    lab["raw"].send(Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=9) / frame.payload)
    eventually(lambda: lab.drops().get(("raw", "vlan"), 0) == before + 1)

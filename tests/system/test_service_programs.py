"""Programs as they are, while the node that they talk through is serviced or fails: none of them notices.

Rules allow what opens connections, so that all else passes only because its connection is known.
"""

import contextlib
import hashlib
import os
import pathlib
import select
import signal
import socket
import sys
import threading

import pytest

import netns
import testpmd
from node import DEADLINE, eventually
from test_upgrade import processes
from uplinks import cable, carries

# One iperf3 serves one client at a time, and one nc one alone: it goes on listening beside the next one.
IPERF, SHELL, HTTP, NUMBERS = {"client": 5201, "guest": 5202}, {"client": 22, "guest": 2222}, 80, 53
FILE_SIZE, FILE_RATE = 8 << 20, 4 << 20
SO_RCVBUFFORCE = 33


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(["a", "b"], "v4", options=("--workers", "0,1"))
    netns.ip(lab.nodes["a"].netns, "link del up0")
    for device in ("up0", "up1"):
        cable(lab, device)
    node = next(o for o in lab.objects if (o["kind"], o["name"]) == ("Node", "a"))
    node["uplink"] = {"devices": [{"netdev": "up0"}, {"netdev": "up1"}]}
    lab.network("blue", 1)
    lab.group("clients", {"direction": "egress"})
    lab.group("servers", *[{"direction": "ingress", "protocol": "tcp", "ports": str(port)} for port in ("5201-5202", HTTP, *SHELL.values())],
              {"direction": "ingress", "protocol": "udp", "ports": str(NUMBERS)})
    lab.workload("client", "a", "blue", kernel=True, securityGroups=["clients"])
    lab.workload("server", "b", "blue", kernel=True, veth=True, securityGroups=["servers"])
    lab.workload("guest", "a", "blue", kernel=True, securityGroups=["clients"], device={
        "vhostUser": {"path": str(lab.directory / "guest.sock"), "mode": "client"}})
    behind = Behind(lab["guest"])
    lab.up()
    carries(lab, "up0")
    with servers(lab["server"], lab.directory):
        yield lab
    behind.stop()


class Behind:
    """A vhost-user workload, whose process carries packets between Sluice and a kernel."""

    def __init__(self, workload):
        self.workload = workload
        self.process = None
        self.netns = netns.make("behind", silent=True)
        workload.lab.namespaces.append(self.netns)
        netns.ip(self.netns, f"link add veth0 mtu 1450 type veth peer name eth0 mtu 1450 address {workload.mac} netns "
                 f"{workload.netns}", "link set veth0 up")
        netns.ip(workload.netns, "link set eth0 up")
        # A packet socket passes on no checksum that is still to be made.
        netns.run("nsenter", f"--net=/run/netns/{workload.netns}", "ethtool", "-K", "eth0", "tx", "off")
        workload.behind = self

    def start(self):
        path = pathlib.Path(self.workload.object["device"]["vhostUser"]["path"])
        path.unlink(missing_ok=True)
        with netns.inside(self.netns):
            self.process = testpmd.Testpmd([f"net_virtio_user0,path={path},server=1", "net_af_packet0,iface=veth0"], 128,
                                   "--forward-mode=io")
        self.workload.lab.ports_up("guest")

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None


def listens(workload, port):
    command = ["nsenter", f"--net=/run/netns/{workload.netns}", "ss", "-Hltn", f"sport = :{port}"]
    eventually(lambda: netns.run(*command), what=f"nobody listens at {port}")


@contextlib.contextmanager
def servers(workload, directory):
    content = directory / "www"
    content.mkdir()
    data = os.urandom(FILE_SIZE)
    (content / "file").write_bytes(data)
    workload.digest = hashlib.sha256(data).hexdigest()
    running = [workload.popen("iperf3", "--server", "--port", str(port)) for port in IPERF.values()]
    running.append(workload.popen(sys.executable, "-m", "http.server", str(HTTP), "--directory", str(content)))
    try:
        for port in (*IPERF.values(), HTTP):
            listens(workload, port)
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


class Numbers:
    """Numbered datagrams, both ways between two workloads."""

    def __init__(self, client, server):
        self.ends = [client.open_socket(kind=socket.SOCK_DGRAM), server.open_socket(kind=socket.SOCK_DGRAM)]
        self.ends[0].bind((client.address["v4"], 0))
        self.ends[1].bind((server.address["v4"], NUMBERS))
        for end, other in zip(self.ends, reversed(self.ends)):
            end.connect(other.getsockname())
            end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            end.setblocking(False)
        self.sent, self.got = 0, [[], []]
        self.stopped = threading.Event()
        # The first one opens the connection.
        self.ends[0].send(b"0")
        eventually(self.opened)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def opened(self):
        try:
            return self.ends[1].recv(100)
        except BlockingIOError:
            return None

    def _run(self):
        while not self.stopped.wait(0.002):
            self.sent += 1
            for end in self.ends:
                with contextlib.suppress(BlockingIOError):
                    end.send(b"%d" % self.sent)
            self.take()
        # What is still on its way.
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.take() or self.lost() == 0, 1)

    def take(self):
        for end, got in zip(self.ends, self.got):
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(int(end.recv(100)))

    def lost(self):
        return 2 * self.sent - sum(len(set(got)) for got in self.got)

    def goes_on(self):
        for got in self.got:
            seen = len(got)
            eventually(lambda got=got, seen=seen: len(got) > seen + 20)

    def close(self):
        self.stopped.set()
        self.thread.join()
        for end in self.ends:
            end.close()


class Programs:
    """What runs from one workload to another: begun before something happens, and to end well after it."""

    def __init__(self, client, server, where):
        self.server, self.file = server, where / f"{client}.file"
        address = server.address["v4"]
        port = SHELL[client.name]
        self.shell = [server.popen("nc", "-N", "-l", address, str(port), stdin=-1)]
        listens(server, port)
        self.shell.append(client.popen("nc", "-N", address, str(port), stdin=-1))
        self.said()
        self.numbers = Numbers(client, server)
        self.bulk = client.popen("iperf3", "--client", address, "--port", str(IPERF[client.name]), "--time", "2", "--bitrate", "20M")
        self.download = client.popen("curl", "-sS", "--limit-rate", str(FILE_RATE), "-o", str(self.file),
                                     f"http://{address}:{HTTP}/file")
        eventually(lambda: self.file.exists() and self.file.stat().st_size)
        self.numbers.goes_on()

    def said(self):
        """The server first, in a connection on which nothing was said meanwhile."""
        for end, other in (self.shell[::-1], self.shell):
            other.stdin.write("a line\n")
            other.stdin.flush()
            assert select.select([end.stdout], [], [], DEADLINE)[0], "what was said does not come"
            assert end.stdout.readline() == "a line\n"

    def end(self):
        self.said()
        self.numbers.goes_on()
        for end in reversed(self.shell):
            end.stdin.close()
            assert end.wait(DEADLINE) == 0
        for program in (self.bulk, self.download):
            text, _ = program.communicate(timeout=DEADLINE)
            assert program.returncode == 0 and "error" not in text, text
        assert hashlib.sha256(self.file.read_bytes()).hexdigest() == self.server.digest

    def __enter__(self):
        return self

    def __exit__(self, kind, *_failure):
        try:
            if not kind:
                self.end()
        finally:
            self.numbers.close()
            for program in (*self.shell, self.bulk, self.download):
                program.kill()
                program.wait()
                for file in (program.stdin, program.stdout):
                    if file and not file.closed:
                        file.close()


# What happens, always to node a.

def planned_move(lab):
    lab.nodes["a"].ok("drain", "uplink", "up0")
    carries(lab, "up1")
    lab.nodes["a"].ok("undrain", "uplink", "up0")
    carries(lab, "up0")


def device_is_removed(lab):
    netns.ip(lab.nodes["a"].netns, "link del up0")
    carries(lab, "up1")
    cable(lab, "up0")
    carries(lab, "up0")


def link_goes_down(lab):
    netns.ip(lab.switch, "link set up0-a down")
    carries(lab, "up1")
    netns.ip(lab.switch, "link set up0-a up")
    carries(lab, "up0")


def upgrade(lab):
    lab.nodes["a"].json("upgrade")


def kill(lab):
    """Also of a process that took the place of another."""
    node = lab.nodes["a"]
    [process] = eventually(lambda: len(processes(node)) == 1 and processes(node))
    os.kill(process, signal.SIGKILL)
    eventually(lambda: node.process.poll() is not None)
    node.process = None
    node.start()


@pytest.mark.parametrize("event, loses", [(planned_move, False), (link_goes_down, True), (device_is_removed, True),
                                          (upgrade, False), (kill, True)])
def test_programs_notice_nothing(lab, tmp_path, event, loses):
    with Programs(lab["client"], lab["server"], tmp_path) as programs:
        event(lab)
    assert loses or programs.numbers.lost() == 0


def test_workload_starts_again(lab, tmp_path):
    """Its process is killed, and makes its socket anew; what it carried goes on, and nobody else lost anything."""
    behind = lab["guest"].behind
    behind.start()
    with Programs(lab["client"], lab["server"], tmp_path) as others, Programs(lab["guest"], lab["server"], tmp_path):
        behind.stop()
        others.numbers.goes_on()
        behind.start()
    assert others.numbers.lost() == 0

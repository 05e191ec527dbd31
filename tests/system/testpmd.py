"""testpmd, as what is at the other side of virtio sockets: a guest, a wire between two ports, a device under load."""

import os
import re
import shutil
import signal
import subprocess

import netns
from node import eventually


class Testpmd:
    """A process with these devices, as DPDK names them; `arguments` are those behind EAL's. The directory ends with it."""

    def __init__(self, devices, memory, *arguments, directory=None):
        self.directory = directory or netns.directory()
        command = ["setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", "dpdk-testpmd", "-l", "0,1", "--no-pci", "--no-huge",
                   "--no-shconf", "-m", str(memory), *(f"--vdev={device}" for device in devices), "--", "-i",
                   "--total-num-mbufs=4096", "--auto-start", *arguments]
        self.log = open(self.directory / "log", "w", encoding="utf-8")
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.directory)}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log,
                                        env=environment, text=True)

    def text(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def command(self, text):
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """It is killed: a crash."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Guest(Testpmd):
    """DPDK's own virtio driver on a vhost-user port. It sends everything back, with addresses and ports exchanged.

    `server`: it makes the socket. Other options are the virtio-user device's, as packed_vq=1.
    """

    def __init__(self, path, server=False, queues=1, memory=128, **options):
        device = ",".join([f"net_virtio_user0,path={path},queues={queues}"] + (["server=1"] if server else [])
                          + [f"{key}={value}" for key, value in options.items()])
        super().__init__([device], memory, "--forward-mode=5tswap", "--port-topology=loop", f"--rxq={queues}",
                         f"--txq={queues}")

    def set_queues(self, count):
        """At run time, as `ethtool -L` does."""
        for text in ("stop", "port stop all", f"port config all rxq {count}", f"port config all txq {count}",
                     "port start all", "start"):
            self.command(text)
        self.answered()

    def answered(self):
        """Has done all that it was told."""
        seen = self.text().count("Number of available ports")
        self.command("show port summary all")
        eventually(lambda: self.text().count("Number of available ports") > seen or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()


class Wire(Testpmd):
    """Between two vhost-user ports: what comes from one goes to the other as it is."""

    def __init__(self, paths):
        super().__init__([f"net_virtio_user{number},path={path},queues=1" for number, path in enumerate(paths)], 128,
                         "--forward-mode=io", "--port-topology=paired")


class Device(Testpmd):
    """A device under load: makes two vhost-user sockets, and gives each one's packets to the other."""

    def __init__(self):
        directory = netns.directory()
        self.sockets = [directory / "v0", directory / "v1"]
        super().__init__([f"net_vhost{i},iface={path}" for i, path in enumerate(self.sockets)], 64, "--forward-mode=io",
                         directory=directory)
        eventually(lambda: all(path.exists() for path in self.sockets) and self.text().endswith("testpmd> ")
                   or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()

    def _ask(self, text, answer):
        seen = len(self.text())
        self.command(text)
        return eventually(lambda: re.findall(answer, self.text()[seen:]) or None)

    def reset(self):
        self._ask("clear port stats all", "testpmd> ")

    def forward(self, mode):
        """`io`, or `rxonly`: what comes is dropped."""
        self._ask("stop", r"Done\.")
        self._ask(f"set fwd {mode}", f"Set {mode} packet forwarding mode")
        self._ask("start", f"{mode} packet forwarding")

    def received(self):
        """Packets that came into either port, since reset()."""
        eventually(lambda: len(self._ask("show port stats all", r"RX-packets: (\d+)")) == 2)
        return [int(count) for count in re.findall(r"RX-packets: (\d+)", self.text())[-2:]]

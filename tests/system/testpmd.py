"""testpmd as a guest: DPDK's own virtio driver on a vhost-user port. It sends everything back, with addresses and ports
exchanged."""

import os
import shutil
import signal
import subprocess

import netns
from node import eventually


class Guest:
    """`server`: it makes the socket. Other options are the virtio-user device's, as packed_vq=1."""

    def __init__(self, path, server=False, queues=1, memory=128, **options):
        device = ",".join([f"net_virtio_user0,path={path},queues={queues}"] + (["server=1"] if server else [])
                          + [f"{key}={value}" for key, value in options.items()])
        self._start([device], memory, "--forward-mode=5tswap", "--port-topology=loop", f"--rxq={queues}",
                    f"--txq={queues}")

    def _start(self, devices, memory, *arguments):
        self.directory = netns.directory()
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


class Wire(Guest):
    """Between two vhost-user ports: what comes from one goes to the other as it is."""

    def __init__(self, paths):  # pylint: disable=super-init-not-called
        self._start([f"net_virtio_user{number},path={path},queues=1" for number, path in enumerate(paths)], 128,
                    "--forward-mode=io", "--port-topology=paired")

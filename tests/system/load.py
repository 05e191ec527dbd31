"""The benchmarks' load (bench/load/), and testpmd as a device that gives each port's packets to the other."""

import json
import os
import re
import shutil
import subprocess

import netns
from node import BUILD, eventually

LOAD = BUILD / "bench" / "load"
EAL = ["--no-pci", "--no-huge", "--no-telemetry", "--no-shconf", "-m", "64", "--lcores", "0"]


def run(*options):
    """Runs it to its end, whatever that is."""
    return subprocess.run([LOAD, *EAL, "--", *map(str, options)], capture_output=True, text=True, check=False, timeout=60)


def measure(sockets, *options, eal=(), until=lambda line: line["phase"] == "steady" and min(
        port["received"] for port in line["ports"]) > 500):
    """Lets it run between two devices' sockets until a line says so; all lines, the last one final."""
    ports = [] if eal else [word for path in sockets for word in ("--vhost-user", f"path={path}")]
    command = ["setpriv", "--pdeathsig", "KILL", LOAD, *EAL, *eal, "--", *ports, "--seconds", "100", "--drain", "5000",
               *map(str, options)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            lines.append(json.loads(text))
            if until(lines[-1]):
                process.terminate()
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert [line.get("final", False) for line in lines] == [False] * (len(lines) - 1) + [True]
    assert until(lines[-1]), lines[-1]
    return lines


class Wire:
    """testpmd in io mode between two vhost-user sockets that it makes."""

    def __init__(self):
        self.directory = netns.directory()
        self.sockets = [self.directory / "v0", self.directory / "v1"]
        devices = [f"--vdev=net_vhost{i},iface={path}" for i, path in enumerate(self.sockets)]
        command = ["setpriv", "--pdeathsig", "KILL", "stdbuf", "-oL", "dpdk-testpmd", "-l", "0,1", "--no-pci", "--no-huge",
                   "--no-shconf", "-m", "64", *devices, "--", "-i", "--total-num-mbufs=4096", "--forward-mode=io",
                   "--auto-start"]
        self.log = open(self.directory / "log", "w", encoding="utf-8")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, text=True,
                                        env={**os.environ, "XDG_RUNTIME_DIR": str(self.directory)})
        eventually(lambda: all(path.exists() for path in self.sockets) and self.text().endswith("testpmd> ")
                   or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()

    def text(self):
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def _command(self, text, answer):
        seen = len(self.text())
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()
        return eventually(lambda: re.findall(answer, self.text()[seen:]) or None)

    def reset(self):
        self._command("clear port stats all", "testpmd> ")

    def forward(self, mode):
        """`io`, or `rxonly`: what comes is dropped."""
        self._command("stop", r"Done\.")
        self._command(f"set fwd {mode}", f"Set {mode} packet forwarding mode")
        self._command("start", f"{mode} packet forwarding")

    def received(self):
        """Packets that came into either port, since reset()."""
        eventually(lambda: len(self._command("show port stats all", r"RX-packets: (\d+)")) == 2)
        return [int(count) for count in re.findall(r"RX-packets: (\d+)", self.text())[-2:]]

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

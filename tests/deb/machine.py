"""A small Debian in which the package is installed, with systemd as its first process."""

import json
import os
import pathlib
import signal
import subprocess
import time

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build")
HERE = pathlib.Path(__file__).resolve().parent
MIRROR = "http://deb.debian.org/debian"
DEADLINE = 60


def eventually(condition, what, deadline=DEADLINE):
    """Asks again until the answer is true; the answer."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.05)


def root():
    """The Debian without the package; made once for a build directory."""
    directory = BUILD / "debian"
    if not directory.exists():
        fresh = BUILD / "debian.new"
        subprocess.run(["rm", "-rf", "--one-file-system", fresh], check=True)
        subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd,iproute2,iputils-ping", "bookworm", fresh,
                        MIRROR], check=True, stdout=subprocess.DEVNULL)
        fresh.rename(directory)
    return directory


def package():
    found = [file for file in (BUILD / "deb").glob("sluice_*.deb")]
    assert len(found) == 1, f"{found}: make deb"
    return found[0]


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Machine:
    def __init__(self):
        self.deb = "/var/cache/sluice.deb"
        base = root()
        # Beside the root's own files, so that nothing has to be mounted for it.
        copy = base / self.deb[1:]
        copy.write_bytes(package().read_bytes())
        install = ("export DEBIAN_FRONTEND=noninteractive; apt-get -q update; "
                   f"apt-get -q -y --no-install-recommends install {self.deb}")
        self.process = subprocess.Popen([HERE / "boot", base, install], stdin=subprocess.DEVNULL)
        self.init = eventually(self._init, "systemd runs", 240)
        eventually(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), "boot")

    def _init(self):
        """The process number of its systemd, seen from here."""
        assert self.process.poll() is None, f"the machine ended with {self.process.returncode}"
        pid = self.process.pid
        while True:
            try:
                if pathlib.Path(f"/proc/{pid}/exe").resolve().name == "systemd":
                    return pid
                below = children(pid)
            except (FileNotFoundError, ProcessLookupError):
                return None
            if not below:
                return None
            pid = below[0]

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.init, signal.SIGRTMIN + 4)  # poweroff.target
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                os.kill(self.init, signal.SIGKILL)
                self.process.wait()

    def run(self, *command, **options):
        return subprocess.run(["nsenter", "-t", str(self.init), "-a", *map(str, command)], capture_output=True,
                              text=True, check=False, timeout=DEADLINE, **options)

    def ok(self, *command, **options):
        result = self.run(*command, **options)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}\n{self.log()}"
        return result.stdout

    def shell(self, script):
        return self.ok("bash", "-euc", script)

    def log(self):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", "sluiced").stdout

    def unit(self, name):
        return self.ok("systemctl", "show", "sluiced", "--value", "-p", name).strip()

    def active(self):
        return eventually(lambda: self.unit("ActiveState") == "active", "sluiced runs")

    def sluice(self, *arguments):
        return json.loads(self.ok("sluice", *arguments, "-o", "json"))

    def apply(self, text):
        return self.ok("sluice", "apply", "-f", "-", input=text)

    def drop_in(self, text):
        """Settings of the unit, beside its own."""
        self.shell("mkdir -p /etc/systemd/system/sluiced.service.d")
        self.ok("tee", "/etc/systemd/system/sluiced.service.d/test.conf", input=text)
        self.ok("systemctl", "daemon-reload")

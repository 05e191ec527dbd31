"""Unmodified DHCP clients of the distribution, each in a system of its own: what they write to /etc or /run stays there."""

import json
import pathlib
import re
import subprocess

import netns
from node import eventually

# Files of the machine that clients write, laid over with a copy in memory.
PRIVATE = "/etc /run /var/lib"
SETUP = f"""
mount -t tmpfs none /mnt && for d in {PRIVATE}; do
    name=$(echo $d | tr / -)
    mkdir /mnt/$name /mnt/work$name
    mount -t overlay overlay -o lowerdir=$d,upperdir=/mnt/$name,workdir=/mnt/work$name $d || exit 1
done
mount -o remount,ro /sys 2> /dev/null || mount -t sysfs -o ro none /sys || exit 1
mkdir -p /var/lib/dhcp /var/lib/dhcpcd
rm -f /etc/resolv.conf
# Not as process 1: some then write their log elsewhere.
"$@"
exit
"""


class Client:
    """A program in a workload's namespace; `log` is what it says. Files it has written are seen under `root`."""

    def __init__(self, workload, *command, files=None):
        setup = "".join(f"mkdir -p $(dirname {name}); printf '%s' '{text}' > {name}\n"
                        for name, text in (files or {}).items())
        self.workload = workload
        self.log_path = pathlib.Path(workload.lab.directory) / f"{workload.name}-{pathlib.Path(command[0]).name}.log"
        with netns.inside(workload.netns), open(self.log_path, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--propagation", "private",
                 # What it leaves running ends with it.
                 "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", SETUP.replace("# Not", setup + "# Not"), "sh", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    @property
    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def read(self, path):
        """A file as the client's system has it; empty where there is none."""
        try:
            return pathlib.Path(f"/proc/{self.process.pid}/root{path}").read_text(encoding="utf-8")
        except OSError:
            return ""

    def wait(self):
        return self.process.wait(60)

    def stop(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def addresses(workload, family=None, lasting=False):
    """What the kernel has on the workload's interface, as address/length; link-local ones left out."""
    found = json.loads(netns.run("ip", "-n", workload.netns, "-j", "addr", "show", "dev", workload.interface))[0]
    return sorted(f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"]
                  if a["scope"] == "global" and not a.get("tentative")
                  and (family is None or (":" in a["local"]) == (family == "v6")))


def routes(workload, family="v4"):
    """Destination and next hop of each route that is not the kernel's own."""
    version = "-4" if family == "v4" else "-6"
    found = json.loads(netns.run("ip", "-n", workload.netns, version, "-j", "route", "show", "dev", workload.interface))
    return {route["dst"]: route.get("gateway") for route in found}


def mtu(workload):
    return json.loads(netns.run("ip", "-n", workload.netns, "-j", "link", "show", "dev", workload.interface))[0]["mtu"]


def has(workload, *expected, family=None):
    """Waits until the workload has exactly these addresses."""
    eventually(lambda: addresses(workload, family) == sorted(expected), 30,
               f"{workload}: not the addresses {expected}")


def set_ipv6(workload, **values):
    """Sysctls of the workload's interface."""
    for key, value in values.items():
        with netns.inside(workload.netns):
            pathlib.Path(f"/proc/sys/net/ipv6/conf/{workload.interface}/{key}").write_text(str(value), encoding="ascii")


def reset(workload):
    """The interface as at a first boot."""
    netns.ip(workload.netns, f"addr flush dev {workload.interface}", f"link set {workload.interface} down")
    set_ipv6(workload, addr_gen_mode=0)
    netns.ip(workload.netns, f"link set {workload.interface} up")


def words(text):
    return re.split(r"\s+", text.strip())

"""A server in a guest: sluiced runs inside, with PCI cards of QEMU's own that can be pulled and put back."""

import base64
import fcntl
import json
import os
import shlex
import struct
import subprocess

import netns
from guest import KERNEL, Guest
from node import SANITIZER, eventually, log_event

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
API, LOG = "/run/sluiced.sock", "/run/sluiced.log"


def tap(namespace, name):
    """An interface that is the far end of a card's cable; the file is for QEMU."""
    with netns.inside(namespace):
        file = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    netns.ip(namespace, f"link set {name} up")
    return file


class NodeGuest(Guest):
    """A machine with one slot for each file in `cables` (see tap); what is in it is plugged while it runs.

    With `iommu` devices are driven by vfio-pci, without one by uio_pci_generic.
    """

    def __init__(self, name, directory, image, cables, iommu=True, memory=768):
        self.cables, self.iommu = list(cables), iommu
        self.files = self.cables
        super().__init__(name, directory, image, [], cpus=2, memory=memory)

    def _command(self, image, nics, cpus, memory):
        kernel, initramfs = image
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config",
                   "-display", "none", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
                   "-smp", str(cpus), "-m", str(memory),
                   "-chardev", f"socket,id=console,path={self._path('console')},server=on,wait=off",
                   "-serial", "chardev:console", "-qmp", f"unix:{self._path('qmp')},server=on,wait=off",
                   "-kernel", kernel, "-initrd", initramfs,
                   "-append", f"{KERNEL} loglevel=1 hugepages=112 intel_iommu={'on' if self.iommu else 'off'}"]
        if self.iommu:
            command += ["-device", "intel-iommu,intremap=on,device-iotlb=on"]
        for slot, file in enumerate(self.cables):
            command += ["-netdev", f"tap,id=cable{slot},fd={file}",
                        "-device", f"pcie-root-port,id=slot{slot},bus=pcie.0,chassis={slot + 1},slot={slot + 1}"]
        return command

    # Its slots.

    @staticmethod
    def address(slot):
        return f"0000:{slot + 1:02x}:00.0"

    def plug(self, slot, model, mac):
        more = {}
        if model == "virtio-net-pci":
            more = {"disable-legacy": "on", "iommu_platform": "on" if self.iommu else "off"}
        self.monitor("device_add", driver=model, id=f"card{slot}", bus=f"slot{slot}", netdev=f"cable{slot}", mac=mac,
                     **more)
        eventually(lambda: self.succeeds(f"test -e /sys/bus/pci/devices/{self.address(slot)}/driver_override"))

    def bind(self, slot):
        """As driverctl does it."""
        address, driver = self.address(slot), "vfio-pci" if self.iommu else "uio_pci_generic"
        self.run(f"echo {driver} > /sys/bus/pci/devices/{address}/driver_override")
        # The kernel may not be done yet with what has just come, and gives it to no driver then.
        eventually(lambda: self.succeeds(f"echo {address} > /sys/bus/pci/drivers_probe; "
                                         f"test -e /sys/bus/pci/drivers/{driver}/{address}"))

    def pull(self, slot):
        """Asks the guest for it, as a hypervisor does; it is out when this returns."""
        self.monitor("device_del", id=f"card{slot}")
        eventually(lambda: not self.plugged(slot), what="the guest keeps the card")

    def link(self, slot, up):
        self.monitor("set_link", name=f"card{slot}", up=up)

    def plugged(self, slot):
        return any(one["name"] == f"card{slot}" for one in self.monitor("qom-list", path="/machine/peripheral"))


class GuestNode:
    """sluiced in a guest, as a node of a lab (see Node)."""

    def __init__(self, name, guest, options=()):
        self.name, self.guest, self.process = name, guest, None
        self.options = ["--memory", "32", "--connections", "4096", "--workers", "1", *options]

    def start(self):
        command = shlex.join(["sluiced", "--node", self.name, "--api", f"unix:{API}", "--state", "/run/node.db",
                              *self.options])
        # No child of the agent's: see image.py.
        self.process = self.guest.run(f"({command} < /dev/null > {LOG} 2>&1 & echo $!)").strip()
        eventually(lambda: "ready" in self.lines() or not self.lives())
        self.check()

    def lives(self):
        return self.guest.succeeds(f"kill -0 {self.process}")

    def check(self):
        assert not self.process or self.lives(), f"sluiced has ended:\n{self.text()}"

    def stop(self):
        if self.process:
            self.guest.run(f"kill {self.process}; while kill -0 {self.process} 2> /dev/null; do usleep 10000; done")
            self.process = None
            assert not SANITIZER.search(self.text()), self.text()

    def upgrade(self):
        self.process = self.json("upgrade")["pid"]

    def kill(self):
        self.guest.run(f"kill -KILL {self.process}; while kill -0 {self.process} 2> /dev/null; do usleep 10000; done")

    def text(self):
        return self.guest.run(f"cat {LOG}")

    def lines(self):
        return self.text().splitlines()

    def events(self, message=None, **fields):
        found = [event for event in map(log_event, self.lines()) if event]
        return [event for event in found if message in (None, event["message"])
                and all(event.get(key) == value for key, value in fields.items())]

    # What a user types.

    def run(self, *arguments, input=None):
        command = shlex.join(["sluice", "--api", f"unix:{API}", *map(str, arguments)])
        data = base64.b64encode((input or "").encode()).decode()
        self.guest.begin(f"echo {data} | base64 -d > /run/input; {command} < /run/input 2> /run/errors; status=$?; "
                         f"echo @@errors; cat /run/errors; (exit $status)")
        status, text = self.guest.result()
        output, _, errors = text.partition("@@errors\n")
        return subprocess.CompletedProcess(arguments, status, output, errors)

    def ok(self, *arguments, **options):
        result = self.run(*arguments, **options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, "-o", "json"))

    def apply(self, *objects):
        return self.ok("apply", "-f", "-", input="\n---\n".join(json.dumps(one) for one in objects))

    def stats(self):
        return self.json("stats")

"""A guest: QEMU without KVM, with Debian's kernel, and the test at its console."""

import json
import re
import select
import shlex
import socket
import subprocess
import time

from node import DEADLINE, eventually

# Nothing here needs longer; a busy machine may.
BOOT_DEADLINE = 90
COMMAND_DEADLINE = 60
KERNEL = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"


class Guest:
    """`nics` are dictionaries with path, mac, `server` if QEMU makes the socket, `queues`, and the device's properties
    as QEMU calls them (packed="on")."""

    files = ()  # that QEMU is started with

    def __init__(self, name, directory, image, nics, cpus=1, memory=160):
        self.name = name
        self.directory = directory
        self.output = ""
        self.log = open(directory / f"{name}.qemu.log", "w", encoding="utf-8")
        self.process = subprocess.Popen([str(word) for word in self._command(image, nics, cpus, memory)],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        pass_fds=self.files)
        self.console = self._connect("console")

    def _command(self, image, nics, cpus, memory):
        kernel, initramfs = image
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display",
                   "none", "-machine", "pc,memory-backend=memory", "-accel", "tcg,thread=multi", "-cpu", "max",
                   "-smp", str(cpus), "-m", str(memory),
                   "-object", f"memory-backend-memfd,id=memory,size={memory}M,share=on",
                   "-chardev", f"socket,id=console,path={self._path('console')},server=on,wait=off",
                   "-serial", "chardev:console", "-qmp", f"unix:{self._path('qmp')},server=on,wait=off"]
        if kernel:
            command += ["-kernel", kernel, "-initrd", initramfs, "-append", KERNEL]
        else:  # the firmware speaks over the serial port too
            command[command.index("pc,memory-backend=memory")] += ",graphics=off"
        for number, nic in enumerate(nics):
            command += self._nic(number, dict(nic))
        return command

    def _path(self, what):
        return self.directory / f"{self.name}.{what}"

    @staticmethod
    def _nic(number, nic):
        path, mac, queues = nic.pop("path"), nic.pop("mac"), nic.pop("queues", 1)
        mode = "server=on,wait=off" if nic.pop("server", False) else "reconnect=1"
        properties = "".join(f",{key}={value}" for key, value in nic.items())
        # Without MSI-X: QEMU 7.2 with vhost-user crashes when it is used without KVM.
        several = ",vectors=0" + (",mq=on" if queues > 1 else "")
        return ["-chardev", f"socket,id=socket{number},path={path},{mode}",
                "-netdev", f"vhost-user,id=net{number},chardev=socket{number},queues={queues}",
                "-device", f"virtio-net-pci,netdev=net{number},mac={mac}{several}{properties}"]

    def _connect(self, what):
        made = socket.socket(socket.AF_UNIX)

        def attempt():
            assert self.process.poll() is None, self._path("qemu.log").read_text(encoding="utf-8")
            try:
                made.connect(str(self._path(what)))
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        eventually(attempt)
        return made

    # Its console.

    def expect(self, pattern, deadline):
        """What the console said up to and with the pattern."""
        end = time.monotonic() + deadline
        while not (found := re.search(pattern, self.output)):
            left = end - time.monotonic()
            assert left > 0, f"{self.name}: {pattern!r} did not appear on the console:\n{self.output[-4000:]}"
            if select.select([self.console], [], [], left)[0]:
                data = self.console.recv(65536)
                assert data, f"{self.name} ended with {self.process.poll()}: {self._path('qemu.log').read_text(encoding='utf-8')}\n{self.output[-4000:]}"
                self.output += data.decode(errors="replace").replace("\r", "")
        text, self.output = self.output[:found.end()], self.output[found.end():]
        return text, found

    def boot(self):
        self.expect("@@ready\n", BOOT_DEADLINE)
        return self

    def begin(self, command):
        self.console.sendall(command.encode() + b"\n")

    def result(self, deadline=COMMAND_DEADLINE):
        """Exit status and output of the command that was begun."""
        text, found = self.expect(r"@@status (\d+)\n", deadline)
        return int(found[1]), text[:text.rindex("@@status")]

    def run(self, command, deadline=COMMAND_DEADLINE):
        self.begin(command)
        status, text = self.result(deadline)
        assert status == 0, f"{self.name}: {command}: status {status}:\n{text}"
        return text

    def succeeds(self, command, deadline=COMMAND_DEADLINE):
        self.begin(command)
        return self.result(deadline)[0] == 0

    def background(self, command):
        """Its output is in a file; the number of the process."""
        self.run(f"({command} > /tmp/output 2>&1 & echo $! > /tmp/process)")
        return self.run("cat /tmp/process").strip()

    # What tests ask of it.

    def configure(self, workload, interface="eth0"):
        """Addresses and routes of the workload, without DHCP."""
        commands = [f"ip link set {interface} up mtu 1450"]
        for family, address in workload.address.items():
            length, option = ("24", "") if family == "v4" else ("64", " nodad")
            commands.append(f"ip addr replace {address}/{length} dev {interface}{option}")
            if gateway := workload.network.gateway.get(family):
                commands.append(f"ip {'-6 ' if family == 'v6' else ''}route replace default via {gateway} dev {interface}")
        self.run("; ".join(commands))

    def find_addresses(self, interface="eth0"):
        """By udhcpc, and by dhcpcd what IPv6 has for it: router advertisements and DHCPv6."""
        self.run(f"ip link set {interface} up; udhcpc -i {interface} -p /run/udhcpc.{interface} -s /etc/udhcpc -O mtu -b -t 20 -A 1")
        # Its own patience, 30 seconds, is for machines that are as fast as their clock.
        self.run(f"dhcpcd -6 -w -t 110 -c /bin/true {interface}", 120)

    def addresses(self, interface="eth0"):
        """Those that are no link-local ones."""
        text = self.run(f"ip -o addr show dev {interface} scope global")
        return {"v6" if ":" in address else "v4": address for address in re.findall(r" inet6? (\S+)/", text)}

    def mtu(self, interface="eth0"):
        return int(self.run(f"cat /sys/class/net/{interface}/mtu"))

    def ping(self, address, count=1, timeout=5):
        return self.succeeds(f"ping -q -c {count} -W {timeout} {shlex.quote(address)}")

    def iperf(self, address, *options, seconds=2):
        """The report of a client."""
        text = self.run(f"iperf3 -J -t {seconds} -c {address} {' '.join(options)}")
        return json.loads(text[text.index("{"):])

    def serve(self, address):
        """iperf3 waits for one client."""
        self.run(f"iperf3 -s -1 -D -B {address} -I /tmp/iperf.pid")
        self.run("while ! ss -Hltn | grep -q :5201; do usleep 50000; done")

    # The machine.

    def monitor(self, command, **arguments):
        """A command of QEMU's monitor."""
        with self._connect("qmp") as qmp, qmp.makefile("rw") as stream:
            json.loads(stream.readline())
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
                assert "return" in answer, answer
            return answer["return"]

    def reset(self):
        """As by the button."""
        self.output = ""
        self.monitor("system_reset")
        return self.boot()

    def stop(self):
        """Pulls the plug."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        self.console.close()
        self.log.close()

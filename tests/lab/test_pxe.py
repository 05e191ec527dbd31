"""A machine without a system boots by network: the firmware's own virtio driver and DHCP client (iPXE)."""

import socket
import struct
import threading

import pytest

from test_guests import add_guest

SCRIPT = b"#!ipxe\necho This is ${net0/ip} booted from ${next-server}, file ${filename}, root ${root-path}\n"


class Tftp(threading.Thread):
    """Serves one file, whatever it is called, as RFC 1350 has it."""

    def __init__(self, workload, content):
        super().__init__(daemon=True)
        self.socket = workload.open_socket(kind=socket.SOCK_DGRAM, timeout=None)
        self.socket.bind((workload.address["v4"], 69))
        self.content = content
        self.asked = []
        self.start()

    def run(self):
        while True:
            data, client = self.socket.recvfrom(2000)
            operation, block = struct.unpack_from(">HH", data)
            if operation == 1:
                self.asked.append(data[2:].split(b"\0")[0].decode())
                block = 0
            elif operation != 4 or block * 512 > len(self.content):
                continue
            self.socket.sendto(struct.pack(">HH", 3, block + 1) + self.content[block * 512:][:512], client)


@pytest.mark.parametrize("mode", ["client", "server"])
def test_pxe(one_lab, start_guest, mode):
    lab = one_lab()
    boot = {"server": "10.1.0.11", "file": "for-others.0", "ipxeFile": "menu.ipxe"}
    lab.network("blue", 1, dhcp={"boot": boot})
    lab.workload("server", "a", "blue", kernel=True)
    lab.up()
    port = add_guest(lab, "guest", "a", mode)
    server = Tftp(lab["server"], SCRIPT)
    guest = start_guest("pxe", lab, [{**port.nic, "bootindex": 1}],
                        boot=False, memory=64)
    guest.expect(rf"This is {port.address['v4']} booted from 10.1.0.11, file menu.ipxe", 60)
    assert server.asked == ["menu.ipxe"]
    guest.stop()

"""`sluice capture`, and what it writes."""

import signal
import struct
import subprocess

from node import BUILD

INBOUND, OUTBOUND = 1, 2
COMMENT, NAME, RESOLUTION, FLAGS, VERDICT = 1, 2, 9, 2, 7


class Capture:
    """`sluice capture`, from when it says that it has begun."""

    def __init__(self, node, *arguments, ready=True):
        self.process = subprocess.Popen([BUILD / "sluice", "--api", f"unix:{node.api}", "capture", *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if ready:
            line = self.process.stderr.readline()
            assert line.startswith(b"capturing"), line

    def wait(self):
        """Standard output and error of one that ends by itself."""
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return output, errors.decode()

    def lines(self):
        return self.wait()[0].decode().splitlines()

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.wait()


def options_of(body):
    """{code: value}"""
    found = {}
    while len(body) >= 4:
        code, length = struct.unpack_from("<HH", body)
        if code == 0:
            break
        found[code] = body[4:4 + length]
        body = body[4 + length + (-length % 4):]
    return found


def pcapng(data):
    """Interfaces as {name: options}, and packets as (interface's name, time in ns, length, frame, options)."""
    interfaces, packets = {}, []
    names, at = [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0 and struct.unpack_from("<I", data, at + length - 4)[0] == length
        body = data[at + 8:at + length - 4]
        at += length
        if kind == 1:
            link, _, snaplen = struct.unpack_from("<HHI", body)
            found = options_of(body[8:])
            assert link == 1 and found[RESOLUTION] == b"\x09"
            names.append(found[NAME].decode())
            interfaces[names[-1]] = {"snaplen": snaplen}
        elif kind == 6:
            number, high, low, captured, size = struct.unpack_from("<IIIII", body)
            packets.append((names[number], high << 32 | low, size, body[20:20 + captured],
                            options_of(body[20 + captured + (-captured % 4):])))
        else:
            assert kind == 0x0a0d0d0a
    return interfaces, packets


def tcpdump(data, *arguments):
    """What tcpdump says of a file, a line a packet."""
    result = subprocess.run(["tcpdump", "-n", "-r", "-", *arguments], input=data, capture_output=True, check=False,
                            timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.decode().splitlines()

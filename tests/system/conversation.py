"""TCP and SCTP by hand between two workloads without a kernel, with the numbers that real systems would have."""

import random

from packets import TCP, Raw, fresh_port

SPACE = 1 << 32


class Conversation:
    """A TCP connection that `left` opens to a port of `right`. Each segment that is sent has to arrive."""

    def __init__(self, lab, family, port=None, to=80, left="left", right="right", window=8192, start=None):
        self.lab, self.family = lab, family
        self.left, self.right = lab[left], lab[right]
        self.port, self.to = port or fresh_port(), to
        self.window = window
        self.next = {self.left: random.randrange(SPACE) if start is None else start,
                     self.right: random.randrange(SPACE)}

    def peer(self, sender):
        return self.right if sender is self.left else self.left

    def frame(self, sender, flags, payload=b"", seq=0, ack=0, **fields):
        """The next segment of a side, or one that far from it."""
        ports = (self.port, self.to) if sender is self.left else (self.to, self.port)
        numbers = {"seq": (self.next[sender] + seq) % SPACE}
        if "A" in flags:
            numbers["ack"] = (self.next[self.peer(sender)] + ack) % SPACE
        segment = TCP(**{"sport": ports[0], "dport": ports[1], "flags": flags, "window": self.window, **numbers,
                         **fields})
        return sender.frame(self.peer(sender), segment, self.family, payload=Raw(payload))

    def move(self, sender, flags, payload=b"", seq=0, ack=0, **fields):
        """Sends the next segment; the connection's state behind it."""
        self.lab.passes(sender, self.frame(sender, flags, payload, seq, ack, **fields), self.peer(sender))
        if not seq and "R" not in flags:
            self.next[sender] += len(payload) + ("S" in flags) + ("F" in flags)
            self.next[sender] %= SPACE
        return self.state()

    def send(self, flags, payload=b"", **more):
        return self.move(self.left, flags, payload, **more)

    def answer(self, flags, payload=b"", **more):
        return self.move(self.right, flags, payload, **more)

    def dropped(self, sender, flags, reason="tcp-window", payload=b"", **more):
        """Sends a segment that must not arrive, and changes nothing."""
        before = self.flow()
        self.lab.dropped(sender, self.frame(sender, flags, payload, **more), reason)
        after = self.flow()
        # Time goes on.
        assert before == after or {**before, "age": 0, "idle": 0} == {**after, "age": 0, "idle": 0}

    def handshake(self, **fields):
        self.send("S", **fields)
        self.answer("SA", **fields)
        return self.send("A")

    def flow(self):
        """The connection as the node has it; None where there is none."""
        source = self.left.address[self.family]
        found = [flow for node in self.lab.nodes.values()
                 for flow in node.flows(sourcePort=self.port, source=source)]
        return found[0] if found else None

    def state(self):
        return (self.flow() or {}).get("state")

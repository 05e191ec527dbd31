"""Datagrams with numbers, a thousand a second at most, while the test does something."""

import socket
import threading
import time

SO_RCVBUFFORCE = 33


class Numbered:
    """From one workload's kernel to another's, until it is ended."""

    def __init__(self, source, to, family="v4", port=53):
        self.server, self.client = to.server(port, family, socket.SOCK_DGRAM), source.open_socket(family, socket.SOCK_DGRAM)
        self.server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
        self.server.settimeout(0.2)
        self.client.connect((to.address[family], port))
        self.sent, self.seen = 0, []
        self.ending, self.drained = threading.Event(), threading.Event()
        self.threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        while not self.ending.is_set():
            self.client.send(b"%d" % self.sent)
            self.sent += 1
            time.sleep(.001)

    def _receive(self):
        while True:
            try:
                self.seen.append(int(self.server.recv(100)))
            except TimeoutError:
                if self.drained.is_set():
                    return

    def end(self):
        """How many are lost, and how many came twice, as lists of numbers; an empty tuple: none."""
        self.ending.set()
        self.threads[0].join()
        self.drained.set()
        self.threads[1].join()
        self.client.close()
        self.server.close()
        lost = sorted(set(range(self.sent)) - set(self.seen))
        twice = len(self.seen) - len(set(self.seen))
        return (lost, twice) if lost or twice else ()

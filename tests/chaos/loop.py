"""One thread that has all sockets and clocks of the traffic."""

import concurrent.futures
import heapq
import itertools
import os
import selectors
import threading
import time
import traceback

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.timers = []
        self.order = itertools.count()
        self.calls = []
        self.awake, self.wake = os.pipe()
        os.set_blocking(self.awake, False)
        self.selector.register(self.awake, READ, self._called)
        self.problems = []  # what must not be, in words
        self.ending = False
        self.start()

    def run(self):
        while not self.ending:
            wait = max(0, self.timers[0][0] - time.monotonic()) if self.timers else 1
            for key, events in self.selector.select(wait):
                # One before it may have closed it.
                if self.selector.get_map().get(key.fd) is key:
                    self._guard(key.data, events)
            now = time.monotonic()
            while self.timers and self.timers[0][0] <= now:
                self._guard(heapq.heappop(self.timers)[2])

    def _guard(self, work, *arguments):
        try:
            work(*arguments)
        except Exception:  # told where the checks look
            self.problem(traceback.format_exc(limit=4).strip())

    def _called(self, _events):
        os.read(self.awake, 4096)
        while self.calls:
            work, answer = self.calls.pop(0)
            try:
                answer.set_result(work())
            except Exception as problem:
                answer.set_exception(problem)

    def problem(self, text):
        self.problems.append(text)

    def after(self, seconds, work):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), work))

    def watch(self, made, events, work):
        """Calls it with the events that there are; takes the place of what was asked before."""
        try:
            self.selector.modify(made, events, work)
        except KeyError:
            self.selector.register(made, events, work)

    def forget(self, made):
        try:
            self.selector.unregister(made)
        except (KeyError, ValueError):
            pass

    def close(self, made):
        if made:
            self.forget(made)
            made.close()

    def ask(self, work):
        """Has this thread do something, for another one; what it returned."""
        answer = concurrent.futures.Future()
        self.calls.append((work, answer))
        os.write(self.wake, b"x")
        return answer.result(60)

    def end(self):
        self.ask(lambda: setattr(self, "ending", True))
        self.join()

"""All that is on its way during a run. What must not happen is told in the loop's `problems`."""

import collections
import itertools

import world as worlds
from connections import Idle, Short, Stream
from datagrams import AtTimes, Datagrams, Forger, Stranger
from loop import Loop
from servers import Servers

# Within a node, routed, between nodes both ways, to a virtual address, and outside by either node's pool.
WAYS = (("near", "routed"), ("near", "far"), ("far", "near"), ("caller", "near"), ("caller", "routed"),
        ("near", "balanced"), ("far", "balanced"), ("near", "outside"), ("caller", "outside"))


class Traffic:
    stable = worlds.STABLE

    def __init__(self, world):
        self.world, self.loop = world, Loop()
        self.shorts_done = 0
        self.interfaces_gone = collections.Counter()  # how often, by workload
        self.loop.ask(self.begin)

    def begin(self):
        both = list(itertools.product(WAYS, worlds.FAMILIES))
        self.servers = Servers(self.world, self.loop)
        self.streams = [Stream(self, *way, family) for way, family in both]
        self.idles = [Idle(self, *way, family) for way, family in both for _ in range(2)]
        self.datagrams = [Datagrams(self, *way, family) for way, family in both if way[1] != "balanced"]
        self.at_times = AtTimes(self, "near", "far", "v4"), AtTimes(self, "caller", "routed", "v6")
        self.forgers = [Forger(self, "raw-a", "near", "far"), Forger(self, "raw-b", "far", "near")]
        self.never = [Stranger(self, name) for name in worlds.STRANGERS] + self.forgers
        self.ways = itertools.cycle(both)
        self.shorts = set()
        self.ending = False
        self.short()
        self.look()

    def short(self):
        if self.ending:
            return
        if len(self.shorts) < 32:
            way, family = next(self.ways)
            self.shorts.add(Short(self, *way, family, self.short_done))
        self.loop.after(0.1, self.short)

    def short_done(self, short):
        self.shorts.discard(short)
        self.shorts_done += 1

    def look(self):
        for one in (*self.streams, *self.idles, *self.datagrams, *self.shorts):
            one.look()
        self.shorts = {one for one in self.shorts if not one.failed}
        if not self.ending:
            self.loop.after(1, self.look)

    def problems(self):
        """Those since the last time."""
        def take():
            taken, self.loop.problems = self.loop.problems, []
            return taken
        return self.loop.ask(take)

    def is_open(self):
        return all(one.server for one in (*self.streams, *self.idles) if not one.failed)

    def mark(self):
        """To be given to has_moved()."""
        return [list(one.got) for one in self.streams if not one.failed], [one.answers for one in self.datagrams]

    def has_moved(self, mark):
        """All streams, in both directions, and all datagrams."""
        streams = [one for one in self.streams if not one.failed]
        return all(now > before for one, was in zip(streams, mark[0]) for now, before in zip(one.got, was)) \
            and all(one.answers > before for one, before in zip(self.datagrams, mark[1]))

    def longest_silences(self):
        """The longest that a stream, and that datagrams, had no answer since the last time: seconds, and who it was."""
        def take():
            answer = []
            for kind in (self.streams, self.datagrams):
                worst = max(kind, key=lambda one: one.silence)
                answer.append((worst.silence, str(worst)))
                for one in kind:
                    one.silence = 0
            return answer
        return self.loop.ask(take)

    def pause_forgers(self, paused):
        """While what leaves their Ports is counted."""
        def set_paused():
            for one in self.forgers:
                one.paused = paused
        self.loop.ask(set_paused)

    def stop(self):
        """Nothing is sent any more, and all ends at once."""
        def close():
            self.ending = True
            for one in (*self.streams, *self.idles, *self.shorts):
                one.close(reset=True)
            for one in (*self.datagrams, *self.at_times, *self.never):
                one.close()
            self.servers.close()
        self.loop.ask(close)

    def end(self):
        self.loop.end()

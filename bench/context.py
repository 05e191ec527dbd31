"""What all scenarios of one run share."""

import os
import time


class Bench:
    """options: of the command line. load: path of the program. speed: quiet.Speed. huge: are there huge pages?

    versions: of the devices, as they are met. found: what a scenario's cases tell later ones of the same scenario.
    """

    def __init__(self, options, build, load, speed):
        self.options = options
        self.build = build
        self.load = load
        self.speed = speed
        self.quick = options.quick
        self.huge = True
        self.seconds = options.seconds or (0.5 if options.quick else 2)
        self.warm_up = 0.3 if options.quick else 1
        # Monotonic time from which on no further round is begun.
        self.hurry_at = time.monotonic() + 0.8 * 60 * options.minutes
        self.versions = {}
        self.found = {}
        self.where = ""

    def devices(self, *names):
        """Of these devices, those that are wanted."""
        return [name for name in names if name in self.options.devices]

    def logs(self, name):
        """Where the output of a failed measurement's processes goes."""
        return os.path.join(self.build, "logs", f"{self.where}-{name}" if self.where else name)

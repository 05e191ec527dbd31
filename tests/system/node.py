"""A sluiced process in a network namespace of its own, and the command line that talks to it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import netns

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build")
# Deadlines are for machines that are slow and builds with sanitizers; nothing waits for them where all is well.
DEADLINE = 60
SANITIZER = re.compile(r"Sanitizer|runtime error:")


def eventually(condition, deadline=DEADLINE, what=None):
    """Asks again until the answer is true; the answer."""
    end = time.monotonic() + deadline
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, what or f"not within {deadline} s"
        time.sleep(0.01)


def sluice(*arguments, api=None, **options):
    """Runs the command line, whatever its exit status."""
    address = ["--api", f"unix:{api}"] if api else []
    return subprocess.run([BUILD / "sluice", *address, *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=60, **options)


# Runs a program that sees no huge pages; namespaces made later are seen.
NO_HUGE_PAGES = ["unshare", "--mount", "--propagation", "slave", "sh", "-c",
                 'mount -t tmpfs none /sys/kernel/mm/hugepages && exec "$@"', "sh"]


# A line of the log as text: time, level, message, and fields, whose values are quoted as in JSON where need be.
LOG_VALUE = r'"(?:[^"\\]|\\.)*"|[^ "=\\]+'
LOG_LINE = re.compile(r"(?:<\d>|(?P<time>\S+) )(?P<level>error|warning|info|debug) (?P<message>.*?)"
                      rf"(?P<fields>(?: [A-Za-z]+=(?:{LOG_VALUE}))*)")


def log_event(line):
    """A line of the log, in either format, as {key: value}; None for what is none."""
    if line.startswith(("{", "<6>{")):
        return {key: str(value) for key, value in json.loads(line.removeprefix("<6>")).items()}
    found = LOG_LINE.fullmatch(line)
    if not found:
        return None
    event = {key: found[key] for key in ("time", "level", "message") if found[key]}
    for key, value in re.findall(rf" ([A-Za-z]+)=({LOG_VALUE})", found["fields"]):
        event[key] = json.loads(value) if value.startswith('"') else value
    return event


class Node:
    def __init__(self, name, namespace, directory, options=(), prefix=()):
        self.name = name
        self.netns = namespace
        self.api = directory / f"{name}.sock"
        self.state = directory / f"{name}.db"
        self.log = directory / f"{name}.log"
        self.options = ["--memory", "32", "--connections", "4096", "--idle", "sleep", *options]
        self.prefix = prefix
        self.process = None

    def launch(self):
        """Starts the process and doesn't wait."""
        # The process must not outlive a test run that is killed.
        command = ["setpriv", "--pdeathsig", "KILL", *self.prefix, BUILD / "sluiced",
                   "--node", self.name, "--api", f"unix:{self.api}", "--state", self.state, *self.options]
        with netns.inside(self.netns), open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self):
        return "ready" in self.lines() or any(event["message"] == "ready" for event in self.events())

    def wait_ready(self):
        try:
            eventually(lambda: self.is_ready() or self.process.poll() is not None)
        except AssertionError as late:
            raise AssertionError(f"sluiced is not ready:\n{self.text()}\n{self.threads()}") from late
        assert self.process.poll() is None, f"sluiced ended with {self.process.returncode}:\n{self.text()}"

    def threads(self):
        """What each thread of the process does just now."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*")
        return "\n".join(" ".join((task / file).read_text().strip() for file in ("comm", "wchan", "syscall"))
                         for task in tasks)

    def start(self):
        self.launch()
        self.wait_ready()

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def lines(self):
        return self.text().splitlines()

    def events(self, message=None, **fields):
        """What the log has of a message, whose fields are as given."""
        found = [event for event in map(log_event, self.lines()) if event]
        return [event for event in found if message in (None, event["message"])
                and all(event.get(key) == value for key, value in fields.items())]

    def check(self):
        """It runs, and no sanitizer has complained."""
        if self.process:
            assert self.process.poll() is None, f"sluiced ended with {self.process.returncode}:\n{self.text()}"
        assert not SANITIZER.search(self.text()), self.text()

    def stop(self):
        """Ends as a service manager would, and cleanly."""
        if not self.process:
            return
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        assert status == 0, f"sluiced ended with {status} on SIGTERM:\n{self.text()}"
        assert not SANITIZER.search(self.text()), self.text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    # What a user types.

    def run(self, *arguments, **options):
        return sluice(*arguments, api=self.api, **options)

    def ok(self, *arguments, **options):
        """Standard output of a command that must succeed."""
        result = self.run(*arguments, **options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, "-o", "json"))

    def apply(self, *objects):
        return self.ok("apply", "-f", "-", input="\n---\n".join(json.dumps(o) for o in objects))

    def delete(self, kind, name):
        return self.ok("delete", kind, name)

    def stats(self):
        return self.json("stats")

    def drops(self, stats=None):
        """All counters of drops, as {(port, reason): packets}."""
        ports = (stats or self.stats())["ports"]
        return {(port, reason): int(count) for port, values in ports.items()
                for reason, count in values.get("drops", {}).items()}

    def flows(self, port=None, **fields):
        """Connections whose fields are as given."""
        found = self.json("flows", *(["--port", port] if port else []))
        return [flow for flow in found if all(flow[key] == value for key, value in fields.items())]

    def trace(self, port, packet):
        """Verdict and reason, `allow` or `drop REASON`."""
        answer = self.json("trace", "--port", port, packet)
        return f"{answer['verdict']} {answer['reason']}".strip()

"""Chromium without a screen, led over a pipe by the DevTools protocol: no ports, so it may be in any namespace."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile

import netns
from node import eventually

KEYS = {"Tab": 9, "Enter": 13}


def pipe():
    """Away from the numbers that Chromium wants to have them under, 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high


class Browser:
    """What its pages say in the console, and what they are refused, is in `complaints`."""

    def __init__(self, namespace):
        self.directory = tempfile.mkdtemp(prefix=netns.PREFIX, dir="/tmp")
        self.number = 0
        self.complaints = []
        self.requests = []
        self.rest = b""
        to_read, self.to = pipe()
        self.fro, from_write = pipe()
        command = ["setpriv", "--pdeathsig", "KILL", "bash", "-c", 'r=$1 w=$2; shift 2; exec "$@" 3<&$r 4>&$w', "bash",
                   str(to_read), str(from_write), "chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox",
                   "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
                   "--host-resolver-rules=MAP *.example 127.0.0.1", f"--user-data-dir={self.directory}", "about:blank"]
        with netns.inside(namespace):
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL, pass_fds=(to_read, from_write),
                                            env={**os.environ, "HOME": self.directory})
        os.close(to_read)
        os.close(from_write)
        self.session = None
        page = eventually(lambda: [target for target in self.call("Target.getTargets")["targetInfos"]
                                   if target["type"] == "page"])[0]
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def receive(self):
        while b"\0" not in self.rest:
            data = os.read(self.fro, 1 << 20)
            assert data, "chromium has ended"
            self.rest += data
        line, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(line)
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        return message

    def evaluate(self, expression):
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def reload(self):
        self.evaluate("window.before = true")
        self.call("Page.reload")
        self.wait("!window.before && document.readyState === 'complete'")

    def wait(self, expression):
        """Until the expression is true of the page; its value."""
        def answer():
            try:
                return self.evaluate(expression)
            except AssertionError as problem:
                # In the middle of going elsewhere there is no page.
                if "navigated" in str(problem) or "Cannot find context" in str(problem):
                    return None
                raise

        try:
            return eventually(answer)
        except AssertionError as problem:
            raise AssertionError(f"{expression}\n{self.text()[:3000]}\n{self.complaints}") from problem

    def text(self):
        return self.evaluate("document.body?.innerText || ''")

    def says(self, words):
        self.wait(f"document.body?.innerText.includes({json.dumps(words)})")

    def refused(self, status):
        """Answers with this status were to be expected; the browser complains of them, too."""
        self.complaints = [text for text in self.complaints if f"with a status of {status}" not in text]

    def type(self, name, value):
        """Fills a field of a form, as a person would."""
        self.evaluate(f"""(() => {{
            const input = document.querySelector('[name="{name}"]');
            input.focus();
            input.value = {json.dumps(value)};
            input.dispatchEvent(new Event("input", {{bubbles: true}}));
        }})()""")

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key],
                      **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}))

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def theme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path, whole=False):
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.fro)
        shutil.rmtree(self.directory, ignore_errors=True)

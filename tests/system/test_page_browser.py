"""The page in a real browser: what a person finds there, by mouse and by keyboard, on a phone and on a wide screen."""

import json

import pytest

from browser import Browser
from node import eventually
from packets import TCP, fresh_port
from web import ADDRESS

ORIGIN = f"http://{ADDRESS}"
HOSTILE = "<img/src=x/onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def lab(make_lab):
    lab = make_lab(options=["--metrics", ADDRESS, "--page"])
    lab.network("blue", 1)
    lab.network("green", 2)
    lab.group("web", {"direction": "ingress", "protocol": "tcp", "ports": "80"}, {"direction": "egress"})
    lab.workload("left", "a", "blue")
    lab.workload("right", "a", "blue", securityGroups=["web"])
    lab.objects.append({"kind": "Port", "name": "broken", "node": "a", "network": "green", "mac": "52:54:00:00:0b:01",
                        "addresses": ["10.2.0.77"], "device": {"netdev": {"name": "none"}}, "boot": {"file": HOSTILE}})
    lab.up()
    lab.nodes["a"].ok("apply", "--comment", HOSTILE, "-f", "-", input=json.dumps({"kind": "Vrf", "name": "other"}))
    return lab


@pytest.fixture(scope="module")
def chromium(lab):
    browser = Browser(lab.nodes["a"].netns)
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """A page begins anew, and has nothing to complain of."""
    chromium.size(1280, 900)
    chromium.theme("light")
    chromium.open("about:blank")
    chromium.complaints.clear()
    chromium.requests.clear()
    yield chromium
    assert not chromium.complaints
    assert not [url for url in chromium.requests if not url.startswith((ORIGIN, "about:"))]


def show(browser, view=""):
    browser.open(f"{ORIGIN}/#/{view}")


def rows(browser, caption):
    """The texts of a table's cells."""
    return browser.evaluate(f"""[...document.querySelectorAll("table")]
        .filter((table) => table.caption.textContent === {json.dumps(caption)})
        .flatMap((table) => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent)))""")


def dropped(lab):
    left, right = lab["left"], lab["right"]
    lab.dropped(left, left.frame(right, TCP(sport=fresh_port(), dport=81, flags="S")), "security-group-ingress", "right")


def test_overview(lab, browser):
    show(browser)
    browser.says("1 failed")
    assert browser.evaluate("document.querySelector('.problems').innerText") == "Port broken: none: there is no such interface"
    dropped(lab)
    browser.wait("document.title.includes('Overview · a')")
    # It grows while one looks, and says why.
    eventually(lambda: [row for row in rows(browser, "Packets dropped, by reason") if row[0] == "security-group-ingress"
                        and "No ingress rule" in row[3]])
    eventually(lambda: browser.evaluate("document.querySelectorAll('.legend .name')[2]?.textContent")
               == "security-group-ingress")
    assert [row[0] for row in rows(browser, "Layers, in the order in which a first packet meets them")] == [
        layer["layer"] for layer in lab.nodes["a"].stats()["layers"]]
    assert len(rows(browser, "Latest changes")) == 2


def test_ports_and_one_of_them(lab, browser):
    show(browser, "ports")
    eventually(lambda: [row[:3] for row in rows(browser, "Ports")] == [
        ["broken", "failed", "green"], ["left", "up", "blue"], ["right", "up", "blue"]])
    browser.type("search", lab["right"].address["v6"])
    eventually(lambda: [row[0] for row in rows(browser, "Ports")] == ["right"])
    assert browser.evaluate("location.hash").startswith("#/ports?")
    browser.evaluate("document.querySelector('tbody a').click()")
    browser.says("securityGroups:")
    browser.says(lab["right"].mac)
    show(browser, "port?name=nobody")
    browser.says("There is no such port.")


def test_networks(browser):
    show(browser, "networks")
    eventually(lambda: [row[:3] + row[5:7] for row in rows(browser, "Networks")] == [
        ["blue", "active", "5001", "2 up", "0 ports"], ["green", "active", "5002", "0 up, 1 failed", "0 ports"]])
    browser.type("search", "gre")
    eventually(lambda: [row[0] for row in rows(browser, "Networks")] == ["green"])
    browser.type("search", "nothing like it")
    browser.says("No network has that in its name.")


def test_connections(lab, browser):
    left, right = lab["left"], lab["right"]
    number = fresh_port()
    lab.passes(left, left.frame(right, TCP(sport=number, dport=80, flags="S")), right)
    show(browser, "connections")
    source = f"{left.address['v4']}:{number}"
    eventually(lambda: source in [row[1] for row in rows(browser, "Connections")])
    for name, value in (("sourcePort", str(number)), ("state", "syn-sent"), ("rule", "web[0]"), ("port", "left")):
        browser.type(name, value)
    eventually(lambda: [row[1:3] + row[4:7] for row in rows(browser, "Connections")] == [
        [source, "left", "right", "blue", "syn-sent"]])
    browser.type("state", "establish")
    browser.says("did you mean 'established'?")
    browser.refused(400)
    browser.type("state", "closed")
    browser.says("No connection is like that.")
    # What was searched for is in the address, to be sent to others.
    browser.type("state", "syn-sent")
    browser.reload()
    eventually(lambda: [row[1] for row in rows(browser, "Connections")] == [source])


def walk(browser):
    return browser.evaluate("""[...document.querySelectorAll(".walk .station")].map((one) =>
        [one.className.split(" ")[1], one.querySelector("b").textContent, one.querySelector("p")?.textContent || ""])""")


@pytest.mark.parametrize("number, verdict", [(80, "allow"), (81, "drop security-group-ingress")])
def test_trace(lab, browser, number, verdict):
    left, right = lab["left"], lab["right"]
    show(browser, "trace")
    browser.type("port", "left")
    # The port's own address is filled in.
    browser.wait(f"document.querySelector('[name=source]').value === '{left.address['v4']}'")
    browser.type("sourcePort", "1234")
    browser.type("destination", right.address["v4"])
    browser.type("destinationPort", str(number))
    packet = f"tcp {left.address['v4']}:1234 > {right.address['v4']}:{number}"
    browser.says(f"sluice trace --port left '{packet}'")
    browser.press("Enter")
    steps = eventually(lambda: walk(browser))
    told = lab.nodes["a"].json("trace", "--port", "left", packet)
    assert steps[0] == ["start", "Enters at left", packet]
    passed = [[step["layer"], step["text"]] for step in told["steps"]]
    assert [step[1:] for step in steps[1:len(passed) + 1]] == passed
    kinds = [step[0] for step in steps]
    if verdict == "allow":
        assert kinds == ["start"] + ["pass"] * len(passed) + ["allowed"]
        assert steps[-1][1:] == ["Allowed", "Leaves as 54 bytes to right."]
    else:
        assert kinds == ["start"] + ["pass"] * (len(passed) - 1) + ["stop", "never", "never", "dropped"]
        assert [step[1] for step in steps[-3:-1]] == ["qos", "tunnel"]
        assert steps[-1][1] == "Dropped: security-group-ingress" and "No ingress rule" in steps[-1][2]


def test_trace_of_nonsense(browser):
    show(browser, "trace?port=left&protocol=tcp&source=x&sourcePort=1&destination=y&destinationPort=2")
    browser.wait("document.querySelector('.wrong')?.textContent.includes('x')")
    browser.refused(400)


def test_hostile_text_is_text(lab, browser):
    show(browser)
    browser.says(HOSTILE)
    show(browser, "objects?kind=Port")
    browser.wait("document.querySelectorAll('details').length === 3")
    browser.evaluate("document.querySelectorAll('summary').forEach((one) => one.click())")
    browser.says(HOSTILE)
    for name in ("network", "search"):
        show(browser, f"ports?{name}=%3Cimg%20src=x%20onerror=alert(1)%3E")
        browser.says("No port is like that.")
    show(browser, "port?name=%3Cimg%20src=x%20onerror=alert(1)%3E")
    browser.says("There is no such port.")
    assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert "taken" not in browser.evaluate("document.title")
    # Nor does the browser let anything be made of text.
    assert browser.evaluate("(() => { try { document.body.innerHTML = '<b>'; return 'made'; } catch { return 'refused'; } })()"
                            ) == "refused"
    browser.complaints.clear()


def test_a_stranger_is_refused(browser):
    """DNS rebinding: a name of somebody else that leads here."""
    browser.open("http://attacker.example:9177/api/overview")
    browser.says("this page is asked for by")
    assert "revision" not in browser.text()
    browser.complaints.clear()
    browser.requests.clear()


VIEWS = ["", "networks", "ports?where=all", "port?name=right", "connections", "objects",
         "trace?port=left&protocol=tcp&source=10.1.0.11&sourcePort=1&destination=10.1.0.12&destinationPort=81"]


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_is_cut_off(lab, browser, width):
    browser.size(width, 900)
    show(browser)
    browser.wait("document.querySelectorAll('.problems li').length")
    dropped(lab)
    browser.says("security-group-ingress")
    for view in VIEWS:
        show(browser, view)
        browser.wait("document.querySelector('#node').textContent === 'a'")
        browser.wait("document.querySelectorAll('main .badge, main .walk, main .summary').length > 0 || location.hash === '#/'")
        out = browser.evaluate("""[...document.querySelectorAll("main *, header *")].filter((one) => {
            const box = one.getBoundingClientRect();
            return box.width > 1 && !one.closest("svg, pre, .hidden, option") && (box.right > innerWidth + 1 || box.left < -1);
        }).map((one) => `${one.tagName} ${one.className} ${one.textContent}`.slice(0, 80))""")
        assert not out, (view, out)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, view


CONTRAST = """(() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
            const value = part / 255;
            return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
        }
        return "white";
    };
    const poor = [];
    for (const node of document.querySelectorAll("body *")) {
        if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
        if (node.closest("svg, .hidden, .skip, option, [hidden], [aria-disabled], noscript") || !node.offsetParent) continue;
        const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) poor.push(`${node.textContent.slice(0, 40)} ${ratio.toFixed(2)}`);
    }
    return poor;
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(browser, theme):
    """WCAG 2.1, 1.4.3, in both themes."""
    browser.theme(theme)
    for view in VIEWS:
        show(browser, view)
        browser.wait("document.querySelector('#node').textContent === 'a'")
        browser.wait("document.querySelector('main').textContent.length > 60")
        browser.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
        assert browser.evaluate(CONTRAST) == [], view


def test_theme_is_chosen_and_kept(browser):
    show(browser)
    back = "getComputedStyle(document.body).backgroundColor"
    light = browser.evaluate(back)
    browser.theme("dark")
    dark = browser.evaluate(back)
    assert light != dark
    button = "document.querySelector('#theme')"
    browser.evaluate(f"{button}.click()")
    assert (browser.evaluate(f"{button}.textContent"), browser.evaluate(back)) == ("Light theme", light)
    browser.theme("light")
    browser.evaluate(f"{button}.click()")
    browser.reload()
    browser.wait(f"document.querySelector('#theme')?.textContent === 'Dark theme' && {back} === {json.dumps(dark)}")
    browser.evaluate(f"{button}.click()")


def test_keyboard(browser):
    show(browser)
    browser.wait("document.querySelector('#node').textContent === 'a'")
    focus = "document.activeElement.textContent"
    seen = []
    for _ in range(9):
        browser.press("Tab")
        seen.append(browser.evaluate(focus))
    assert seen[0] == "Skip to the content"
    assert seen[1] == "Sluice" and "Ports" in seen and any("theme" in one for one in seen)
    # Whoever has the focus in a list keeps it while the numbers change.
    show(browser, "ports")
    browser.wait("document.querySelectorAll('tbody a').length > 0")
    browser.evaluate("document.querySelector('tbody a').focus(); document.querySelector('tbody').mark = 1;")
    asked = len(browser.requests)
    eventually(lambda: browser.evaluate("1") and sum("/api/ports" in url for url in browser.requests[asked:]) >= 2)
    assert browser.evaluate(focus) == "broken"
    assert browser.evaluate("document.querySelector('tbody').mark") == 1
    browser.press("Enter")
    browser.wait("location.hash === '#/port?name=broken'")


def test_everything_has_a_name(browser):
    """For those who hear the page."""
    for view in VIEWS:
        show(browser, view)
        browser.wait("document.querySelector('#node').textContent === 'a'")
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        speaking = {"link", "button", "textbox", "searchbox", "combobox", "img", "image", "table", "heading"}
        silent = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in speaking
                  and not node.get("name", {}).get("value")]
        assert not silent, (view, [(node["role"], node.get("childIds")) for node in silent])
        assert browser.evaluate("document.querySelectorAll('h1').length") == 1


def test_a_node_that_goes_and_comes(one_lab):
    lab = one_lab(options=["--metrics", ADDRESS, "--page"])
    node = lab.nodes["a"]
    browser = Browser(node.netns)
    try:
        show(browser)
        browser.says("healthy")
        node.stop()
        browser.says("The node does not answer.")
        node.start()
        browser.wait("document.querySelector('#trouble').hidden")
    finally:
        browser.close()

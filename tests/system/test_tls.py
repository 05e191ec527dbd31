"""The API over TLS: who gets in, what roles may do, and certificates that change while the node runs."""

import contextlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import yaml

import netns
from certificates import Authority, replace
from node import BUILD, eventually, sluice

PLACE = "127.0.0.1:8443"
NAMES = "DNS:localhost,IP:127.0.0.1,IP:::1"
ROLES = {"write": ["CN=admin,O=Example", "spiffe://example.org/controller"],
         "operate": ["spiffe://example.org/oncall/*"],
         "read": ["CN=reader,O=Example", "CN=reader\\, \\\"x\\\",O=Example", "spiffe://example.org/readers/one"]}


class Pki:
    """A CA, a directory with the node's files, and callers."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.ca = Authority(self.directory)
        self.other = Authority(self.directory, "other")
        self.node = self.ca.issue("/O=Example/CN=node-a", NAMES)
        self.admin = self.ca.issue("/O=Example/CN=admin")
        self.reader = self.ca.issue("/O=Example/CN=reader")
        self.oncall = self.ca.issue("/O=SPIRE", "URI:spiffe://example.org/oncall/alice")
        self.nobody = self.ca.issue("/O=Example/CN=nobody")

    def options(self, roles=None, listen=":8443"):
        """Of a node that reads copies of the files, which the test may replace."""
        files = {}
        for name, source in (("cert", self.node.crt), ("key", self.node.key), ("ca", self.ca.crt)):
            files[name] = self.directory / f"node-{name}.pem"
            replace(files[name], source)
        config = self.directory / "sluiced.yaml"
        config.write_text(yaml.safe_dump({"roles": ROLES if roles is None else roles}), encoding="utf-8")
        self.files = files
        return ["--listen", listen, "--config", config, "--metrics", "127.0.0.1:9177",
                *[part for name, path in files.items() for part in (f"--tls-{name}", path)]]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def node(make_lab, pki):
    lab = make_lab(options=pki.options())
    lab.network("blue", 1)
    lab.up()
    return lab.nodes["a"]


def remote(node, pki, caller, *arguments, place=PLACE, ca=None, **options):
    """The command line over TLS."""
    with netns.inside(node.netns):
        return sluice("--api", f"tls:{place}", "--cert", caller.crt, "--key", caller.key, "--ca", ca or pki.ca.crt,
                      *arguments, **options)


def grpc_calls(node, pki, *calls):
    """Each (caller, method) or (caller, method, {what else}); the answers."""
    listed = []
    for caller, method, *more in calls:
        call = {"address": PLACE, "ca": str(pki.ca.crt), "method": method, **(more[0] if more else {})}
        if caller:
            call |= {"crt": str(caller.crt), "key": str(caller.key)}
        listed.append(call)
    with netns.inside(node.netns):
        result = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("grpc_over_tls.py")],
                                input=json.dumps(listed), capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def context(pki, caller=None, alpn=("h2",)):
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(pki.ca.crt))
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if caller:
        made.load_cert_chain(caller.crt, caller.key)
    return made


def connect(node, address=("127.0.0.1", 8443)):
    with netns.inside(node.netns):
        return socket.create_connection(address, timeout=60)


def talk(node, made, name="127.0.0.1"):
    """The first bytes that the server says, or the error."""
    with connect(node) as raw:
        try:
            with made.wrap_socket(raw, server_hostname=name) as wrapped:
                return wrapped.recv(100)
        except OSError as error:
            return str(error)


def served(node, pki):
    """The serial number of the certificate that the node shows."""
    with connect(node) as raw, context(pki, pki.reader).wrap_socket(raw, server_hostname="localhost") as wrapped:
        return int(wrapped.getpeercert()["serialNumber"], 16)


def serial(certificate):
    return int(netns.run("openssl", "x509", "-noout", "-serial", "-in", certificate.crt).split("=")[1], 16)


def log_lines(node, text):
    return [line for line in node.lines() if text in line]


# Who gets in.

@pytest.mark.parametrize("place", ["127.0.0.1:8443", "[::1]:8443", "localhost:8443"])
def test_grpc_over_ipv4_and_ipv6_and_by_name(node, pki, place):
    version, flows = grpc_calls(node, pki, (pki.reader, "Version", {"address": place}),
                                (pki.reader, "Flows", {"address": place}))
    assert version == {"code": "OK", "answer": {"version": "0.1.0", "node": "a"}}
    assert flows == {"code": "OK", "count": 0}


def test_grpc_of_strangers_is_unavailable(node, pki):
    expired = pki.ca.issue("/O=Example/CN=admin", days=-1)
    foreign = pki.other.issue("/O=Example/CN=admin")
    answers = grpc_calls(node, pki, (None, "Version"), (foreign, "Version"), (expired, "Version"),
                         (pki.admin, "Version", {"ca": str(pki.other.crt)}))
    assert [answer["code"] for answer in answers] == ["UNAVAILABLE"] * 4


@pytest.mark.parametrize("what, alert", [("none", "certificate required"), ("foreign", "unknown ca"),
                                         ("expired", "certificate expired"), ("server's", "unsupported certificate"),
                                         ("old TLS", "protocol version"), ("HTTP/1.1", "no application protocol")])
def test_each_is_told_why(node, pki, what, alert):
    caller = {"foreign": lambda: pki.other.issue("/O=Example/CN=admin"),
              "expired": lambda: pki.ca.issue("/O=Example/CN=admin", days=-1),
              "server's": lambda: pki.ca.issue("/O=Example/CN=admin", usage="serverAuth")}.get(what, lambda: pki.admin)()
    made = context(pki, None if what == "none" else caller, ["http/1.1"] if what == "HTTP/1.1" else ["h2"])
    if what == "old TLS":
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    assert alert in talk(node, made).lower().replace("_", " ")


def test_without_a_protocol(node, pki):
    assert talk(node, context(pki, pki.admin, alpn=None)) == b""


def test_other_bytes_than_tls(node):
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), b""):
        with connect(node) as raw, contextlib.suppress(OSError):
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1000):
                pass
    node.check()


def test_refusals_are_counted_and_logged_sparingly(node, pki):
    before = int(node.stats()["api"]["tlsRefused"])
    for _ in range(20):
        talk(node, context(pki))
    assert int(node.stats()["api"]["tlsRefused"]) >= before + 20
    assert 1 <= len(log_lines(node, "caller refused")) <= 10


# Roles.

ALLOWED = {"none": [], "read": ["Get"], "operate": ["Get", "Capture"], "write": ["Get", "Capture", "Apply"]}


def test_roles(node, pki):
    issue = pki.ca.issue
    callers = [("none", pki.nobody), ("read", pki.reader), ("operate", pki.oncall), ("write", pki.admin),
               ("read", issue("/", "URI:spiffe://example.org/readers/one")),
               ("none", issue("/", "URI:spiffe://example.org/readers/oneself")),
               ("none", issue("/", "URI:spiffe://example.org/oncall")),
               ("write", issue("/CN=x", "DNS:x,URI:spiffe://example.org/controller")),
               # One URI makes a SPIFFE ID, two make none.
               ("none", issue("/CN=x", "URI:spiffe://example.org/controller,URI:spiffe://example.org/x")),
               # The higher one of both.
               ("operate", issue("/O=Example/CN=reader", "URI:spiffe://example.org/oncall/bob")),
               # The order of a subject's parts counts, and what belongs to a name is not taken for its end.
               ("none", issue("/CN=admin/O=Example")), ("none", issue("/CN=admin")),
               ("none", issue("/O=Example/CN=admin,O=Example")), ("none", issue("/O=Example/OU=x/CN=admin")),
               ("none", issue("/"))]
    calls = []
    for _, caller in callers:
        # Who gets as far as the filter may capture.
        calls += [(caller, "Get", {"fields": {"kind": "Vrf"}}), (caller, "Capture", {"fields": {"filter": [{"code": 65535}]}}),
                  (caller, "Apply", {"fields": {"dryRun": True}}), (caller, "Nonsense")]
    answers = grpc_calls(node, pki, *calls)
    for number, (role, caller) in enumerate(callers):
        codes = [answer["code"] for answer in answers[4 * number:4 * number + 4]]
        expected = ["PERMISSION_DENIED" if method not in ALLOWED[role] else
                    "INVALID_ARGUMENT" if method == "Capture" else "OK" for method in ("Get", "Capture", "Apply")]
        expected.append("PERMISSION_DENIED" if role == "none" else "UNIMPLEMENTED")
        assert codes == expected, (role, netns.run("openssl", "x509", "-noout", "-text", "-in", caller.crt))


def test_who_is_denied_is_told_what_is_missing(node, pki):
    denied, unknown = grpc_calls(node, pki, (pki.oncall, "Apply"), (pki.nobody, "Version"))
    assert denied["text"] == "Apply needs the role write, and spiffe://example.org/oncall/alice has operate"
    assert unknown["text"] == "CN=nobody,O=Example has no role here (roles in sluiced's --config)"


def test_a_request_is_denied_before_it_is_read(node, pki):
    """The answer comes to the headers: 60 MB of a request that may not be are not waited for."""
    result = remote(node, pki, pki.reader, "apply", "-f", "-",
                    input=json.dumps([{"kind": "Vrf", "name": f"vrf-{i}"} for i in range(5000)]))
    assert result.returncode == 1
    assert result.stderr == "sluice: Apply needs the role write, and CN=reader,O=Example has read\n"
    assert "vrf-1" not in node.ok("get", "vrfs")


def test_changes_are_their_callers(node, pki):
    assert remote(node, pki, pki.admin, "apply", "-f", "-", input="{kind: Vrf, name: mine}").stdout == "Vrf/mine created\n"
    assert "CN=admin,O=Example" in node.ok("history")
    node.delete("Vrf", "mine")


# The command line.

def test_the_command_line(node, pki):
    variables = {**os.environ, "SLUICE_API": f"tls:{PLACE}", "SLUICE_CERT": str(pki.admin.crt),
                 "SLUICE_KEY": str(pki.admin.key), "SLUICE_CA": str(pki.ca.crt)}
    with netns.inside(node.netns):
        for arguments in (["version"], ["get", "networks"], ["stats"], ["flows"],
                          ["diff", "-f", "-"], ["trace", "--port", "uplink", "tcp 10.1.0.2:1 > 10.1.0.3:2"]):
            text = "{kind: Vrf, name: x}" if "diff" in arguments else ""
            local = node.run(*arguments, input=text)
            far = sluice(*arguments, env=variables, input=text)
            assert (far.returncode, far.stderr.replace("tls", "")) == (local.returncode, local.stderr)
            if arguments[0] != "stats":
                assert far.stdout == local.stdout
        # An option goes before its variable, and completion asks the same server.
        assert "CN=reader" in sluice("delete", "vrf", "none", "--cert", pki.reader.crt, "--key", pki.reader.key,
                                     env=variables).stderr
        names = sluice("completion", "words", "--", "sluice", "get", "network", "", env=variables).stdout
        assert names.splitlines() == [":words", "blue"]
        names = sluice("completion", "words", "--", "sluice", "--cert", pki.nobody.crt, f"--key={pki.nobody.key}", "get",
                       "network", "", env=variables).stdout
        assert names.splitlines() == [":words"]


def test_a_large_answer_and_a_large_request(node, pki):
    objects = [{"kind": "Vrf", "name": f"vrf-{i}-{'x' * 40}"} for i in range(5000)]
    text = "\n---\n".join(json.dumps(o) for o in objects)
    assert len(remote(node, pki, pki.admin, "apply", "-f", "-", input=text).stdout.splitlines()) == 5000
    got = json.loads(remote(node, pki, pki.admin, "get", "vrfs", "-o", "json").stdout)
    assert {o["name"] for o in objects} <= {o["name"] for o in got}
    assert remote(node, pki, pki.admin, "rollback", "1").returncode == 0


def test_what_the_command_line_says(node, pki):
    def said(*arguments, caller=pki.admin, **options):
        result = remote(node, pki, caller, "version", *arguments, **options)
        assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
        return result.stderr

    begin = f"sluice: no TLS with sluiced at tls:{PLACE}: "
    assert said(caller=pki.other.issue("/CN=x")) == begin + "the other side says 'unknown CA'\n"
    assert said(caller=pki.ca.issue("/CN=x", days=-1)) == begin + "the other side says 'certificate expired'\n"
    assert said(ca=pki.other.crt).startswith(begin + "self-signed certificate in certificate chain")
    assert said(place="127.0.0.2:8443").endswith("127.0.0.2:8443: IP address mismatch\n")
    assert said(place="127.0.0.1:8444") == "sluice: cannot reach sluiced at tls:127.0.0.1:8444: Connection refused\n"
    assert said(place="127.0.0.1:9177").startswith("sluice: no TLS with sluiced at tls:127.0.0.1:9177: ")
    assert said(place="nonsense") == "sluice: tls: 'nonsense' is not HOST:PORT\n"
    assert said("--cert", "/nowhere") == "sluice: certificate /nowhere: No such file or directory\n"
    assert said("--key", pki.reader.key) == f"sluice: key {pki.reader.key} is not that of certificate {pki.admin.crt}\n"
    assert said("--ca", pki.admin.key) == f"sluice: CA certificate {pki.admin.key}: no certificate or crl found\n"
    assert said("--cert", "", env={}) == (f"sluice: tls:{PLACE} needs --cert FILE (or SLUICE_CERT, SLUICE_KEY and "
                                          "SLUICE_CA)\n")
    assert "unix:" in said("--api", "tcp:x") and "tls:" in said("--api", "tcp:x")


# Certificates that change.

def test_a_renewed_certificate_is_used(node, pki):
    fresh = pki.ca.issue("/O=Example/CN=node-a", NAMES, days=3)
    with connect(node) as raw, context(pki, pki.reader).wrap_socket(raw, server_hostname="localhost") as old:
        assert old.recv(100)
        replace(pki.files["cert"], fresh.crt)
        replace(pki.files["key"], fresh.key)
        eventually(lambda: served(node, pki) == serial(fresh))
        # Who was connected stays: a PING is answered.
        old.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" b"\0\0\x08\6\0\0\0\0\0payload!")
        received = b""
        while b"payload!" not in received:
            received += old.recv(1000)
    assert log_lines(node, "new certificates in use")


def test_doctor_and_metrics_tell_its_end(node, pki):
    end = netns.run("openssl", "x509", "-noout", "-enddate", "-in", pki.files["cert"]).split("=")[1].strip()
    with netns.inside(node.netns):
        with socket.create_connection(("127.0.0.1", 9177)) as raw:
            raw.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = raw.makefile().read()
    line = [line for line in text.splitlines() if line.startswith("sluice_tls_certificate_not_after_seconds")]
    assert line == [f"sluice_tls_certificate_not_after_seconds {ssl.cert_time_to_seconds(end)}"]
    findings = {f["check"]: f for f in json.loads(node.run("doctor", "-o", "json").stdout)}
    assert findings["certificate"]["result"] == "warning"
    assert "ends in 3.0 days" in findings["certificate"]["text"] or "ends in 2.9 days" in findings["certificate"]["text"]


@pytest.mark.parametrize("what", ["garbage", "foreign key", "missing"])
def test_wrong_files_leave_the_old_ones(node, pki, what):
    before, lines = served(node, pki), len(node.lines())
    key = pki.files["key"].read_bytes()
    if what == "missing":
        pki.files["key"].unlink()
    else:
        pki.files["key"].write_bytes(b"nonsense" if what == "garbage" else pki.reader.key.read_bytes())
    said = eventually(lambda: [line for line in node.lines()[lines:] if "new certificates not used" in line])
    assert str(pki.files["key"]) in said[0]
    assert served(node, pki) == before
    # The right one again: used without a word too many.
    pki.files["key"].write_bytes(key)
    eventually(lambda: [line for line in node.lines()[lines:] if "new certificates in use" in line])
    assert len([line for line in node.lines()[lines:] if "new certificates not used" in line]) == 1
    assert served(node, pki) == before


def test_another_ca_disconnects_whom_it_does_not_know(node, pki):
    foreign = pki.other.issue("/O=Example/CN=reader")
    with connect(node) as raw, context(pki, pki.reader).wrap_socket(raw, server_hostname="localhost") as old:
        assert old.recv(100)
        replace(pki.files["ca"], pki.other.crt)
        with contextlib.suppress(ConnectionResetError):
            assert old.recv(100) == b""
    assert remote(node, pki, foreign, "version").returncode == 0
    assert remote(node, pki, pki.reader, "version").returncode == 1
    said = log_lines(node, "caller disconnected")
    assert "CN=reader,O=Example" in said[0] and "the new CA does not know its certificate" in said[0]
    replace(pki.files["ca"], pki.ca.crt)
    eventually(lambda: remote(node, pki, pki.reader, "version").returncode == 0)


def test_who_is_connected_when_its_certificate_ends(node, pki):
    brief = pki.ca.issue_for(5, "/O=Example/CN=reader")
    with connect(node) as raw, context(pki, brief).wrap_socket(raw, server_hostname="localhost") as old:
        assert old.recv(100)
        with contextlib.suppress(ConnectionResetError):
            assert old.recv(100) == b""
    assert "its certificate has ended" in log_lines(node, "caller disconnected")[-1]


def test_links_that_are_swapped(one_lab, tmp_path, pki):
    """As Kubernetes mounts a Secret: files are links through a link to a directory."""
    second = pki.ca.issue("/O=Example/CN=node-b", NAMES)
    for number, certificate in enumerate([pki.node, second], 1):
        directory = tmp_path / f"..{number}"
        directory.mkdir()
        for name, source in (("tls.crt", certificate.crt), ("tls.key", certificate.key), ("ca.crt", pki.ca.crt)):
            (directory / name).write_bytes(source.read_bytes())
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    node = one_lab(options=["--listen", "127.0.0.1:8443", "--tls-cert", tmp_path / "tls.crt", "--tls-key",
                            tmp_path / "tls.key", "--tls-ca", tmp_path / "ca.crt"]).nodes["a"]
    assert served(node, pki) == serial(pki.node)
    assert log_lines(node, "nobody has a role over TLS")
    (tmp_path / "..new").symlink_to("..2")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    eventually(lambda: served(node, pki) == serial(second))


# Strangers who take their time.

def test_a_handshake_that_stands_still(node, pki):
    """Those who were silent for longest make room; who has a role stays, and comes in."""
    refused = int(node.stats()["api"]["tlsRefused"])
    with connect(node) as raw, context(pki, pki.reader).wrap_socket(raw, server_hostname="localhost") as known:
        assert known.recv(100)
        silent = [connect(node) for _ in range(60)]
        try:
            assert silent[0].recv(1) == b""
            assert remote(node, pki, pki.reader, "version").returncode == 0
            assert int(node.stats()["api"]["tlsConnections"]) <= 33
            # The others have 10 seconds.
            assert silent[-1].recv(1) == b""
            eventually(lambda: int(node.stats()["api"]["tlsConnections"]) <= 1)
            assert int(node.stats()["api"]["tlsRefused"]) == refused + 60
        finally:
            for one in silent:
                one.close()


# What is wrong with options.

@pytest.mark.parametrize("options, why", [
    (["--listen", "nonsense"], "--listen: 'nonsense' is not HOST:PORT"),
    (["--listen", "::1:8443"], "--listen: '::1:8443' is not HOST:PORT"),
    (["--listen", "[]:8443"], "--listen: '[]:8443' is not HOST:PORT"),
    (["--listen", "127.0.0.1:http"], "--listen: 'http' is no number from 0 to 65535"),
    (["--listen", "127.0.0.1:65536"], "--listen: '65536' is no number from 0 to 65535"),
    (["--listen", ":8443"], "--listen needs --tls-cert FILE; see --help"),
    (["--listen", ":8443", "--tls-cert", "x", "--tls-key", "x"], "--listen needs --tls-ca FILE; see --help"),
    (["--tls-key", "x"], "--tls-key needs --listen HOST:PORT; see --help"),
    (["--tls-ca", ""], "--tls-ca: 1 to 255 characters, please"),
])
def test_wrong_options(options, why):
    result = subprocess.run([BUILD / "sluiced", "--node", "x", *options], capture_output=True, text=True, check=False,
                            timeout=60)
    assert (result.returncode, result.stderr) == (2, f"sluiced: {why}\n")


@pytest.mark.parametrize("text, why", [
    ("roles: 5\n", "1: roles: expected ROLE: [NAME, ...], as read: [\"*\"]"),
    ("roles:\n  reed: [\"*\"]\n", "2: roles: 'reed' is no role: read, operate or write"),
    ("roles:\n  read: admin\n", "2: roles: 'admin' is neither *, a SPIFFE ID nor a subject, as CN=admin,O=Example "
                                "(openssl x509 -noout -subject -nameopt RFC2253 -in FILE)"),
    ("roles:\n  read:\n    - O = Example, CN = admin\n", "3: roles: 'O = Example, CN = admin' is neither"),
    ("roles:\n  read: [/O=Example/CN=admin]\n", "2: roles: '/O=Example/CN=admin' is neither"),
    ("roles:\n  read: [spiffe://example.org*]\n", "2: roles: 'spiffe://example.org*' is no SPIFFE ID"),
    ("roles:\n  read: [\"spiffe://*\"]\n", "2: roles: 'spiffe://*' is no SPIFFE ID"),
    ("roles:\n  read: [\"\"]\n", "2: roles: '' is neither"),
    ("roles:\n  read: [[x]]\n", "2: roles: read: expected names of certificates"),
    ("roles:\n  [x]: y\n", "2: roles: expected ROLE: [NAME, ...]"),
])
def test_wrong_roles(tmp_path, text, why):
    config = tmp_path / "sluiced.yaml"
    config.write_text(text, encoding="utf-8")
    result = subprocess.run([BUILD / "sluiced", "--node", "x", "--config", config], capture_output=True, text=True,
                            check=False, timeout=60)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"sluiced: {config}:{why}")


def test_roles_without_tls(tmp_path):
    config = tmp_path / "sluiced.yaml"
    config.write_text("roles: {read: \"*\"}\n", encoding="utf-8")
    result = subprocess.run([BUILD / "sluiced", "--node", "x", "--config", config], capture_output=True, text=True,
                            check=False, timeout=60)
    assert (result.returncode, result.stderr) == (2, "sluiced: roles need --listen HOST:PORT: who may open the Unix "
                                                     "socket may do everything\n")


def test_upgrade(node, pki):
    """Whoever calls by TLS meanwhile is answered, by the one process or the other."""
    stop, failures = threading.Event(), []

    def ask():
        while not stop.is_set():
            result = remote(node, pki, pki.reader, "version")
            if result.returncode != 0:
                failures.append(result.stderr)

    thread = threading.Thread(target=ask)
    thread.start()
    pids = [json.loads(remote(node, pki, pki.admin, "upgrade", "-o", "json").stdout)["pid"] for _ in range(2)]
    stop.set()
    thread.join()
    assert not failures and len(set(pids)) == 2
    # A program is named by who is on the node, and nobody else.
    result = remote(node, pki, pki.admin, "upgrade", "--binary", "/bin/true")
    assert result.returncode == 1 and "a program is named on its own node only" in result.stderr
    assert remote(node, pki, pki.nobody, "version").returncode == 1


@pytest.mark.parametrize("wrong, why", [
    ({"cert": "/nowhere"}, "certificate /nowhere: No such file or directory"),
    ({"key": "OTHER"}, "is not that of certificate"),
    ({"ca": "KEY"}, "no certificate or crl found"),
    ({"listen": "192.0.2.7:8443"}, "192.0.2.7:8443: Cannot assign requested address"),
])
def test_files_that_cannot_be_used(pki, tmp_path, wrong, why):
    places = {"cert": pki.node.crt, "key": pki.node.key, "ca": pki.ca.crt, "listen": "127.0.0.1:0", **wrong}
    places = {name: {"OTHER": pki.admin.key, "KEY": pki.node.key}.get(place, place) for name, place in places.items()}
    listen = places.pop("listen")
    result = subprocess.run([BUILD / "sluiced", "--node", "x", "--memory", "32", "--connections", "64", "--state",
                             tmp_path / "x.db", "--api", f"unix:{tmp_path}/x.sock", "--listen", listen,
                             *[part for name, path in places.items() for part in (f"--tls-{name}", path)]],
                            capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "cannot start" in last and "listen: " in last and why in last

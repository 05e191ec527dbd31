"""nginx behind a virtual address, and wrk as its client, while members come, drain and go."""

import signal

import pytest

from node import eventually

VIP = {"v4": "10.2.0.200", "v6": "fd00:2::200"}
NAMES = ("one", "two", "three")

# A connection has so few requests that there are always new ones.
CONFIGURATION = """
daemon off; master_process off; pid {path}.pid; error_log {path}.error;
events {{ worker_connections 512; }}
http {{
    access_log {path}.log; keepalive_requests 20;
    client_body_temp_path {path}.t1; proxy_temp_path {path}.t2; fastcgi_temp_path {path}.t3; uwsgi_temp_path {path}.t4;
    scgi_temp_path {path}.t5;
    server {{ listen 8080; listen [::]:8080; location / {{ return 200 "{name}"; }} }}
}}
"""


@pytest.fixture(scope="module")
def lab(make_lab):
    # Those that are over count for a minute still, and wrk is quick.
    lab = make_lab(options=["--connections", "65536"])
    lab.network("blue", 1)
    lab.network("red", 2)
    for name in NAMES:
        lab.workload(name, "a", "blue", kernel=True)
    lab.workload("client", "a", "red", kernel=True)
    lab.up()
    servers = []
    for name in NAMES:
        path = lab.directory / f"nginx-{name}"
        path.write_text(CONFIGURATION.format(path=path, name=name), encoding="utf-8")
        servers.append(lab[name].popen("nginx", "-e", f"{path}.error", "-c", str(path)))
    for name in NAMES:
        eventually(lambda name=name: reachable(lab, name))
    yield lab
    for server in servers:
        server.send_signal(signal.SIGTERM)
    for server in servers:
        server.communicate(timeout=30)


def reachable(lab, name):
    try:
        lab["client"].connect(lab[name], 8080).close()
    except OSError:
        return False
    return True


def balancer(lab, *members):
    lab.apply({"kind": "LoadBalancer", "name": "web", "vrf": "t1", "addresses": list(VIP.values()),
               "ports": [{"port": 80, "memberPort": 8080}],
               "members": [{"port": member} if isinstance(member, str) else member for member in members]})


def served(lab, name):
    path = lab.directory / f"nginx-{name}.log"
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0


def alive(lab, name):
    """Connections of wrk that are at the member and not over."""
    return [flow for flow in lab.nodes["a"].flows() if flow["destinationAt"] == name and flow["destinationPort"] == 80
            and flow["state"] in ("syn-sent", "syn-received", "established", "closing")]


def test_members_come_and_go(lab, family):
    """No request fails."""
    balancer(lab, "one", "two")
    before, drops = {name: served(lab, name) for name in NAMES}, lab.drops()
    host = VIP[family] if family == "v4" else f"[{VIP[family]}]"
    wrk = lab["client"].popen("wrk", "-t", "1", "-c", "8", "-d", "60s", f"http://{host}/")
    try:
        eventually(lambda: min(served(lab, name) - before[name] for name in ("one", "two")) > 50)
        balancer(lab, "one", "two", "three")
        eventually(lambda: served(lab, "three") - before["three"] > 50)
        balancer(lab, "one", {"port": "two", "drain": True}, "three")
        eventually(lambda: not alive(lab, "two"))
        balancer(lab, "one", "three")
        after = served(lab, "one")
        eventually(lambda: served(lab, "one") > after + 50)
    finally:
        # It says what it has counted.
        wrk.send_signal(signal.SIGINT)
        said, _ = wrk.communicate(timeout=30)
    assert "requests in" in said and "Socket errors" not in said and "Non-2xx" not in said, said
    # Nor does one hang.
    assert lab.drops("translation-gone", "no-member") == {key: count for key, count in drops.items()
                                                          if key[1] in ("translation-gone", "no-member")}

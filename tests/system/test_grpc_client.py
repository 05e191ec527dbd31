"""The API as an official gRPC client sees it: python3-grpcio, with messages made from api/sluice.proto.

Each test takes the path of the API socket of a running sluiced (fixture `api_socket`). By hand, against an empty
sluiced: python3 test_grpc_client.py /run/sluice/sluiced.sock
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protobuf_fields import fields

ROOT = pathlib.Path(__file__).resolve().parents[2]


def load_messages():
    """All message classes of sluice.v1 by name."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "set")
        subprocess.run(["protoc", f"-I{ROOT}/api", f"--descriptor_set_out={out}", "sluice.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {m.name: factory.GetPrototype(pool.FindMessageTypeByName(f"sluice.v1.{m.name}"))
            for m in files.file[0].message_type}


M = load_messages()


class Client:
    def __init__(self, socket, **options):
        self.socket = socket
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=list(options.items()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, timeout=60, **fields):
        function = self.channel.unary_unary(f"/sluice.v1.Sluice/{method}",
                                            request_serializer=M[f"{method}Request"].SerializeToString,
                                            response_deserializer=M[f"{method}Response"].FromString)
        return function(M[f"{method}Request"](**fields), timeout=timeout)

    def future(self, method, **fields):
        function = self.channel.unary_unary(f"/sluice.v1.Sluice/{method}",
                                            request_serializer=M[f"{method}Request"].SerializeToString,
                                            response_deserializer=M[f"{method}Response"].FromString)
        return function.future(M[f"{method}Request"](**fields), timeout=60)

    def raw(self, method, data, stream=False, **options):
        kind = self.channel.unary_stream if stream else self.channel.unary_unary
        return kind(f"/sluice.v1.Sluice/{method}")(data, timeout=60, **options)

    def flows(self, **fields):
        function = self.channel.unary_stream("/sluice.v1.Sluice/Flows",
                                             request_serializer=M["FlowsRequest"].SerializeToString,
                                             response_deserializer=M["Flow"].FromString)
        return function(M["FlowsRequest"](**fields), timeout=60)


def failure(function, *args, **kwargs):
    """The error of a call that must fail."""
    try:
        function(*args, **kwargs)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def network(name, vrf="", vni=0, mtu=None):
    made = M["Network"](name=name, vrf=vrf, vni=vni)
    if mtu is not None:
        made.mtu = mtu
    return M["Object"](network=made)


def details(error):
    """What is in the details of an error, by type."""
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            # google.rpc.Status {1: code, 2: message, 3: Any {1: type_url, 2: value}}, read by hand.
            status = list(fields(value))
            assert dict(status)[1] == error.code().value[0] and dict(status)[2].decode() == error.details()
            entries = [dict(fields(part)) for number, part in status if number == 3]
            return {entry[1].decode().removeprefix("type.googleapis.com/"): entry[2] for entry in entries}
    raise AssertionError("no details")


def problems(error):
    """The Problems in the details of an error."""
    return M["Problems"].FromString(details(error)["sluice.v1.Problems"])


def violations(error, kind):
    """The violations in google.rpc.BadRequest or PreconditionFailure, as texts of their fields."""
    return [tuple(value.decode() for _, value in fields(part))
            for _, part in fields(details(error)[f"google.rpc.{kind}"])]


def test_version(api_socket):
    with Client(api_socket) as client:
        assert client.call("Version").version


def test_apply_get_delete(api_socket):
    with Client(api_socket) as client:
        before = client.call("Get", kind="networks").revision
        answer = client.call("Apply", objects=[network("grpc-a", mtu=1400)], dry_run=True)
        assert [c.action for c in answer.changes] == [1]
        assert client.call("Get", kind="networks").revision == before
        answer = client.call("Apply", objects=[network("grpc-a", mtu=1400)])
        assert [(c.kind, c.name, c.action) for c in answer.changes] == [("Network", "grpc-a", 1)]
        assert answer.revision == before + 1
        answer = client.call("Apply", objects=[network("grpc-a", mtu=1400)])
        assert [c.action for c in answer.changes] == [0] and answer.revision == before + 1
        got = client.call("Get", kind="Network", name="grpc-a").objects
        assert len(got) == 1 and got[0].network.mtu == 1400 and got[0].network.HasField("mtu")
        assert client.call("Delete", kind="network", name="grpc-a").revision == before + 2
        error = failure(client.call, "Get", kind="network", name="grpc-a")
        assert error.code() == grpc.StatusCode.NOT_FOUND and "grpc-a" in error.details()
        error = failure(client.call, "Delete", kind="network", name="grpc-a")
        assert error.code() == grpc.StatusCode.NOT_FOUND
        error = failure(client.call, "Get", kind="nonsense")
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_problems(api_socket):
    with Client(api_socket) as client:
        error = failure(client.call, "Apply", objects=[network("grpc-ü", vrf="nowhere"), network("grpc-b", mtu=1)])
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "grpc-ü" in error.details()
        found = {(p.kind, p.name, p.field) for p in problems(error).problems}
        assert ("Network", "grpc-ü", "name") in found
        assert ("Network", "grpc-ü", "vrf") in found
        assert ("Network", "grpc-b", "mtu") in found
        # What doesn't fit into headers is left out, and the call still ends properly.
        error = failure(client.call, "Apply", objects=[network(f"grpc-{i}", mtu=1) for i in range(2000)])
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        told = problems(error)
        assert 0 < len(told.problems) < told.total == 2000


def test_standard_details(api_socket):
    """For clients that know gRPC's error model and no types of Sluice."""
    with Client(api_socket) as client:
        group = M["Object"](security_group={"name": "grpc-g", "rules": [{}, {"direction": 1, "ports": "1-0"}]})
        error = failure(client.call, "Apply", objects=[network("grpc-ok"), network("grpc-b", mtu=1), group])
        found = dict(violations(error, "BadRequest"))
        assert set(found) == {"objects[1].network.mtu", "objects[2].securityGroup.rules[0].direction",
                              "objects[2].securityGroup.rules[1].ports"}
        assert {p.text for p in problems(error).problems} == set(found.values())
        # Of an object that the request does not have.
        client.call("Apply", objects=[M["Object"](vrf={"name": "grpc-v"}), network("grpc-c", vrf="grpc-v")])
        try:
            error = failure(client.call, "Delete", kind="vrf", name="grpc-v")
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
            (kind, subject, text), = violations(error, "PreconditionFailure")
            assert (kind, subject) == ("REFERENCED", "Network/grpc-c") and "grpc-v" in text
        finally:
            client.call("Delete", kind="network", name="grpc-c")
            client.call("Delete", kind="vrf", name="grpc-v")
        error = failure(client.call, "Apply", objects=[M["Object"]()])
        assert [field for field, _ in violations(error, "BadRequest")] == ["objects[0]"]


def test_large_request(api_socket):
    with Client(api_socket, **{"grpc.max_receive_message_length": -1}) as client:
        objects = [network(f"grpc-large-{i:05}") for i in range(30000)]
        answer = client.call("Apply", objects=objects, dry_run=True, timeout=60)
        assert len(answer.changes) == 30000


def test_flows(api_socket):
    with Client(api_socket) as client:
        list(client.flows())
        client.flows().cancel()
        assert client.call("Version").version


def test_many_at_once(api_socket):
    with Client(api_socket) as client:
        futures = [client.future("Stats") for _ in range(500)]
        assert all(f.result().HasField("connections") for f in futures)


def test_wrong_calls(api_socket):
    with Client(api_socket) as client:
        assert failure(client.raw, "Nothing", b"").code() == grpc.StatusCode.UNIMPLEMENTED
        assert failure(client.raw, "Apply", b"\xff\xff\xff").code() == grpc.StatusCode.INVALID_ARGUMENT
        assert failure(client.raw, "Apply", b"\x0a\x7fabc").code() == grpc.StatusCode.INVALID_ARGUMENT
        compressed = failure(client.raw, "Apply", b"\0" * 10000, compression=grpc.Compression.Gzip)
        assert compressed.code() == grpc.StatusCode.UNIMPLEMENTED
        huge = failure(client.raw, "Apply", b"\n\0" * (40 << 20))
        assert huge.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        # 24 million empty objects would take gigabytes.
        bomb = failure(client.raw, "Apply", b"\n\0" * (24 << 20))
        assert bomb.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.call("Version").version


def main():
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            function(sys.argv[1])
            print(name, "ok", flush=True)


if __name__ == "__main__":
    main()

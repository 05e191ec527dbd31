"""The health service, asked by python3-grpcio with messages that reflection describes."""

import socket

import grpc
import pytest
from google.protobuf import message_factory

from node import eventually
from test_grpc_reflection import SERVICES, Reflection

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


class Health:
    def __init__(self, channel):
        self.channel = channel
        pool = Reflection(channel).pool()
        factory = message_factory.MessageFactory(pool)
        self.types = {name: factory.GetPrototype(pool.FindMessageTypeByName(f"grpc.health.v1.Health{name}"))
                      for name in ("CheckRequest", "CheckResponse", "ListRequest", "ListResponse")}

    def check(self, service=""):
        call = self.channel.unary_unary("/grpc.health.v1.Health/Check",
                                        request_serializer=self.types["CheckRequest"].SerializeToString,
                                        response_deserializer=self.types["CheckResponse"].FromString)
        return call(self.types["CheckRequest"](service=service), timeout=60).status

    def watch(self, service="", timeout=60):
        call = self.channel.unary_stream("/grpc.health.v1.Health/Watch",
                                         request_serializer=self.types["CheckRequest"].SerializeToString,
                                         response_deserializer=self.types["CheckResponse"].FromString)
        return call(self.types["CheckRequest"](service=service), timeout=timeout)

    def list(self):
        call = self.channel.unary_unary("/grpc.health.v1.Health/List",
                                        request_serializer=self.types["ListRequest"].SerializeToString,
                                        response_deserializer=self.types["ListResponse"].FromString)
        return call(self.types["ListRequest"](), timeout=60).statuses


@pytest.fixture(scope="module")
def health(api_socket):
    with grpc.insecure_channel(f"unix:{api_socket}") as channel:
        yield Health(channel)


def test_it_serves(health):
    """The API answers only when the stored objects are in force."""
    assert health.check() == SERVING
    assert {name: state.status for name, state in health.list().items()} == \
        {name: SERVING for name in SERVICES | {""}}
    for service in SERVICES:
        assert health.check(service) == SERVING
    with pytest.raises(grpc.RpcError) as error:
        health.check("sluice.v1.Nothing")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_watch(health):
    first, unknown = health.watch(), health.watch("sluice.v1.Nothing")
    assert next(first).status == SERVING
    assert next(unknown).status == SERVICE_UNKNOWN
    first.cancel()
    unknown.cancel()
    # As long as nothing changes there is nothing to tell.
    short = health.watch(timeout=5)
    assert next(short).status == SERVING
    with pytest.raises(grpc.RpcError) as error:
        next(short)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_watchers_learn_of_the_end(one_lab):
    """As from any server: the call ends with UNAVAILABLE."""
    lab = one_lab()
    node = lab.nodes["a"]
    with grpc.insecure_channel(f"unix:{node.api}") as channel:
        watch = Health(channel).watch(timeout=60)
        assert next(watch).status == SERVING
        node.stop()
        with pytest.raises(grpc.RpcError) as error:
            next(watch)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
    node.start()


def test_too_many_connections(one_lab):
    """A client gets none, the log says so, and those that are there go on."""
    node = one_lab().nodes["a"]
    crowd = []
    try:
        while "too_many_connections" not in node.text():
            one = socket.socket(socket.AF_UNIX)
            crowd.append(one)
            assert len(crowd) < 200
            one.connect(str(node.api))
            # The server's settings, or the end: it may come before anything is said.
            try:
                one.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                received = one.recv(1)
            except (BrokenPipeError, ConnectionResetError):
                received = b""
        assert not received and len(crowd) == 129
        crowd.pop(0).close()
        eventually(lambda: node.run("version").returncode == 0)
    finally:
        for one in crowd:
            one.close()

"""What a client without proto files learns from the server's reflection, by python3-grpcio. Debian has no package of
its reflection and health messages, so they are made of the answers themselves."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protobuf_fields import field, fields

VERSIONS = ("v1", "v1alpha")
SERVICES = {"sluice.v1.Sluice", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"}
FILE, SYMBOL, EXTENSION, EXTENSIONS, LIST = 3, 4, 5, 6, 7
FILES, NUMBERS, SERVICE_LIST, ERROR = 4, 5, 6, 7


class Reflection:
    """A stream of questions; each answer is (kind, content)."""

    def __init__(self, channel, version="v1"):
        self.call = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")

    def ask(self, *questions):
        answers = []
        for request, answer in zip(questions, self.call(iter([field(*q) for q in questions]), timeout=60), strict=True):
            found = dict(fields(answer))
            assert found[2] == field(*request), "the request is part of its answer"
            kind, = found.keys() & {FILES, NUMBERS, SERVICE_LIST, ERROR}
            answers.append((kind, found[kind]))
        return answers

    def services(self):
        kind, content = self.ask((LIST, b"*"))[0]
        assert kind == SERVICE_LIST
        return {dict(fields(service))[1].decode() for _, service in fields(content)}

    def files(self, symbol):
        kind, content = self.ask((SYMBOL, symbol.encode()))[0]
        assert kind == FILES, dict(fields(content))
        return [descriptor_pb2.FileDescriptorProto.FromString(value) for _, value in fields(content)]

    def pool(self):
        """All types of all services."""
        pool = descriptor_pool.DescriptorPool()
        known = set()
        for service in sorted(self.services()):
            for file in reversed(self.files(service)):
                if file.name not in known:
                    pool.Add(file)
                    known.add(file.name)
        return pool


@pytest.fixture(scope="module")
def channel(api_socket):
    with grpc.insecure_channel(f"unix:{api_socket}") as made:
        yield made


@pytest.mark.parametrize("version", VERSIONS)
def test_services(channel, version):
    assert Reflection(channel, version).services() == SERVICES


@pytest.mark.parametrize("version", VERSIONS)
def test_every_symbol_is_found_in_its_file(channel, version):
    reflection = Reflection(channel, version)
    for symbol, name in (("sluice.v1.Sluice", "sluice.proto"), ("sluice.v1.Sluice.Apply", "sluice.proto"),
                         ("sluice.v1.Port", "sluice.proto"), ("sluice.v1.Port.mac", "sluice.proto"),
                         ("sluice.v1.Device.device", "sluice.proto"), ("sluice.v1.Direction", "sluice.proto"),
                         ("sluice.v1.DIRECTION_INGRESS", "sluice.proto"),
                         ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"),
                         ("google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto")):
        assert [file.name for file in reflection.files(symbol)] == [name], symbol
    assert reflection.ask((FILE, b"sluice.proto")) == reflection.ask((SYMBOL, b"sluice.v1.Port"))


def test_questions_without_answer(channel):
    """They end neither the call nor those behind them."""
    answers = Reflection(channel).ask((FILE, b"nothing.proto"), (SYMBOL, b"sluice.v1.Nothing"), (SYMBOL, b"sluice.v1"),
                                      (SYMBOL, b"\xff" * 300), (EXTENSION, field(1, b"sluice.v1.Port")),
                                      (EXTENSIONS, b"sluice.v1.Nothing"), (1, b"host"),
                                      (EXTENSIONS, b"sluice.v1.Port"), (LIST, b""))
    codes = [dict(fields(content)).get(1) for kind, content in answers if kind == ERROR]
    assert codes == [5, 5, 5, 5, 5, 5, 3]
    assert [kind for kind, _ in answers[7:]] == [NUMBERS, SERVICE_LIST]


def test_calls_by_what_was_learned(channel):
    """Generic tools work so: descriptions first, then calls made of them."""
    pool = Reflection(channel).pool()
    factory = message_factory.MessageFactory(pool)
    service = pool.FindServiceByName("sluice.v1.Sluice")

    def call(rpc, **values):
        method = service.methods_by_name[rpc]
        ask = channel.unary_unary(f"/{service.full_name}/{rpc}",
                                  request_serializer=factory.GetPrototype(method.input_type).SerializeToString,
                                  response_deserializer=factory.GetPrototype(method.output_type).FromString)
        return ask(factory.GetPrototype(method.input_type)(**values), timeout=60)

    assert call("Version").node == "a"
    call("Apply", objects=[{"network": {"name": "learned", "mtu": 1400}}])
    assert call("Get", kind="network", name="learned").objects[0].network.mtu == 1400
    call("Delete", kind="network", name="learned")


def test_comments_are_told(channel):
    """So tools that describe the API say what a field means."""
    file = Reflection(channel).files("sluice.v1.Port")[0]
    assert any("virtual NIC" in location.leading_comments for location in file.source_code_info.location)


def test_many_questions_at_once(channel):
    """More answers than any window has room for, in their order."""
    questions = [(SYMBOL, b"sluice.v1.Port"), (LIST, b""), (FILE, b"nothing.proto")] * 100
    kinds = [kind for kind, _ in Reflection(channel).ask(*questions)]
    assert kinds == [FILES, SERVICE_LIST, ERROR] * 100


def test_wrong_messages(channel):
    method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    for data, compression, code in ((b"\x1a\x7fabc", None, grpc.StatusCode.INVALID_ARGUMENT),
                                    (field(4, b"x" * 10000) * 10, None, grpc.StatusCode.RESOURCE_EXHAUSTED),
                                    (b"\0" * 10000, grpc.Compression.Gzip, grpc.StatusCode.UNIMPLEMENTED)):
        with pytest.raises(grpc.RpcError) as error:
            list(channel.stream_stream(method)(iter([data]), timeout=60, compression=compression))
        assert error.value.code() == code
    call = channel.stream_stream(method)(iter([field(LIST, b"")]), timeout=60)
    next(call)
    call.cancel()
    assert Reflection(channel).services() == SERVICES


def test_a_conversation_without_questions_ends_well(channel):
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(iter(()), timeout=60)
    assert not list(call)
    assert call.code() == grpc.StatusCode.OK

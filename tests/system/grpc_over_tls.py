"""Calls over TLS by an official gRPC client, in a process of its own: gRPC's threads stay in the network namespace in
which they began. Reads a list of calls as JSON, and prints a list of answers."""

import json
import sys

import grpc
from google.protobuf import json_format

from test_grpc_client import M


def credentials(call):
    def read(name):
        return open(call[name], "rb").read() if call.get(name) else None
    return grpc.ssl_channel_credentials(read("ca"), read("key"), read("crt"))


def run(call):
    method = call["method"]
    service, stream = "sluice.v1.Sluice", method in ("Flows", "Capture")
    # A method that is not known has no types: empty bytes.
    request = M.get(f"{method}Request")
    response = M.get("Flow" if method == "Flows" else "CapturedPacket" if method == "Capture" else f"{method}Response")
    with grpc.secure_channel(call["address"], credentials(call)) as channel:
        make = channel.unary_stream if stream else channel.unary_unary
        function = make(f"/{service}/{method}", request_serializer=request.SerializeToString if request else None,
                        response_deserializer=response.FromString if response else None)
        message = json_format.ParseDict(call.get("fields", {}), request()) if request else b""
        try:
            answer = function(message, timeout=60)
            if stream:
                return {"code": "OK", "count": len(list(answer))}
            return {"code": "OK", "answer": json_format.MessageToDict(answer)}
        except grpc.RpcError as error:
            return {"code": error.code().name, "text": error.details()}


if __name__ == "__main__":
    print(json.dumps([run(call) for call in json.load(sys.stdin)]))

// gRPC's server reflection: what the server's services and messages are, for clients that have no
// proto files (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md).

#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct rpc_server;
struct reflection;

// Adds grpc.reflection.v1.ServerReflection to the server, and the same as v1alpha. `set` is a
// packed google.protobuf.FileDescriptorSet, as protoc writes it. Listed are the services that the
// server has when it is asked. *reflection is closed after the server is freed, also on failure.
int reflection_open(struct rpc_server *server, const uint8_t *set, size_t size,
		    struct reflection **reflection, struct error *err);
void reflection_close(struct reflection *reflection);

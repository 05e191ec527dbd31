// gRPC's health service (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): whether
// the server's services serve, as load balancers and orchestrators ask it.

#pragma once

#include <stdbool.h>

#include "base/error.h"

struct rpc_server;
struct health;

// Adds grpc.health.v1.Health to the server. All its services have one state, NOT_SERVING to begin
// with, and so has the whole (the empty name). *health is closed after the server is freed, also on
// failure.
int health_open(struct rpc_server *server, struct health **health, struct error *err);
void health_close(struct health *health);

// Tells who watches. NULL: nobody asks yet.
void health_set(struct health *health, bool serving);

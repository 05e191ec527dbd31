// A service for tests of the server, in this thread or one of its own.

#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include <event2/event.h>

#include "rpc/server.h"

struct service {
	struct event_base *base;
	struct rpc_server *server;
	pthread_t thread;
	int stop[2];
	struct rpc_call *held[64]; // calls that are answered later
	size_t held_count;
	int streams; // that are open
	size_t pulled;
};

struct service *service_new(const struct rpc_limits *limits);
void service_free(struct service *service);

// The other end of a new connection to it.
int service_connect(struct service *service);

// Lets the server do what there is to do.
void service_turn(struct service *service);

// From start on the service belongs to its thread; stop frees it.
void service_start(struct service *service);
void service_stop(struct service *service);

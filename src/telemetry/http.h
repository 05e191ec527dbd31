// A small HTTP/1.1 server for GET and HEAD, by libmicrohttpd on libevent: no thread of its own, and
// nothing runs while nobody asks.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct event_base;
struct http_server;

struct http_answer {
	unsigned int status;	  // 200
	const char *content_type; // static
	char *body;		  // of malloc; the server frees it
	size_t size;		  // bytes of it
};

// Fills the answer to GET (HEAD gets its headers only). `path` begins with '/' and has no query.
// False: there is nothing (404). Called on the event loop's thread.
typedef bool http_handler(void *context, const char *path, struct http_answer *answer);

// Listens on "HOST:PORT": an address, an IPv6 one in brackets, or a name; an empty HOST is all
// addresses. Names are looked up here, once. At most 16 connections at a time, each of which ends
// after 5 seconds without anything.
int http_server_open(struct event_base *base, const char *address, http_handler *handler,
		     void *context, struct http_server **server, struct error *err);
// NULL does nothing.
void http_server_close(struct http_server *server);

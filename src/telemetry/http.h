// A small HTTP/1.1 server for GET and HEAD, by libmicrohttpd on libevent: no thread of its own, and
// nothing runs while nobody asks.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct event_base;
struct http_server;

struct http_request {
	const char *path; // begins with '/', has no query
	void *connection; // libmicrohttpd's
};

struct http_header {
	const char *name;
	const char *value;
};

struct http_answer {
	unsigned int status;	  // 200
	const char *content_type; // static
	char *body;		  // of malloc; the server frees it
	bool body_is_static;	  // the server does not
	size_t size;		  // bytes of it
	// Beside content type and caching (which is forbidden): static, the last one has no name;
	// NULL: none.
	const struct http_header *headers;
};

// Fills the answer to GET (HEAD gets its headers only). False: there is nothing (404). Called on
// the event loop's thread.
typedef bool http_handler(void *context, const struct http_request *request,
			  struct http_answer *answer);

// A parameter behind the path's '?', decoded: bytes of the stranger's choice. "" where there is
// none. Valid during the call of the handler, as is the next one's result, a header's value or "".
const char *http_query(const struct http_request *request, const char *name);
const char *http_header(const struct http_request *request, const char *name);

// Takes "HOST:PORT" apart: the host without brackets, "" for all addresses. False: it is none.
bool http_address_split(const char *address, char *host, size_t size, const char **port);

// Listens on "HOST:PORT": an address, an IPv6 one in brackets, or a name; an empty HOST is all
// addresses. Names are looked up here, once. `listener`: such a socket from another process, taken
// and set to -1; -1: none. At most 16 connections at a time, each of which ends after 5 seconds
// without anything.
int http_server_open(struct event_base *base, const char *address, int *listener,
		     http_handler *handler, void *context, struct http_server **server,
		     struct error *err);
// The socket that it listens on, which stays its own.
int http_server_listener(const struct http_server *server);
// NULL does nothing.
void http_server_close(struct http_server *server);

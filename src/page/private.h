// What the files of this folder share.

#pragma once

#include <stdio.h>

#include "page/page.h"
#include "page/sample.h"
#include "rpc/status.h"
#include "sluice.pb-c.h"

#define PAGE_ROWS_MAX 500 // of one answer

struct page {
	struct control *control;
	char host[256]; // of the address that it is served at
	struct sample *sample;
};

// Answers one path under /api/: writes the JSON value, or fails with a line for the user; *code
// (RPC_INVALID_ARGUMENT) says of what kind the error is.
typedef int page_call(struct page *page, const struct http_request *request, FILE *file,
		      enum rpc_code *code, struct error *err);

page_call overview_write;    // overview.c
page_call reasons_write;     // overview.c
page_call history_write;     // overview.c
page_call ports_write;	     // ports.c
page_call networks_write;    // objects.c
page_call objects_write;     // objects.c
page_call connections_write; // connections.c
page_call trace_write;	     // trace.c

// query.c: a number from 0 to `max`, or `number` as it was where there is no such parameter.
int query_number(const struct http_request *request, const char *name, uint32_t max,
		 uint32_t *number, struct error *err);
// "offset" and "limit" of a list, which is at most PAGE_ROWS_MAX.
struct query_range {
	uint32_t offset, limit;
};
int query_range(const struct http_request *request, struct query_range *range, struct error *err);
// Fills the message's strings and booleans from parameters of their JSON names; the texts are the
// request's.
int query_message(const struct http_request *request, ProtobufCMessage *message, struct error *err);
// Is `part` in `text`, in whatever case of ASCII letters? An empty one always is.
bool query_matches(const char *text, const char *part);

// json.c. `"name": `, after a comma where *first is false; it is false afterwards.
void json_key(FILE *file, bool *first, const char *name);
void json_text(FILE *file, bool *first, const char *name, const char *text);
void json_number(FILE *file, bool *first, const char *name, double number);
void json_message(FILE *file, bool *first, const char *name, const ProtobufCMessage *message);

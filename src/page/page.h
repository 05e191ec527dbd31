// A web page to look at the node: plain files that are embedded (src/page/web), and what they ask
// for under /api/ as JSON, made of the messages of the gRPC service. Nothing can be changed by it.
//
// All of it runs on the control thread, so each answer is bounded: some hundreds of rows, one step
// through the connection table.

#pragma once

#include "telemetry/http.h"

struct control;
struct page;

// `address` is where it is served, HOST:PORT. NULL without memory.
struct page *page_new(struct control *control, const char *address);
// NULL does nothing.
void page_free(struct page *page);

// As http_handler.
bool page_answer(struct page *page, const struct http_request *request, struct http_answer *answer);

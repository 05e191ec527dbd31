// Addresses of the API: "unix:PATH", and for clients "tls:HOST:PORT".

#pragma once

#include <sys/un.h>

#include "base/error.h"

// Also accepts unix:///PATH, as gRPC clients write it.
int rpc_address_parse(const char *text, struct sockaddr_un *address, struct error *err);

// HOST:PORT of "tls:HOST:PORT"; NULL: it is another kind of address.
const char *rpc_address_tls(const char *text);

// Addresses of the API: "unix:PATH".

#pragma once

#include <sys/un.h>

#include "base/error.h"

// Also accepts unix:///PATH, as gRPC clients write it.
int rpc_address_parse(const char *text, struct sockaddr_un *address, struct error *err);

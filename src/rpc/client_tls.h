// TLS under a client: over a connected, blocking socket.

#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "rpc/tls_files.h"

struct client_tls;

// Connects to the host's port, shows the certificate and checks the server's: it has to be one of
// the CA's, and the host's (name or address). When this returns the server has accepted ours, too.
// `*fd` stays the caller's and is to be closed after client_tls_close.
int client_tls_open(const char *place, const struct rpc_tls_files *files, int *fd,
		    struct client_tls **tls, struct error *err);
void client_tls_close(struct client_tls *tls);

// Like recv and a send of everything; -1 at the connection's end and for errors.
ssize_t client_tls_receive(struct client_tls *tls, void *data, size_t size);
int client_tls_send(struct client_tls *tls, const void *data, size_t size);

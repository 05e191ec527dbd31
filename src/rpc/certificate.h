// Whom a certificate names, and how long.

#pragma once

#include <time.h>

#include <openssl/ssl.h>

#include "rpc/roles.h"

// Name and role of the other side's verified certificate. The name is its SPIFFE ID where it has
// one (one URI and no more: SPIFFE X.509-SVID, section 2), else its subject (RFC 4514); the role is
// the higher one of both.
void certificate_peer(const SSL *ssl, const struct rpc_roles *roles, struct rpc_peer *peer);

// When it ends, in seconds since 1970; 0: there is none.
time_t certificate_end(const X509 *certificate);

// Would the context, too, accept the other side's certificate?
bool certificate_holds(SSL_CTX *context, const SSL *ssl);

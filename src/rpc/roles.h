// Which role whom a certificate names has.

#pragma once

#include <stddef.h>

#include "base/error.h"
#include "rpc/peer.h"

// Starts as {0}.
struct rpc_roles {
	struct rpc_role_entry {
		enum rpc_role role;
		char *who;
	} * entries;
	size_t count;
};

// `role` is read, operate or write. `who` is a certificate's subject (RFC 4514), a SPIFFE ID, all
// SPIFFE IDs below a path (spiffe://example.org/ns/*), or * for every certificate.
int rpc_roles_add(struct rpc_roles *roles, const char *role, const char *who, struct error *err);

// The highest that an entry gives to the name; RPC_ROLE_NONE: none does.
enum rpc_role rpc_roles_find(const struct rpc_roles *roles, const char *name);

// Adds a copy of each entry.
void rpc_roles_copy(struct rpc_roles *roles, const struct rpc_roles *from);

void rpc_roles_clear(struct rpc_roles *roles);

#include "rpc/roles.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory.h"

#define SPIFFE "spiffe://"

// "CN=admin,O=Example" rather than what openssl prints by default: "O = Example, CN = admin".
static bool subject_is_plain(const char *who)
{
	const char *equals = strchr(who, '=');

	for (const char *c = who; equals && c < equals; c++)
		if (!isalnum((unsigned char)*c) && *c != '.')
			return false;
	for (const char *c = who; equals && *c; c++)
		if (c[0] == ',' && c[1] == ' ' && c[-1] != '\\')
			return false;
	return equals && equals > who && equals[1] != ' ';
}

static bool spiffe_is_plain(const char *who)
{
	const char *star = strchr(who, '*');

	if (strlen(who) < sizeof(SPIFFE) || who[sizeof(SPIFFE) - 1] == '/')
		return false;
	for (const char *c = who; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return false;
	return !star || (star[-1] == '/' && !star[1] && star - who >= (long)sizeof(SPIFFE) + 1);
}

int rpc_roles_add(struct rpc_roles *roles, const char *role, const char *who, struct error *err)
{
	enum rpc_role value = RPC_ROLE_WRITE;

	while (value < RPC_ROLE_NONE && strcmp(rpc_role_name(value), role) != 0)
		value++;
	if (value == RPC_ROLE_NONE)
		return error_set(err, "'%.100s' is no role: read, operate or write", role);
	if (strncmp(who, SPIFFE, sizeof(SPIFFE) - 1) == 0) {
		if (!spiffe_is_plain(who))
			return error_set(err,
					 "'%.300s' is no SPIFFE ID, as spiffe://example.org/ci or "
					 "spiffe://example.org/ns/*",
					 who);
	} else if (strcmp(who, "*") != 0 && !subject_is_plain(who)) {
		return error_set(
			err,
			"'%.200s' is neither *, a SPIFFE ID nor a subject, as "
			"CN=admin,O=Example (openssl x509 -noout -subject -nameopt RFC2253 "
			"-in FILE)",
			who);
	}
	roles->entries = memory_resize(roles->entries, roles->count + 1, sizeof(*roles->entries));
	roles->entries[roles->count++] =
		(struct rpc_role_entry){.role = value, .who = memory_text(who)};
	return 0;
}

static bool entry_matches(const char *who, const char *name)
{
	size_t length = strlen(who);

	// Only SPIFFE IDs have a star behind something; a subject may end with one of its own.
	if (strcmp(who, "*") == 0)
		return true;
	if (who[length - 1] == '*' && strncmp(who, SPIFFE, sizeof(SPIFFE) - 1) == 0)
		return strncmp(who, name, length - 1) == 0;
	return strcmp(who, name) == 0;
}

enum rpc_role rpc_roles_find(const struct rpc_roles *roles, const char *name)
{
	enum rpc_role best = RPC_ROLE_NONE;

	for (size_t i = 0; i < roles->count; i++)
		if (roles->entries[i].role < best && entry_matches(roles->entries[i].who, name))
			best = roles->entries[i].role;
	return best;
}

void rpc_roles_copy(struct rpc_roles *roles, const struct rpc_roles *from)
{
	roles->entries =
		memory_resize(roles->entries, roles->count + from->count, sizeof(*roles->entries));
	for (size_t i = 0; i < from->count; i++)
		roles->entries[roles->count++] = (struct rpc_role_entry){
			.role = from->entries[i].role,
			.who = memory_text(from->entries[i].who),
		};
}

void rpc_roles_clear(struct rpc_roles *roles)
{
	for (size_t i = 0; i < roles->count; i++)
		free(roles->entries[i].who);
	free(roles->entries);
	*roles = (struct rpc_roles){0};
}

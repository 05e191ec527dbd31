#include "page/host.h"

#include <string.h>
#include <unistd.h>

#include "base/address.h"

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length > tail && strcasecmp(text + length - tail, end) == 0;
}

// "[::1]:80" or "name:80", with the port or without.
static bool host_copy(const char *header, char *host, size_t size)
{
	size_t length;
	const char *rest;

	if (*header == '[') {
		header++;
		length = strcspn(header, "]");
		rest = header + length + 1;
		if (!header[length])
			return false;
	} else {
		length = strcspn(header, ":");
		rest = header + length;
	}
	if (!length || length >= size)
		return false;
	memcpy(host, header, length);
	host[length] = 0;
	if (!*rest)
		return true;
	return *rest == ':' && !rest[1 + strspn(rest + 1, "0123456789")];
}

bool host_is_ours(const char *header, const char *configured)
{
	char host[256], own[256];
	struct ip_address address;

	if (!host_copy(header, host, sizeof(host)))
		return false;
	if (ip_parse(host, &address))
		return true;
	if (strcasecmp(host, "localhost") == 0 || ends_with(host, ".localhost"))
		return true;
	if (*configured && strcasecmp(host, configured) == 0)
		return true;
	if (gethostname(own, sizeof(own)) != 0)
		return false;
	own[sizeof(own) - 1] = 0;
	return *own && strcasecmp(host, own) == 0;
}

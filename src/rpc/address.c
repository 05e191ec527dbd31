// Addresses of the API.

#include "rpc/address.h"

#include <string.h>
#include <sys/socket.h>

int rpc_address_parse(const char *text, struct sockaddr_un *address, struct error *err)
{
	const char *path = text;

	if (strncmp(path, "unix:", 5) != 0)
		return error_set(err,
				 "'%.200s' is no API address, as unix:/run/sluice/sluiced.sock or "
				 "tls:192.0.2.1:8443",
				 text);
	path += 5;
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (!*path)
		return error_set(err, "'%.200s' has no path", text);
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, "'%.200s': the path of a socket has at most %zu characters",
				 text, sizeof(address->sun_path) - 1);
	strcpy(address->sun_path, path);
	return 0;
}

const char *rpc_address_tls(const char *text)
{
	return strncmp(text, "tls:", 4) == 0 ? text + 4 : NULL;
}

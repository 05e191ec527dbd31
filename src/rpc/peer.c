// Who is at the other end of a connection.

#include "rpc/peer.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PASSWD_FILE "/etc/passwd"

const char *rpc_role_name(enum rpc_role role)
{
	static const char *const names[] = {
		[RPC_ROLE_WRITE] = "write",
		[RPC_ROLE_OPERATE] = "operate",
		[RPC_ROLE_READ] = "read",
		[RPC_ROLE_NONE] = "none",
	};

	return names[role];
}

// Only the file is asked: directories over the network would keep the control thread waiting.
static void user_name(uid_t uid, char *name, size_t size)
{
	FILE *file = fopen(PASSWD_FILE, "re");
	struct passwd entry, *found;
	char buffer[1024];

	snprintf(name, size, "uid %u", (unsigned)uid);
	if (!file)
		return;
	while (fgetpwent_r(file, &entry, buffer, sizeof(buffer), &found) == 0) {
		if (found->pw_uid != uid)
			continue;
		snprintf(name, size, "%s", found->pw_name);
		break;
	}
	fclose(file);
}

void peer_of_socket(int fd, struct rpc_peer *peer)
{
	struct ucred user;
	socklen_t size = sizeof(user);

	*peer = (struct rpc_peer){.name = "unknown", .from = "unix", .role = RPC_ROLE_WRITE};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) == 0)
		user_name(user.uid, peer->name, sizeof(peer->name));
}

// Who is at the other end of a connection, and what they may do.

#pragma once

// From the most to the least. Each includes those behind it.
enum rpc_role {
	RPC_ROLE_WRITE,	  // changes objects
	RPC_ROLE_OPERATE, // does things to the running node that change no object: captures, audits
	RPC_ROLE_READ,	  // looks at everything else
	RPC_ROLE_NONE,	  // none of this: no method answers
};

struct rpc_peer {
	// A user's name of this machine, "uid N" where it has none, the SPIFFE ID or the subject of
	// a certificate. Printable.
	char name[256];
	char from[64]; // "unix", or an address with its port as 192.0.2.1:4711
	enum rpc_role role;
};

// "write"
const char *rpc_role_name(enum rpc_role role);

// The user at the other end of a Unix socket. Who could open its file may do everything.
void peer_of_socket(int fd, struct rpc_peer *peer);

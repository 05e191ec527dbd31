// The files that TLS needs, in PEM.

#pragma once

struct rpc_tls_files {
	const char *certificate; // our own, and those that lead from it to the CA
	const char *key;	 // its private key, without password
	const char *ca;		 // those whose certificates the other side may have
};

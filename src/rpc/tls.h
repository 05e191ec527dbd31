// TLS 1.3 with certificates on both sides: contexts from files.

#pragma once

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "rpc/tls_files.h"

// A context for one side. NULL: the line says which file is wrong and why.
SSL_CTX *tls_context_new(const struct rpc_tls_files *files, bool server, struct error *err);

// What tells one version of the files from the next.
struct tls_version {
	struct {
		dev_t device;
		ino_t inode;
		off_t size;
		struct timespec modified;
	} files[3];
};

// A file that is not there is all zero. Links are followed.
void tls_version_read(const struct rpc_tls_files *files, struct tls_version *version);

// Was HTTP/2 agreed upon?
bool tls_is_http2(const SSL *ssl);

// What OpenSSL's error means, in words; empties its queue. Where the other side's certificate is
// not accepted, why. `ssl` may be NULL.
const char *tls_reason(const SSL *ssl, unsigned long code, char *text, size_t size);

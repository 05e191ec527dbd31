#include "rpc/client_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/tcp.h"
#include "model/memory.h"
#include "rpc/tls.h"

// Seconds for the connection, and for the server's part of the handshake.
#define PATIENCE 10

// OpenSSL writes to sockets in a way that may end the process (SIGPIPE): it gets memory instead.
struct client_tls {
	int fd;
	SSL_CTX *context;
	SSL *ssl;
	BIO *in, *out; // the SSL's
};

// Sends what OpenSSL has written.
static int flush(struct client_tls *tls)
{
	char *data;
	long size = BIO_get_mem_data(tls->out, &data);

	while (size > 0) {
		ssize_t sent = send(tls->fd, data, (size_t)size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		data += sent;
		size -= sent;
	}
	BIO_reset(tls->out);
	return 0;
}

// Gets what OpenSSL waits for.
static int fill(struct client_tls *tls)
{
	uint8_t buffer[16384];
	ssize_t size;

	if (flush(tls) < 0)
		return -1;
	do {
		size = recv(tls->fd, buffer, sizeof(buffer), 0);
	} while (size < 0 && errno == EINTR);
	return size > 0 && BIO_write(tls->in, buffer, (int)size) == size ? 0 : -1;
}

// After a function of OpenSSL's: is it to be called again?
static bool again(struct client_tls *tls, int result)
{
	return SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ && fill(tls) == 0;
}

ssize_t client_tls_receive(struct client_tls *tls, void *data, size_t size)
{
	int result;

	do {
		ERR_clear_error();
		result = SSL_read(tls->ssl, data, size > INT_MAX ? INT_MAX : (int)size);
	} while (result <= 0 && again(tls, result));
	return result > 0 ? result : -1;
}

int client_tls_send(struct client_tls *tls, const void *data, size_t size)
{
	const uint8_t *next = data;

	while (size > 0) {
		int part = size > INT_MAX ? INT_MAX : (int)size;

		ERR_clear_error();
		if (SSL_write(tls->ssl, next, part) != part)
			return -1;
		next += part;
		size -= (size_t)part;
	}
	return flush(tls);
}

static int handshake(struct client_tls *tls)
{
	uint8_t first;
	int result;

	do {
		ERR_clear_error();
		result = SSL_connect(tls->ssl);
	} while (result <= 0 && again(tls, result));
	if (result <= 0 || flush(tls) < 0 || !tls_is_http2(tls->ssl))
		return -1;
	// The server looks at our certificate after that, and speaks first if it is content.
	do {
		ERR_clear_error();
		result = SSL_peek(tls->ssl, &first, 1);
	} while (result <= 0 && again(tls, result));
	return result > 0 ? 0 : -1;
}

static bool host_set(SSL *ssl, const char *host)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, (uintptr_t)host) == 1;
}

// Why the handshake failed, as far as can be known here.
static const char *failure_reason(struct client_tls *tls, char *text, size_t size)
{
	int failure = errno;
	unsigned long code = ERR_peek_error();

	if (SSL_get_verify_result(tls->ssl) == X509_V_OK && !code) {
		if (failure == EAGAIN || failure == EWOULDBLOCK)
			return "no answer within 10 s";
		if (SSL_is_init_finished(tls->ssl) && !tls_is_http2(tls->ssl))
			return "no gRPC (HTTP/2) server answers there";
	}
	return tls_reason(tls->ssl, code, text, size);
}

static int tls_begin(struct client_tls *tls, const char *place, const struct rpc_tls_files *files,
		     struct error *err)
{
	struct tcp_address address;
	struct timeval limit = {.tv_sec = PATIENCE}, none = {0};
	char reason[200];

	if (tcp_address_parse(place, &address, err) < 0)
		return error_prefix(err, "tls");
	tls->context = tls_context_new(files, false, err);
	if (!tls->context)
		return -1;
	tls->ssl = memory_required(SSL_new(tls->context));
	tls->in = memory_required(BIO_new(BIO_s_mem()));
	tls->out = memory_required(BIO_new(BIO_s_mem()));
	// An empty memory is no end.
	BIO_set_mem_eof_return(tls->in, -1);
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	if (!host_set(tls->ssl, *address.host ? address.host : "localhost"))
		return error_set(err, "'%s' is no name of a host", address.host);
	tls->fd = tcp_connect(&address, PATIENCE, err);
	if (tls->fd < 0)
		return error_prefix(err, "cannot reach sluiced at tls:%s", place);
	setsockopt(tls->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	errno = 0;
	if (handshake(tls) < 0) {
		error_set(err, "no TLS with sluiced at tls:%s: %s", place,
			  failure_reason(tls, reason, sizeof(reason)));
		flush(tls); // what we say of it
		return -1;
	}
	setsockopt(tls->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return 0;
}

int client_tls_open(const char *place, const struct rpc_tls_files *files, int *fd,
		    struct client_tls **result, struct error *err)
{
	struct client_tls *tls = memory_new(sizeof(*tls));

	tls->fd = -1;
	if (tls_begin(tls, place, files, err) < 0) {
		if (tls->fd >= 0)
			close(tls->fd);
		client_tls_close(tls);
		return -1;
	}
	*fd = tls->fd;
	*result = tls;
	return 0;
}

void client_tls_close(struct client_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl); // and what it reads and writes
	SSL_CTX_free(tls->context);
	ERR_clear_error();
	free(tls);
}

// Callers over TCP: certificates of both sides, and their files as they are now.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent_ssl.h>

#include "base/tcp.h"
#include "model/memory.h"
#include "rpc/certificate.h"
#include "rpc/server_private.h"
#include "rpc/tls.h"

// Seconds between two lines about who was refused.
#define REFUSAL_INTERVAL 10

struct listener_tls {
	struct rpc_server *server;
	struct rpc_tls_files files; // its own
	struct rpc_roles roles;
	SSL_CTX *context;
	struct tls_version version; // of the files in `context`, or of those that were refused
	struct tls_version seen;    // a second ago
	struct event *timer;
	time_t refusal_told;
	unsigned refusals; // since then, that were not told
};

static time_t seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

// What strangers do must not fill the log.
static void refuse(struct listener_tls *tls, const char *from, const char *reason)
{
	time_t now = seconds_now();

	tls->server->refused++;
	if (tls->refusal_told && now - tls->refusal_told < REFUSAL_INTERVAL) {
		tls->refusals++;
		return;
	}
	log_warning("caller refused", log_text("from", from), log_text("reason", reason),
		    log_number("others", tls->refusals));
	tls->refusal_told = now;
	tls->refusals = 0;
}

// Makes room for one more whom nobody knows yet: the one goes who has been so for longest.
static void strangers_limit(struct rpc_server *server)
{
	struct connection *connection, *oldest = NULL;
	size_t count = 0;

	TAILQ_FOREACH(connection, &server->connections, entry)
	{
		if (!connection->tls || connection->peer.role != RPC_ROLE_NONE)
			continue;
		count++;
		if (!oldest)
			oldest = connection;
	}
	if (!oldest || count < server->limits.strangers)
		return;
	refuse(oldest->tls, oldest->peer.from, "it has no role, and another wants its place");
	connection_free(oldest);
}

void listener_tls_accept(struct listener_tls *tls, evutil_socket_t fd,
			 const struct sockaddr *address)
{
	struct rpc_server *server = tls->server;
	struct rpc_peer peer = {.name = "", .role = RPC_ROLE_NONE};
	struct bufferevent *stream;
	int on = 1;
	SSL *ssl;

	tcp_address_print(address, peer.from, sizeof(peer.from));
	strangers_limit(server);
	if (server->tls_count >= server->limits.tls_connections ||
	    server->connection_count >= server->limits.connections) {
		refuse(tls, peer.from, "there are as many connections as there may be");
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ssl = SSL_new(tls->context);
	// Callbacks come from the loop, so that none is called inside another.
	stream = ssl ? bufferevent_openssl_socket_new(
			       server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
			       BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)
		     : NULL;
	if (!stream) {
		SSL_free(ssl);
		close(fd);
		return;
	}
	connection_new(server, stream, &peer, tls);
}

bool listener_tls_admit(struct listener_tls *tls, struct connection *connection)
{
	SSL *ssl = bufferevent_openssl_get_ssl(connection->stream);

	// Who does not ask for a protocol is not refused in the handshake.
	if (!tls_is_http2(ssl)) {
		refuse(tls, connection->peer.from, "it does not speak HTTP/2 (ALPN h2)");
		return false;
	}
	certificate_peer(ssl, &tls->roles, &connection->peer);
	connection->certificate_end = certificate_end(SSL_get0_peer_certificate(ssl));
	return true;
}

void listener_tls_failed(struct listener_tls *tls, struct connection *connection,
			 const char *reason)
{
	unsigned long code = bufferevent_get_openssl_error(connection->stream);
	SSL *ssl = bufferevent_openssl_get_ssl(connection->stream);
	char text[200];

	refuse(tls, connection->peer.from,
	       reason ? reason : tls_reason(ssl, code, text, sizeof(text)));
}

// Those go whose certificate has ended, or is not one of the CA's any more.
static void callers_check(struct listener_tls *tls, bool fresh)
{
	struct connection *connection, *next;
	time_t now = time(NULL);

	for (connection = TAILQ_FIRST(&tls->server->connections); connection; connection = next) {
		const char *reason = NULL;

		next = TAILQ_NEXT(connection, entry);
		if (connection->tls != tls || !connection->session)
			continue;
		if (connection->certificate_end && now >= connection->certificate_end)
			reason = "its certificate has ended";
		else if (fresh && !certificate_holds(tls->context, bufferevent_openssl_get_ssl(
									   connection->stream)))
			reason = "the new CA does not know its certificate";
		if (!reason)
			continue;
		log_warning("caller disconnected", log_text("user", connection->peer.name),
			    log_text("from", connection->peer.from), log_text("reason", reason));
		connection_free(connection);
	}
}

// Once a second. Files that changed are read when they are as they were a second ago: who writes a
// certificate and then its key has done both. Until all are right the old ones stay.
static void on_second(evutil_socket_t fd, short what, void *context)
{
	struct listener_tls *tls = context;
	struct tls_version now;
	bool settled, fresh = false;
	struct error err;
	SSL_CTX *next;

	tls_version_read(&tls->files, &now);
	settled = memcmp(&now, &tls->seen, sizeof(now)) == 0;
	tls->seen = now;
	if (settled && memcmp(&now, &tls->version, sizeof(now)) != 0) {
		tls->version = now;
		next = tls_context_new(&tls->files, true, &err);
		if (next) {
			SSL_CTX_free(tls->context);
			tls->context = next;
			fresh = true;
			log_info("new certificates in use",
				 log_text("certificate", tls->files.certificate));
		} else {
			log_error("new certificates not used", log_text("reason", err.text));
		}
	}
	callers_check(tls, fresh);
}

time_t listener_tls_end(const struct listener_tls *tls)
{
	return certificate_end(SSL_CTX_get0_certificate(tls->context));
}

void listener_tls_free(struct listener_tls *tls)
{
	if (!tls)
		return;
	if (tls->timer)
		event_free(tls->timer);
	SSL_CTX_free(tls->context);
	rpc_roles_clear(&tls->roles);
	free((char *)(uintptr_t)tls->files.certificate);
	free((char *)(uintptr_t)tls->files.key);
	free((char *)(uintptr_t)tls->files.ca);
	free(tls);
}

struct listener_tls *listener_tls_new(struct rpc_server *server, const struct rpc_tls_files *files,
				      const struct rpc_roles *roles, struct error *err)
{
	struct listener_tls *tls = memory_new(sizeof(*tls));
	struct timeval interval = {.tv_sec = 1};

	tls->server = server;
	tls->files = (struct rpc_tls_files){
		.certificate = memory_text(files->certificate),
		.key = memory_text(files->key),
		.ca = memory_text(files->ca),
	};
	rpc_roles_copy(&tls->roles, roles);
	tls_version_read(files, &tls->version);
	tls->seen = tls->version;
	tls->context = tls_context_new(files, true, err);
	if (!tls->context) {
		listener_tls_free(tls);
		return NULL;
	}
	tls->timer = event_new(server->base, -1, EV_PERSIST, on_second, tls);
	if (!tls->timer || event_add(tls->timer, &interval) < 0) {
		error_set(err, "no memory");
		listener_tls_free(tls);
		return NULL;
	}
	return tls;
}

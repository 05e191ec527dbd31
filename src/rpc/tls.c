#include "rpc/tls.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#define ALPN "\2h2"

// Bytes of the other side's certificates: a chain of several with large RSA keys.
#define CERTIFICATES_MAX 32768

const char *tls_reason(const SSL *ssl, unsigned long code, char *text, size_t size)
{
	long verified = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *reason = NULL, *alert = NULL;

	if (verified != X509_V_OK)
		reason = X509_verify_cert_error_string(verified);
	else if (ERR_SYSTEM_ERROR(code))
		reason = strerror(ERR_GET_REASON(code));
	else if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET)
		alert = SSL_alert_desc_string_long(ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET);
	else if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
		reason = "there is none in this file";
	else
		reason = ERR_reason_error_string(code);
	if (alert)
		snprintf(text, size, "the other side says '%s'", alert);
	else
		snprintf(text, size, "%s", reason ? reason : "the connection was closed");
	ERR_clear_error();
	return text;
}

static int file_failed(const char *what, const char *path, struct error *err)
{
	char reason[200];

	return error_set(err, "%s %.200s: %s", what, path,
			 tls_reason(NULL, ERR_peek_error(), reason, sizeof(reason)));
}

// OpenSSL would ask for a key's password on the terminal.
static int no_password(char *buffer, int size, int writing, void *context)
{
	return 0;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
			   const unsigned char *in, unsigned int in_size, void *context)
{
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_size, (const unsigned char *)ALPN, sizeof(ALPN) - 1,
				  in, in_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

bool tls_is_http2(const SSL *ssl)
{
	const unsigned char *protocol;
	unsigned int size;

	SSL_get0_alpn_selected(ssl, &protocol, &size);
	return size == sizeof(ALPN) - 2 && memcmp(protocol, &ALPN[1], size) == 0;
}

static int files_load(SSL_CTX *context, const struct rpc_tls_files *files, bool server,
		      struct error *err)
{
	if (SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1)
		return file_failed("certificate", files->certificate, err);
	if (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1) {
		unsigned long code = ERR_peek_error();

		if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
		    ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH)
			return error_set(err, "key %.200s is not that of certificate %.200s",
					 files->key, files->certificate);
		return file_failed("key", files->key, err);
	}
	if (SSL_CTX_check_private_key(context) != 1)
		return error_set(err, "key %.200s is not that of certificate %.200s", files->key,
				 files->certificate);
	if (SSL_CTX_load_verify_file(context, files->ca) != 1)
		return file_failed("CA certificate", files->ca, err);
	if (server) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(files->ca);

		if (!names)
			return file_failed("CA certificate", files->ca, err);
		SSL_CTX_set_client_CA_list(context, names);
	}
	return 0;
}

SSL_CTX *tls_context_new(const struct rpc_tls_files *files, bool server, struct error *err)
{
	SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) {
		SSL_CTX_free(context);
		error_set(err, "OpenSSL has no TLS 1.3");
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_max_cert_list(context, CERTIFICATES_MAX);
	// Every certificate of the CA file is trusted, also one that another CA has signed.
	X509_STORE_set_flags(SSL_CTX_get_cert_store(context), X509_V_FLAG_PARTIAL_CHAIN);
	// libevent's buffers may move between two tries. Not SSL_MODE_ENABLE_PARTIAL_WRITE:
	// libevent 2.1 goes on with the next piece after one that was written in part.
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	// Each connection shows its certificate anew.
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	SSL_CTX_set_default_passwd_cb(context, no_password);
	if (server)
		SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
	else
		SSL_CTX_set_alpn_protos(context, (const unsigned char *)ALPN, sizeof(ALPN) - 1);
	ERR_clear_error();
	if (files_load(context, files, server, err) < 0) {
		SSL_CTX_free(context);
		return NULL;
	}
	return context;
}

void tls_version_read(const struct rpc_tls_files *files, struct tls_version *version)
{
	const char *const paths[] = {files->certificate, files->key, files->ca};

	memset(version, 0, sizeof(*version));
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct stat status;

		if (stat(paths[i], &status) < 0)
			continue;
		version->files[i].device = status.st_dev;
		version->files[i].inode = status.st_ino;
		version->files[i].size = status.st_size;
		version->files[i].modified = status.st_mtim;
	}
}

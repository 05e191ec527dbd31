#include "rpc/certificate.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define SPIFFE "spiffe://"

// The certificate's SPIFFE ID. False: it has none, more than one URI, or one that is no name for a
// log.
static bool spiffe_id(X509 *certificate, char *name, size_t size)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const ASN1_IA5STRING *uri = NULL;
	const unsigned char *text;
	size_t length, uris = 0;
	bool plain;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *entry = sk_GENERAL_NAME_value(names, i);

		if (entry->type != GEN_URI)
			continue;
		uri = entry->d.uniformResourceIdentifier;
		uris++;
	}
	length = uris == 1 ? (size_t)ASN1_STRING_length(uri) : 0;
	text = uris == 1 ? ASN1_STRING_get0_data(uri) : NULL;
	plain = length >= sizeof(SPIFFE) && length < size &&
		memcmp(text, SPIFFE, sizeof(SPIFFE) - 1) == 0;
	for (size_t i = 0; plain && i < length; i++)
		plain = text[i] > ' ' && text[i] < 0x7f;
	if (plain) {
		memcpy(name, text, length);
		name[length] = 0;
	}
	GENERAL_NAMES_free(names);
	return plain;
}

// A subject that doesn't fit has no name, rather than one that may be another's.
static bool subject(const X509 *certificate, char *name, size_t size)
{
	BIO *text = BIO_new(BIO_s_mem());
	long length = 0;
	char *data;

	if (text &&
	    X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) > 0)
		length = BIO_get_mem_data(text, &data);
	if (length > 0 && (size_t)length < size) {
		memcpy(name, data, (size_t)length);
		name[length] = 0;
	} else {
		length = 0;
	}
	BIO_free(text);
	return length > 0;
}

static void name_add(const char *name, const struct rpc_roles *roles, struct rpc_peer *peer)
{
	enum rpc_role role = rpc_roles_find(roles, name);

	snprintf(peer->name, sizeof(peer->name), "%s", name);
	if (role < peer->role)
		peer->role = role;
}

void certificate_peer(const SSL *ssl, const struct rpc_roles *roles, struct rpc_peer *peer)
{
	X509 *certificate = SSL_get1_peer_certificate(ssl);
	char name[sizeof(peer->name)];

	peer->role = certificate ? rpc_roles_find(roles, "") : RPC_ROLE_NONE;
	snprintf(peer->name, sizeof(peer->name), "a certificate without a name");
	if (!certificate)
		return;
	if (subject(certificate, name, sizeof(name)))
		name_add(name, roles, peer);
	if (spiffe_id(certificate, name, sizeof(name)))
		name_add(name, roles, peer);
	X509_free(certificate);
}

time_t certificate_end(const X509 *certificate)
{
	struct tm end;

	if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1)
		return 0;
	return timegm(&end);
}

bool certificate_holds(SSL_CTX *context, const SSL *ssl)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	bool holds;

	holds = check && certificate &&
		X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), certificate,
				    SSL_get_peer_cert_chain(ssl)) == 1 &&
		X509_STORE_CTX_set_default(check, "ssl_client") == 1 &&
		X509_verify_cert(check) == 1;
	X509_STORE_CTX_free(check);
	ERR_clear_error();
	return holds;
}

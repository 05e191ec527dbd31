// Addresses and ports that FTP's control connection names for the data connections to come: PORT
// and the answer 227 (RFC 959), EPRT and the answer 229 (RFC 2428).

#pragma once

#include "packet/payload/edits.h"
#include "packet/payload/text.h"

enum ftp_form {
	FTP_PORT, // from the client: where the server is to connect to
	FTP_EPRT,
	FTP_PASSIVE,	      // 227, from the server: where the client is to connect to
	FTP_EXTENDED_PASSIVE, // 229: the port alone, at the server's address
};

struct ftp_endpoint {
	uint32_t at; // in the payload: what ftp_endpoint_replace replaces
	uint32_t size;
	enum ftp_form form;
	struct ip_address address; // of 229 zero
	uint16_t port;		   // host byte order, not 0
	uint8_t delimiter;	   // of RFC 2428
};

// The next endpoint that whole lines of a control connection's payload name, at `*from` or behind
// it; `*from` is then behind its line. False: there is none.
bool ftp_find(const uint8_t *payload, uint32_t size, uint32_t *from, bool from_client,
	      struct ftp_endpoint *endpoint);

// Does the payload end in the midst of a line that may name one? What follows is not known yet.
bool ftp_is_cut(const uint8_t *payload, uint32_t size, bool from_client);

// Puts another endpoint there. EPRT becomes PORT when the address is of the other family (RFC 6384
// section 3.2). False: there is no room, or the form has none for such an address.
bool ftp_replace(const struct ftp_endpoint *endpoint, const struct ip_address *address,
		 uint16_t port, struct payload_edits *edits);

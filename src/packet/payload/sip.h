// Addresses and ports in a SIP message over UDP (RFC 3261) and in the session description that it
// carries (RFC 4566, RFC 3605): finding them, and putting others in their places. What is found is
// what a translator between two networks has to change (RFC 3261 sections 18.2.1, 18.2.2, 19.1;
// RFC 3581): literals, no names.

#pragma once

#include "packet/payload/edits.h"
#include "packet/payload/text.h"

#define SIP_PORT 5060

#define SIP_REFERENCES_MAX 64

enum sip_kind {
	SIP_HOST,	// an address with or without a port, in the first line or a header
	SIP_RPORT,	// a port alone, of the Via of the same line (RFC 3581)
	SDP_ORIGIN,	// o=: who describes the session
	SDP_CONNECTION, // c=: where media go
	SDP_MEDIA,	// the port of m=; the address is of the c= that counts for it
	SDP_RTCP,	// the port of a=rtcp, and the address if there is one
};

struct sip_reference {
	uint16_t at; // in the message
	uint16_t size;
	uint16_t port; // host byte order; 0: none stands there (or a medium that is refused)
	uint8_t kind;
	bool replaced;	   // by the caller: what follows is to be there
	bool with_address; // an address stands there
	uint16_t new_port; // not 0 where `port` is not
	struct ip_address address;
	struct ip_address new_address; // of SIP_RPORT, SDP_MEDIA not used
};

// References are in the order of the message.
struct sip_message {
	bool is_request;
	uint16_t count;
	uint16_t body; // where it begins
	uint16_t body_size;
	uint16_t length_at; // the number of Content-Length; 0: there is none
	uint16_t length_size;
	struct sip_reference references[SIP_REFERENCES_MAX];
};

// False: it is no SIP message, contradicts itself, or holds more references than fit: nothing of it
// is to be changed. At most PAYLOAD_MAX bytes.
bool sip_read(const uint8_t *payload, uint32_t size, struct sip_message *message);

// Makes the edits for all references that are replaced, and for Content-Length. A port that did not
// stand there is written where it is not the usual one. False: there is no room.
bool sip_write(const struct sip_message *message, struct payload_edits *edits);

// The session description's part of sip_read: its references are added. `payload` is the whole
// message.
bool sdp_read(const uint8_t *payload, uint32_t at, uint32_t size, struct sip_message *message);

// A new reference, or NULL. `from` and `to` are where it begins and ends.
struct sip_reference *sip_reference_add(struct sip_message *message, enum sip_kind kind,
					const uint8_t *payload, const uint8_t *from,
					const uint8_t *to);

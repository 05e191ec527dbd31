// Session descriptions: RFC 4566 section 5, RFC 3605.

#include "packet/payload/sip.h"

// "IN IP4 192.0.2.1": `from` is set to the address's family, which is replaced with it.
static bool address_take(struct text *line, struct ip_address *address, const uint8_t **from)
{
	if (!text_take_word(line, "in "))
		return false;
	*from = line->at;
	if (text_take_word(line, "ip4 "))
		return text_take_v4(line, address);
	return text_take_word(line, "ip6 ") && text_take_v6(line, address);
}

static bool ends(const struct text *line)
{
	return text_at_end(line) || is_blank(*line->at);
}

// o=<user> <session> <version> IN IP4 <address>: the last of them, whatever stands before.
static bool origin_read(struct text line, const uint8_t *payload, struct sip_message *message)
{
	struct sip_reference *reference;
	struct ip_address address;
	const uint8_t *from;

	for (unsigned int i = 0; i < 3; i++) {
		while (!ends(&line))
			line.at++;
		if (!text_take(&line, ' '))
			return true;
	}
	if (!address_take(&line, &address, &from) || !ends(&line))
		return true;
	reference = sip_reference_add(message, SDP_ORIGIN, payload, from, line.at);
	if (!reference)
		return false;
	reference->address = address;
	reference->with_address = true;
	return true;
}

// Multicast may have "/ttl" behind it, which is nobody's to translate.
static bool connection_read(struct text line, const uint8_t *payload, struct sip_message *message,
			    struct ip_address *connection)
{
	struct sip_reference *reference;
	struct ip_address address;
	const uint8_t *from;

	if (!address_take(&line, &address, &from) || !ends(&line))
		return true;
	reference = sip_reference_add(message, SDP_CONNECTION, payload, from, line.at);
	if (!reference)
		return false;
	reference->address = address;
	reference->with_address = true;
	*connection = address;
	return true;
}

// m=<media> <port> ...
static bool media_read(struct text line, const uint8_t *payload, struct sip_message *message,
		       const struct ip_address *connection)
{
	struct sip_reference *reference;
	const uint8_t *from;
	uint32_t port;

	while (!ends(&line))
		line.at++;
	if (!text_take(&line, ' '))
		return true;
	from = line.at;
	// Several ports ("/2") are not one's.
	if (!text_take_number(&line, 65535, &port) || !ends(&line))
		return true;
	reference = sip_reference_add(message, SDP_MEDIA, payload, from, line.at);
	if (!reference)
		return false;
	reference->port = (uint16_t)port;
	reference->address = *connection;
	return true;
}

// a=rtcp:<port> [IN IP4 <address>]
static bool rtcp_read(struct text line, const uint8_t *payload, struct sip_message *message,
		      const struct ip_address *connection)
{
	const uint8_t *from = line.at, *family;
	struct ip_address address = *connection;
	struct sip_reference *reference;
	bool with_address = false;
	struct text behind;
	uint32_t port;

	if (!text_take_number(&line, 65535, &port) || !port || !ends(&line))
		return true;
	behind = line;
	if (text_take(&behind, ' ') && address_take(&behind, &address, &family) && ends(&behind)) {
		with_address = true;
		line = behind;
	}
	reference = sip_reference_add(message, SDP_RTCP, payload, from, line.at);
	if (!reference)
		return false;
	reference->port = (uint16_t)port;
	reference->with_address = with_address;
	reference->address = with_address ? address : *connection;
	return true;
}

// A connection line of a medium comes behind its m=: what was taken from the session's is put
// right.
static void connection_follow(struct sip_message *message, uint32_t first,
			      const struct ip_address *connection)
{
	for (uint32_t i = first; i < message->count; i++) {
		struct sip_reference *reference = &message->references[i];

		if ((reference->kind == SDP_MEDIA || reference->kind == SDP_RTCP) &&
		    !reference->with_address)
			reference->address = *connection;
	}
}

bool sdp_read(const uint8_t *payload, uint32_t at, uint32_t size, struct sip_message *message)
{
	struct ip_address session = {0}, connection = {0};
	struct text text = text_of(payload + at, size), line;
	uint32_t first = message->count; // of the medium
	bool media = false, fits = true;

	while (fits && text_take_line(&text, &line)) {
		if (text_take_word(&line, "o=")) {
			fits = origin_read(line, payload, message);
		} else if (text_take_word(&line, "c=")) {
			fits = connection_read(line, payload, message, &connection);
			if (media)
				connection_follow(message, first, &connection);
			else
				session = connection;
		} else if (text_take_word(&line, "m=")) {
			media = true;
			connection = session;
			first = message->count;
			fits = media_read(line, payload, message, &connection);
		} else if (text_take_word(&line, "a=rtcp:")) {
			fits = rtcp_read(line, payload, message, &connection);
		}
	}
	return fits;
}

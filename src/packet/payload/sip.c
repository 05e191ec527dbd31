#include "packet/payload/sip.h"

#define HEADER_NAME_MAX 31

// Where addresses are looked for (RFC 3261 section 7.3.3 for short forms; RFC 3327, 3608, 7044,
// 3325, 3515). Call-ID is none of them: it may look like an address, and must not change.
static const char *const address_headers[] = {
	"via",	       "v",
	"contact",     "m",
	"from",	       "f",
	"to",	       "t",
	"route",       "record-route",
	"path",	       "service-route",
	"refer-to",    "r",
	"referred-by", "b",
	"reply-to",    "p-asserted-identity",
};

struct sip_reference *sip_reference_add(struct sip_message *message, enum sip_kind kind,
					const uint8_t *payload, const uint8_t *from,
					const uint8_t *to)
{
	struct sip_reference *reference;

	if (message->count == SIP_REFERENCES_MAX)
		return NULL;
	reference = &message->references[message->count++];
	*reference = (struct sip_reference){
		.kind = (uint8_t)kind,
		.at = (uint16_t)(from - payload),
		.size = (uint16_t)(to - from),
	};
	return reference;
}

// What a name or a number goes on with.
static bool is_word(uint8_t byte)
{
	return is_digit(byte) || is_letter(byte) || byte == '.' || byte == '-' || byte == '_' ||
	       byte == '%' || byte == '+';
}

// An address at `at`, with a port: "192.0.2.1:5060", "[2001:db8::1]". What follows must not make
// another thing of it: a longer name, or the user's part of a URI.
static bool host_take(struct text *text, struct ip_address *address, uint32_t *port)
{
	struct text at = *text, behind;

	*port = 0;
	if (text_take(&at, '[')) {
		if (!text_take_v6(&at, address) || !text_take(&at, ']'))
			return false;
	} else if (!text_take_v4(&at, address)) {
		return false;
	}
	behind = at;
	if (text_take(&behind, ':') && text_take_number(&behind, 65535, port) && *port)
		at = behind;
	if (!text_at_end(&at) &&
	    (is_word(*at.at) || *at.at == '@' || *at.at == ':' || *at.at == '['))
		return false;
	*text = at;
	return true;
}

// A parameter's value is an address where it says who sent the message, or where to send it.
static bool is_value(const uint8_t *begin, const uint8_t *at)
{
	static const char *const names[] = {";received=", ";maddr="};
	struct text text;

	if (at == begin || at[-1] != '=')
		return true;
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t size = strlen(names[i]);

		if ((size_t)(at - begin) < size)
			continue;
		text = (struct text){.at = at - size, .end = at};
		if (text_take_word(&text, names[i]))
			return true;
	}
	return false;
}

// All addresses in a line. Quoted strings are what people are called.
static bool hosts_read(struct text line, const uint8_t *payload, struct sip_message *message)
{
	struct sip_reference *reference;
	struct ip_address address;
	bool quoted = false, inside = false;
	const uint8_t *begin = line.at, *from;
	uint32_t port;

	while (!text_at_end(&line)) {
		uint8_t byte = *line.at;

		if (quoted && byte == '\\' && line.end - line.at > 1) {
			line.at += 2;
			continue;
		}
		if (byte == '"')
			quoted = !quoted;
		from = line.at;
		if (!quoted && !inside && (is_digit(byte) || byte == '[') &&
		    is_value(begin, from) && host_take(&line, &address, &port)) {
			reference = sip_reference_add(message, SIP_HOST, payload, from, line.at);
			if (!reference)
				return false;
			reference->address = address;
			reference->with_address = true;
			reference->port = (uint16_t)port;
			inside = true;
			continue;
		}
		// A URI's scheme ends with a colon, and a user's part with "@"; both may stand
		// before an address. What is in brackets and none is passed over as a whole, and
		// with what follows at once.
		inside = is_word(byte);
		if (byte == '[' && !quoted) {
			while (!text_at_end(&line) && *line.at != ']')
				line.at++;
			inside = true;
			if (text_at_end(&line))
				continue;
		}
		line.at++;
	}
	return !quoted;
}

// ";rport=5060" of a Via. The list of references stays in the message's order.
static bool rport_read(struct text line, const uint8_t *payload, uint32_t first,
		       struct sip_message *message)
{
	struct sip_reference *reference, made;
	const uint8_t *from;
	uint32_t port, at;

	for (; !text_at_end(&line); line.at++) {
		if (*line.at != ';' || !text_take_word(&line, ";rport="))
			continue;
		from = line.at;
		if (!text_take_number(&line, 65535, &port) || !port)
			return true;
		reference = sip_reference_add(message, SIP_RPORT, payload, from, line.at);
		if (!reference)
			return false;
		reference->port = (uint16_t)port;
		made = *reference;
		for (at = message->count - 1u;
		     at > first && message->references[at - 1].at > made.at; at--)
			message->references[at] = message->references[at - 1];
		message->references[at] = made;
		return true;
	}
	return true;
}

// A header's name in small letters; `line` goes on behind the colon and blanks.
static bool name_take(struct text *line, char name[HEADER_NAME_MAX + 1])
{
	uint32_t size = 0;

	while (!text_at_end(line) && *line->at != ':' && !is_blank(*line->at)) {
		uint8_t byte = *line->at++;

		if (size == HEADER_NAME_MAX)
			return false;
		name[size++] = (char)(is_letter(byte) ? byte | 0x20 : byte);
	}
	name[size] = 0;
	text_skip_blanks(line);
	if (!size || !text_take(line, ':'))
		return false;
	text_skip_blanks(line);
	return true;
}

static bool is_one_of(const char *name, const char *long_form, const char *short_form)
{
	return strcmp(name, long_form) == 0 || strcmp(name, short_form) == 0;
}

static bool has_addresses(const char *name)
{
	for (unsigned int i = 0; i < sizeof(address_headers) / sizeof(address_headers[0]); i++)
		if (strcmp(name, address_headers[i]) == 0)
			return true;
	return false;
}

struct headers {
	bool described; // the body is a session description
	bool sized;
	uint32_t length;
};

static bool header_read(struct text line, const uint8_t *payload, struct headers *headers,
			struct sip_message *message)
{
	char name[HEADER_NAME_MAX + 1];
	uint32_t first = message->count;
	const uint8_t *from;

	if (!name_take(&line, name))
		return true;
	if (is_one_of(name, "content-length", "l")) {
		from = line.at;
		// Twice it can't be right twice.
		if (headers->sized || !text_take_number(&line, PAYLOAD_MAX, &headers->length))
			return false;
		headers->sized = true;
		message->length_at = (uint16_t)(from - payload);
		message->length_size = (uint16_t)(line.at - from);
		return true;
	}
	if (is_one_of(name, "content-type", "c")) {
		headers->described = text_take_word(&line, "application/sdp") &&
				     (text_at_end(&line) || !is_word(*line.at));
		return true;
	}
	if (!has_addresses(name))
		return true;
	return hosts_read(line, payload, message) &&
	       (!is_one_of(name, "via", "v") || rport_read(line, payload, first, message));
}

// "INVITE sip:somebody@192.0.2.1 SIP/2.0" or "SIP/2.0 200 OK"
static bool first_line_read(struct text line, const uint8_t *payload, struct sip_message *message)
{
	struct text at = line;

	message->is_request = !text_take_word(&at, "sip/2.0 ");
	if (!message->is_request)
		return true;
	while (!text_at_end(&at) && (is_letter(*at.at) || *at.at == '_'))
		at.at++;
	if (at.at == line.at || !text_take(&at, ' ') || line.end - line.at < 10 ||
	    memcmp(line.end - 8, " SIP/2.0", 8) != 0)
		return false;
	at.end = line.end - 8;
	return at.at <= at.end && hosts_read(at, payload, message);
}

bool sip_read(const uint8_t *payload, uint32_t size, struct sip_message *message)
{
	struct text text = text_of(payload, size), line;
	struct headers headers = {0};
	uint32_t rest;

	message->count = 0;
	message->length_at = 0;
	message->body_size = 0;
	if (size > PAYLOAD_MAX || !text_take_line(&text, &line) ||
	    !first_line_read(line, payload, message))
		return false;
	for (;;) {
		if (!text_take_line(&text, &line))
			return false;
		if (text_at_end(&line))
			break;
		if (!header_read(line, payload, &headers, message))
			return false;
	}
	rest = (uint32_t)(text.end - text.at);
	if (headers.sized && headers.length > rest)
		return false;
	message->body = (uint16_t)(text.at - payload);
	message->body_size = (uint16_t)(headers.sized ? headers.length : rest);
	return !headers.described || sdp_read(payload, message->body, message->body_size, message);
}

static uint32_t reference_format(const struct sip_reference *reference, char *text)
{
	bool v4 = ip_is_v4(&reference->new_address);
	uint32_t size = 0;

	switch (reference->kind) {
	case SIP_HOST:
		if (!v4)
			text[size++] = '[';
		size += text_put_address(text + size, &reference->new_address);
		if (!v4)
			text[size++] = ']';
		if (!reference->port && (!reference->new_port || reference->new_port == SIP_PORT))
			return size;
		text[size++] = ':';
		return size + text_put_number(text + size, reference->new_port);
	case SDP_ORIGIN:
	case SDP_CONNECTION:
		memcpy(text, v4 ? "IP4 " : "IP6 ", 4);
		return 4 + text_put_address(text + 4, &reference->new_address);
	case SDP_RTCP:
		size = text_put_number(text, reference->new_port);
		if (!reference->with_address)
			return size;
		memcpy(text + size, v4 ? " IN IP4 " : " IN IP6 ", 8);
		return size + 8 + text_put_address(text + size + 8, &reference->new_address);
	default:
		return text_put_number(text, reference->new_port);
	}
}

// The body's growth is known before its number is written, which stands before it.
static bool length_write(const struct sip_message *message, int32_t growth,
			 struct payload_edits *edits)
{
	char text[10];
	uint32_t size = text_put_number(text, (uint32_t)(message->body_size + growth));

	return payload_edits_add(edits, message->length_at, message->length_size, text, size);
}

bool sip_write(const struct sip_message *message, struct payload_edits *edits)
{
	bool sized = !message->length_at;
	char text[TEXT_HOST_SIZE + 24];
	int32_t growth = 0;
	uint32_t size;

	for (unsigned int i = 0; i < message->count; i++)
		if (message->references[i].replaced && message->references[i].at >= message->body)
			growth += (int32_t)reference_format(&message->references[i], text) -
				  message->references[i].size;
	for (unsigned int i = 0; i < message->count; i++) {
		const struct sip_reference *reference = &message->references[i];

		if (!sized && reference->at > message->length_at) {
			sized = true;
			if (growth && !length_write(message, growth, edits))
				return false;
		}
		if (!reference->replaced)
			continue;
		size = reference_format(reference, text);
		if (!payload_edits_add(edits, reference->at, reference->size, text, size))
			return false;
	}
	return true;
}

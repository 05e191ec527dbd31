#include "packet/payload/ftp.h"

// h1,h2,h3,h4,p1,p2
static bool six_numbers(struct text *line, struct ftp_endpoint *endpoint)
{
	uint8_t bytes[6];
	uint32_t number;

	for (unsigned int i = 0; i < 6; i++) {
		if ((i && !text_take(line, ',')) || !text_take_number(line, 255, &number))
			return false;
		bytes[i] = (uint8_t)number;
	}
	endpoint->address = ip_from_v4(0);
	memcpy(endpoint->address.bytes + 12, bytes, 4);
	endpoint->port = (uint16_t)(bytes[4] << 8 | bytes[5]);
	return endpoint->port;
}

static void begin(struct ftp_endpoint *endpoint, const struct text *at, const uint8_t *payload)
{
	endpoint->at = (uint32_t)(at->at - payload);
}

static void end(struct ftp_endpoint *endpoint, const struct text *at, const uint8_t *payload)
{
	endpoint->size = (uint32_t)(at->at - payload) - endpoint->at;
}

// RFC 959 section 4.1.2
static bool port_read(struct text line, const uint8_t *payload, struct ftp_endpoint *endpoint)
{
	if (!text_take_word(&line, "port ") || text_at_end(&line))
		return false;
	text_skip_blanks(&line);
	endpoint->form = FTP_PORT;
	begin(endpoint, &line, payload);
	if (!six_numbers(&line, endpoint))
		return false;
	end(endpoint, &line, payload);
	text_skip_blanks(&line);
	return text_at_end(&line);
}

// RFC 2428 section 2: EPRT<space><d><net-prt><d><net-addr><d><tcp-port><d>. The whole command, so
// that it can become another one.
static bool eprt_read(struct text line, const uint8_t *payload, struct ftp_endpoint *endpoint)
{
	uint32_t family, port;

	begin(endpoint, &line, payload);
	if (!text_take_word(&line, "eprt "))
		return false;
	text_skip_blanks(&line);
	if (text_at_end(&line) || *line.at < 33 || *line.at > 126 || is_digit(*line.at))
		return false;
	endpoint->form = FTP_EPRT;
	endpoint->delimiter = *line.at++;
	if (!text_take_number(&line, 2, &family) || !family ||
	    !text_take(&line, endpoint->delimiter))
		return false;
	if (!(family == 1 ? text_take_v4 : text_take_v6)(&line, &endpoint->address) ||
	    !text_take(&line, endpoint->delimiter) || !text_take_number(&line, 65535, &port) ||
	    !port || !text_take(&line, endpoint->delimiter))
		return false;
	end(endpoint, &line, payload);
	endpoint->port = (uint16_t)port;
	text_skip_blanks(&line);
	return text_at_end(&line);
}

// Servers write it with brackets and without, so the first digit counts (RFC 1123 section
// 4.1.2.6).
static bool passive_read(struct text line, const uint8_t *payload, struct ftp_endpoint *endpoint)
{
	if (!text_take_word(&line, "227 "))
		return false;
	while (!text_at_end(&line) && !is_digit(*line.at))
		line.at++;
	endpoint->form = FTP_PASSIVE;
	begin(endpoint, &line, payload);
	if (!six_numbers(&line, endpoint))
		return false;
	end(endpoint, &line, payload);
	return true;
}

// RFC 2428 section 3: text (<d><d><d><tcp-port><d>). The port alone.
static bool extended_read(struct text line, const uint8_t *payload, struct ftp_endpoint *endpoint)
{
	uint32_t port;
	uint8_t byte;

	if (!text_take_word(&line, "229 "))
		return false;
	while (!text_at_end(&line) && *line.at != '(')
		line.at++;
	if (!text_take(&line, '(') || text_at_end(&line))
		return false;
	byte = *line.at;
	if (byte < 33 || byte > 126 || is_digit(byte))
		return false;
	for (unsigned int i = 0; i < 3; i++)
		if (!text_take(&line, byte))
			return false;
	endpoint->form = FTP_EXTENDED_PASSIVE;
	endpoint->delimiter = byte;
	endpoint->address = (struct ip_address){0};
	begin(endpoint, &line, payload);
	if (!text_take_number(&line, 65535, &port) || !port)
		return false;
	end(endpoint, &line, payload);
	endpoint->port = (uint16_t)port;
	return text_take(&line, byte) && text_take(&line, ')');
}

bool ftp_find(const uint8_t *payload, uint32_t size, uint32_t *from, bool from_client,
	      struct ftp_endpoint *endpoint)
{
	struct text text, line;
	bool found = false;

	if (*from > size)
		return false;
	text = text_of(payload + *from, size - *from);
	while (!found && text_take_line(&text, &line)) {
		memset(endpoint, 0, sizeof(*endpoint));
		if (from_client)
			found = port_read(line, payload, endpoint) ||
				eprt_read(line, payload, endpoint);
		else
			found = passive_read(line, payload, endpoint) ||
				extended_read(line, payload, endpoint);
	}
	*from = (uint32_t)(text.at - payload);
	return found;
}

// Enough of a command that no other one begins so.
#define CUT_MIN 3

bool ftp_is_cut(const uint8_t *payload, uint32_t size, bool from_client)
{
	static const char *const words[2][2] = {{"227 ", "229 "}, {"port ", "eprt "}};
	uint32_t begin = size, known;
	struct text line;

	while (begin && payload[begin - 1] != '\n')
		begin--;
	known = size - begin < 5 ? size - begin : 5;
	for (unsigned int i = 0; known >= CUT_MIN && i < 2; i++) {
		const char *word = words[from_client][i];
		char part[6] = {0};

		memcpy(part, word, known < strlen(word) ? known : strlen(word));
		line = text_of(payload + begin, size - begin);
		if (text_take_word(&line, part))
			return true;
	}
	return false;
}

static uint32_t put_six(char *text, const struct ip_address *address, uint16_t port)
{
	uint8_t bytes[6] = {0, 0, 0, 0, (uint8_t)(port >> 8), (uint8_t)port};
	uint32_t size = 0;

	memcpy(bytes, address->bytes + 12, 4);
	for (unsigned int i = 0; i < 6; i++) {
		if (i)
			text[size++] = ',';
		size += text_put_number(text + size, bytes[i]);
	}
	return size;
}

bool ftp_replace(const struct ftp_endpoint *endpoint, const struct ip_address *address,
		 uint16_t port, struct payload_edits *edits)
{
	bool v4 = ip_is_v4(address);
	char text[16 + IP_TEXT_SIZE];
	uint32_t size = 0;

	switch (endpoint->form) {
	case FTP_PORT:
	case FTP_PASSIVE:
		if (!v4)
			return false;
		size = put_six(text, address, port);
		break;
	case FTP_EPRT:
		if (v4 && !ip_is_v4(&endpoint->address)) {
			memcpy(text, "PORT ", 5);
			size = 5 + put_six(text + 5, address, port);
			break;
		}
		memcpy(text, "EPRT ", 5);
		text[5] = (char)endpoint->delimiter;
		text[6] = v4 ? '1' : '2';
		text[7] = (char)endpoint->delimiter;
		size = 8 + text_put_address(text + 8, address);
		text[size++] = (char)endpoint->delimiter;
		size += text_put_number(text + size, port);
		text[size++] = (char)endpoint->delimiter;
		break;
	case FTP_EXTENDED_PASSIVE:
		size = text_put_number(text, port);
		break;
	}
	return payload_edits_add(edits, endpoint->at, endpoint->size, text, size);
}

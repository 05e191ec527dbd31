// The packet of `sluice trace`: PROTOCOL SOURCE > DESTINATION, with ports where the protocol has
// them; then, in any order, `ttl N`, `flags SA`, `size N`.

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#include "packet/header.h"
#include "packet/packet.h"
#include "telemetry/telemetry.h"

#define WORD_SIZE 80

static bool next_word(const char **text, char word[WORD_SIZE])
{
	size_t length = 0;

	while (isspace((unsigned char)**text))
		(*text)++;
	while (**text && !isspace((unsigned char)**text) && **text != '>') {
		if (length + 1 >= WORD_SIZE) {
			word[length] = 0;
			return false;
		}
		word[length++] = *(*text)++;
	}
	word[length] = 0;
	return length > 0;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	*number = strtoul(text, &end, 10);
	return *end == 0 && *number <= max;
}

// 10.0.0.1:80 or [fd00::1]:80 with a port, 10.0.0.1 or fd00::1 (also in brackets) without.
static int parse_end(char *word, bool with_port, struct ip_address *address, uint16_t *port,
		     struct error *err)
{
	char *colon = NULL, *host = word;
	unsigned long number;

	if (*word == '[') {
		char *close = strchr(word, ']');

		if (!close || (close[1] && close[1] != ':'))
			return error_set(err, "'%s': an IPv6 address with a port is [ADDRESS]:PORT",
					 word);
		colon = close[1] ? close + 1 : NULL;
		*close = 0;
		host = word + 1;
	} else if (strchr(word, ':') == strrchr(word, ':')) {
		colon = strchr(word, ':');
	} else if (with_port) {
		return error_set(err, "'%s': an IPv6 address with a port is [ADDRESS]:PORT", word);
	}
	if (with_port && !colon)
		return error_set(err, "'%s': a port is missing", host);
	if (!with_port && colon)
		return error_set(err, "'%s': this protocol has no ports", host);
	if (colon) {
		if (!parse_number(colon + 1, 65535, &number))
			return error_set(err, "'%s' is no port", colon + 1);
		*port = htons((uint16_t)number);
		*colon = 0;
	}
	if (!ip_parse(host, address))
		return error_set(err, "'%s' is no address", host);
	return 0;
}

// As tcpdump writes them.
static int parse_flags(const char *word, struct packet *packet, struct error *err)
{
	static const char letters[] = "FSRPAU";

	if (packet->key.protocol != IPPROTO_TCP)
		return error_set(err, "'flags' are of tcp alone");
	packet->tcp_flags = 0;
	for (; *word; word++) {
		const char *letter = strchr(letters, toupper((unsigned char)*word));

		if (!letter)
			return error_set(err, "'%c' is no TCP flag: letters of %s", *word, letters);
		packet->tcp_flags |= (uint8_t)(1 << (letter - letters));
	}
	return 0;
}

// What may stand behind the destination.
static int parse_options(const char *text, struct packet *packet, struct error *err)
{
	char word[WORD_SIZE], value[WORD_SIZE];
	unsigned long number;

	while (next_word(&text, word)) {
		bool ttl = strcmp(word, "ttl") == 0, size = strcmp(word, "size") == 0;

		if (!ttl && !size && strcmp(word, "flags") != 0)
			return error_set(err, "'%s' is too much behind the destination", word);
		if (!next_word(&text, value))
			return error_set(err, "'%s' needs a value", word);
		if (!ttl && !size) {
			if (parse_flags(value, packet, err) < 0)
				return -1;
			continue;
		}
		if (!parse_number(value, ttl ? 255 : 65535, &number))
			return error_set(err, "'%s' is no %s", value, word);
		if (ttl)
			packet->ttl = (uint8_t)number;
		else
			packet->ip_length = (uint16_t)number;
	}
	return *text ? error_set(err, "'%.40s' is too much behind the destination", text) : 0;
}

int trace_packet_parse(const char *text, struct packet *packet, struct error *err)
{
	char word[WORD_SIZE];
	struct flow_key *key = &packet->key;
	unsigned long number = 0;
	bool icmp = false, ports = false;

	memset(packet, 0, sizeof(*packet));
	packet->ttl = 64;
	if (!next_word(&text, word))
		return error_set(
			err, "the packet is missing, as in 'tcp 10.1.0.11:1234 > 10.1.0.12:80'");
	if (strcmp(word, "tcp") == 0) {
		key->protocol = IPPROTO_TCP;
		packet->tcp_flags = TCP_SYN;
		ports = true;
	} else if (strcmp(word, "udp") == 0) {
		key->protocol = IPPROTO_UDP;
		ports = true;
	} else if (strcmp(word, "sctp") == 0) {
		key->protocol = IPPROTO_SCTP;
		ports = true;
	} else if (strcmp(word, "icmp") == 0 || strcmp(word, "icmpv6") == 0) {
		icmp = true;
	} else if (parse_number(word, 255, &number)) {
		key->protocol = (uint8_t)number;
	} else {
		return error_set(err, "'%s' is no protocol: tcp, udp, sctp, icmp or a number",
				 word);
	}
	if (!next_word(&text, word))
		return error_set(
			err, "the source is missing, as in 'tcp 10.1.0.11:1234 > 10.1.0.12:80'");
	if (parse_end(word, ports, &key->source, &key->source_port, err) < 0)
		return -1;
	while (isspace((unsigned char)*text))
		text++;
	if (*text != '>')
		return error_set(err, "'>' is missing behind the source");
	text++;
	if (!next_word(&text, word))
		return error_set(err, "the destination is missing");
	if (parse_end(word, ports, &key->destination, &key->destination_port, err) < 0)
		return -1;
	if (parse_options(text, packet, err) < 0)
		return -1;
	if (ip_is_v4(&key->source) != ip_is_v4(&key->destination))
		return error_set(err, "source and destination are of different address families");
	if (icmp) {
		bool v4 = ip_is_v4(&key->source);

		key->protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		packet->icmp_type = v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST;
		key->destination_port = htons((uint16_t)(packet->icmp_type << 8));
	}
	packet->source = key->source;
	packet->destination = key->destination;
	return 0;
}

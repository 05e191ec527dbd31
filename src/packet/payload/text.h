// Reading and writing numbers and addresses in a payload's text. Nothing here ends with a zero
// byte, and everything is somebody else's.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

// What is left of a text.
struct text {
	const uint8_t *at;
	const uint8_t *end;
};

// "[", an IPv6 address, "]:" and a port.
#define TEXT_HOST_SIZE (2 + IP_TEXT_SIZE + 6)

static inline struct text text_of(const uint8_t *data, uint32_t size)
{
	return (struct text){.at = data, .end = data + size};
}

static inline bool text_at_end(const struct text *text)
{
	return text->at == text->end;
}

static inline bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

static inline bool is_letter(uint8_t byte)
{
	return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static inline bool is_hex(uint8_t byte)
{
	return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

static inline bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t';
}

static inline void text_skip_blanks(struct text *text)
{
	while (!text_at_end(text) && is_blank(*text->at))
		text->at++;
}

// Goes over one byte, if it is this one.
static inline bool text_take(struct text *text, uint8_t byte)
{
	if (text_at_end(text) || *text->at != byte)
		return false;
	text->at++;
	return true;
}

// Goes over a word, in any case; `word` is in small letters.
bool text_take_word(struct text *text, const char *word);

// A line up to CRLF or LF, which are not part of it; `text` goes on behind them. False: there is no
// whole line.
bool text_take_line(struct text *text, struct text *line);

// Up to five digits, not more than `limit`.
bool text_take_number(struct text *text, uint32_t limit, uint32_t *number);

// "192.0.2.1", or an IPv6 address without brackets.
bool text_take_v4(struct text *text, struct ip_address *address);
bool text_take_v6(struct text *text, struct ip_address *address);

// Without a zero byte at the end; how many bytes. `text` has room for IP_TEXT_SIZE, or five digits.
uint32_t text_put_address(char *text, const struct ip_address *address);
uint32_t text_put_number(char *text, uint32_t number);

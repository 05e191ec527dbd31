#include "packet/payload/text.h"

bool text_take_word(struct text *text, const char *word)
{
	const uint8_t *at = text->at;

	for (; *word; word++, at++)
		if (at == text->end || (is_letter(*at) ? *at | 0x20 : *at) != (uint8_t)*word)
			return false;
	text->at = at;
	return true;
}

bool text_take_line(struct text *text, struct text *line)
{
	const uint8_t *feed;

	if (text_at_end(text))
		return false;
	feed = memchr(text->at, '\n', (size_t)(text->end - text->at));
	if (!feed)
		return false;
	*line = (struct text){.at = text->at, .end = feed};
	if (!text_at_end(line) && line->end[-1] == '\r')
		line->end--;
	text->at = feed + 1;
	return true;
}

bool text_take_number(struct text *text, uint32_t limit, uint32_t *number)
{
	const uint8_t *at = text->at;
	uint32_t value = 0;

	for (; at < text->end && is_digit(*at); at++) {
		if (at - text->at == 5)
			return false;
		value = value * 10 + (*at - '0');
	}
	if (at == text->at || value > limit)
		return false;
	text->at = at;
	*number = value;
	return true;
}

bool text_take_v4(struct text *text, struct ip_address *address)
{
	struct ip_address result = ip_from_v4(0);
	struct text at = *text;
	uint32_t number;

	for (unsigned int i = 0; i < 4; i++) {
		if ((i && !text_take(&at, '.')) || !text_take_number(&at, 255, &number))
			return false;
		result.bytes[12 + i] = (uint8_t)number;
	}
	*text = at;
	*address = result;
	return true;
}

bool text_take_v6(struct text *text, struct ip_address *address)
{
	const uint8_t *at = text->at;
	char copy[IP_TEXT_SIZE];
	size_t size;

	while (at < text->end && (is_hex(*at) || *at == ':' || *at == '.'))
		at++;
	size = (size_t)(at - text->at);
	if (size < 2 || size >= sizeof(copy) || !memchr(text->at, ':', size))
		return false;
	memcpy(copy, text->at, size);
	copy[size] = 0;
	if (!ip_parse(copy, address) || ip_is_v4(address))
		return false;
	text->at = at;
	return true;
}

uint32_t text_put_address(char *text, const struct ip_address *address)
{
	ip_format(address, text);
	return (uint32_t)strlen(text);
}

uint32_t text_put_number(char *text, uint32_t number)
{
	char digits[10];
	uint32_t count = 0, i;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	for (i = 0; i < count; i++)
		text[i] = digits[count - 1 - i];
	return count;
}

// UTF-8 as RFC 3629 has it.

#pragma once

#include <stddef.h>

// Length of the character that `text` (which ends with a zero byte) begins with, 0 where there is
// no valid one.
static inline size_t utf8_length(const char *text)
{
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned char c = bytes[0];
	size_t length;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	length = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	// Overlong forms, surrogates, beyond U+10FFFF.
	if ((c == 0xe0 && bytes[1] < 0xa0) || (c == 0xed && bytes[1] > 0x9f) ||
	    (c == 0xf0 && bytes[1] < 0x90) || (c == 0xf4 && bytes[1] > 0x8f))
		return 0;
	return length;
}

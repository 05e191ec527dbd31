#include "model/quantity.h"

#include <string.h>

// The largest unit, and places behind the point that it has.
#define DIGITS_MAX 9

// Digits into `value`; what follows them. NULL: there are none, or too many.
static const char *digits_parse(const char *text, uint64_t *value, unsigned int *count)
{
	const char *c = text;

	for (; *c >= '0' && *c <= '9'; c++)
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(*c - '0'), value))
			return NULL;
	*count = (unsigned int)(c - text);
	return *count ? c : NULL;
}

bool quantity_parse(const char *text, uint64_t *value)
{
	static const char units[] = "kMG";
	unsigned int digits, behind = 0, zeros = 0;
	const char *unit;

	*value = 0;
	text = digits_parse(text, value, &digits);
	if (text && *text == '.')
		text = digits_parse(text + 1, value, &behind);
	if (!text || behind > DIGITS_MAX)
		return false;
	unit = *text ? strchr(units, *text) : NULL;
	if (unit) {
		zeros = 3 * (unsigned int)(unit - units + 1);
		text++;
	}
	if (*text || behind > zeros)
		return false;
	for (; zeros > behind; zeros--)
		if (__builtin_mul_overflow(*value, (uint64_t)10, value))
			return false;
	return true;
}

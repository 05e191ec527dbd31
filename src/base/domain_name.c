#include "base/domain_name.h"

#include <string.h>

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool label_valid(const char *label, size_t length)
{
	if (length == 0 || length > DOMAIN_LABEL_MAX || label[0] == '-' || label[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_letter_or_digit(label[i]) && label[i] != '-')
			return false;
	return true;
}

bool domain_label_valid(const char *text)
{
	return label_valid(text, strlen(text));
}

bool domain_name_valid(const char *text)
{
	uint8_t wire[DOMAIN_NAME_WIRE_MAX];

	return domain_name_write(text, true, wire, sizeof(wire)) != 0;
}

uint32_t domain_name_write(const char *text, bool root, uint8_t *wire, uint32_t room)
{
	uint32_t used = 0;

	while (*text) {
		size_t length = strcspn(text, ".");

		if (!label_valid(text, length) || used + 1 + length > room)
			return 0;
		wire[used++] = (uint8_t)length;
		memcpy(wire + used, text, length);
		used += (uint32_t)length;
		text += length;
		if (*text == '.')
			text++;
	}
	// With the root's empty label, whether it is written or not.
	if (!used || used + 1 > DOMAIN_NAME_WIRE_MAX || (root && used + 1 > room))
		return 0;
	if (root)
		wire[used++] = 0;
	return used;
}

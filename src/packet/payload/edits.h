// What is to be replaced in a payload: pieces of text that name addresses and ports (RFC 3022
// section 4.4, RFC 2663 section 2.9).

#pragma once

#include <stdbool.h>
#include <stdint.h>

// Longer payloads are not looked at.
#define PAYLOAD_MAX 4096

#define PAYLOAD_EDITS_MAX 80
#define PAYLOAD_TEXT_MAX  4096

// `size` bytes at `at` of the payload are replaced by `length` bytes.
struct payload_edit {
	uint16_t at;
	uint16_t size;
	uint16_t text; // where they are
	uint16_t length;
};

// In the order of the payload. Empty: count and used are 0.
struct payload_edits {
	uint16_t count;
	uint16_t used;
	struct payload_edit edits[PAYLOAD_EDITS_MAX];
	uint8_t text[PAYLOAD_TEXT_MAX];
};

// Adds a replacement behind those that there are. False: it is not behind them, or there is no
// room.
bool payload_edits_add(struct payload_edits *edits, uint32_t at, uint32_t size, const void *text,
		       uint32_t length);

// By how many bytes the payload grows; negative: shrinks.
int32_t payload_edits_growth(const struct payload_edits *edits);

// Writes the `size` bytes of `payload` with the edits to `to`, which has room for `limit`. Returns
// how many those are, or -1: an edit is not inside the payload, or there is no room.
int32_t payload_edits_apply(const struct payload_edits *edits, const uint8_t *payload,
			    uint32_t size, uint8_t *to, uint32_t limit);

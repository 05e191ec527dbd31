// TCP numbers of a direction in whose payload something was replaced by a text of another length:
// what comes behind it is shifted, and acknowledgements of it are shifted back (RFC 3022 section
// 4.4; Linux calls it sequence adjustment).
//
// What is remembered is the last replacement, as for protocols that wait for an answer to each
// line. Segments sent before it keep the shift that was theirs.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/drop.h"

// Of one direction. All zero: nothing was replaced. Numbers are as the sender counts; host byte
// order.
struct sequence_shift {
	uint32_t begin; // first byte of the last piece that was replaced
	uint32_t end;	// behind it
	int32_t before; // what is added up to there
	int32_t after;	// and from there on
};

// No connection is shifted further: whoever wants more is no such protocol's client.
#define SEQUENCE_SHIFT_MAX 65536

static inline bool sequence_is_shifted(const struct sequence_shift *shift)
{
	return shift->before | shift->after;
}

// The bytes from `begin` to `end` are replaced by others, `growth` more of them. False: this is
// neither behind what was replaced before nor the same once more, so that the receiver may have
// other bytes already; the segment can't be sent.
bool sequence_shift_add(struct sequence_shift *shift, uint32_t begin, uint32_t end, int32_t growth);

// The receiver's number for one of the sender's.
uint32_t sequence_forward(const struct sequence_shift *shift, uint32_t number);

// Back. What is acknowledged in the midst of a piece is acknowledged up to the piece's first byte.
uint32_t sequence_back(const struct sequence_shift *shift, uint32_t number);

// Does a segment of these bytes begin or end in the midst of the last piece? It can't be sent: the
// replacement is not known any more.
bool sequence_is_torn(const struct sequence_shift *shift, uint32_t begin, uint32_t end);

// Rewrites a TCP header of `size` bytes with options: its number by `own`, its acknowledgement and
// the blocks of selective acknowledgements (RFC 2018) by `other`, which is the opposite
// direction's; and the checksum, unless it is left to whoever sends (`unfinished`). False: the
// header is shorter than it says.
bool sequence_rewrite(uint8_t *header, uint32_t size, const struct sequence_shift *own,
		      const struct sequence_shift *other, bool unfinished);

#include "packet/payload/sequence.h"

#include "packet/header.h"
#include "packet/packet.h"

#define TCP_SEQUENCE	    4
#define TCP_ACKNOWLEDGEMENT 8
#define TCP_DATA_OFFSET	    12
#define TCP_FLAGS	    13
#define TCP_CHECKSUM	    16
#define TCP_OPTION_SACK	    5

static uint32_t read32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// RFC 9293 section 3.4.1: numbers wrap.
static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

bool sequence_shift_add(struct sequence_shift *shift, uint32_t begin, uint32_t end, int32_t growth)
{
	int32_t after = shift->after + growth;

	if (sequence_is_shifted(shift)) {
		if (begin == shift->begin && end == shift->end)
			return growth == shift->after - shift->before;
		if (before(begin, shift->end))
			return false;
	}
	if (!growth)
		return true;
	if (after > SEQUENCE_SHIFT_MAX || after < -SEQUENCE_SHIFT_MAX)
		return false;
	shift->begin = begin;
	shift->end = end;
	shift->before = shift->after;
	shift->after = after;
	return true;
}

uint32_t sequence_forward(const struct sequence_shift *shift, uint32_t number)
{
	return number + (uint32_t)(before(number, shift->end) ? shift->before : shift->after);
}

uint32_t sequence_back(const struct sequence_shift *shift, uint32_t number)
{
	uint32_t begin = shift->begin + (uint32_t)shift->before;
	uint32_t end = shift->end + (uint32_t)shift->after;

	if (!before(number, end))
		return number - (uint32_t)shift->after;
	return before(number, begin) ? number - (uint32_t)shift->before : shift->begin;
}

bool sequence_is_torn(const struct sequence_shift *shift, uint32_t begin, uint32_t end)
{
	if (!sequence_is_shifted(shift))
		return false;
	return (before(shift->begin, begin) && before(begin, shift->end)) ||
	       (before(shift->begin, end) && before(end, shift->end));
}

// Puts a number into the header, and into the checksum (RFC 1624 equation 3, in two halves). The
// sum is over 16-bit words at even places: a number at an odd one counts with its bytes exchanged.
static void number_write(uint8_t *header, uint32_t at, uint32_t value, uint64_t *sum)
{
	uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
			    (uint8_t)value};
	uint8_t old[6] = {0}, new[6] = {0};
	uint16_t words[3];

	memcpy(old + (at & 1), header + at, 4);
	memcpy(new + (at & 1), bytes, 4);
	memcpy(words, old, sizeof(words));
	for (unsigned int i = 0; i < 3; i++)
		*sum += (uint16_t)~words[i];
	*sum = checksum_add(*sum, new, sizeof(new));
	memcpy(header + at, bytes, 4);
}

static void selective_back(uint8_t *header, uint32_t at, uint32_t end,
			   const struct sequence_shift *other, uint64_t *sum)
{
	for (; at + 4 <= end; at += 4)
		number_write(header, at, sequence_back(other, read32(header + at)), sum);
}

static void options_back(uint8_t *header, uint32_t size, const struct sequence_shift *other,
			 uint64_t *sum)
{
	uint32_t at = TCP_HEADER_SIZE;

	while (at < size && header[at] != TCP_OPTION_END) {
		if (header[at] == TCP_OPTION_NONE) {
			at++;
			continue;
		}
		if (at + 2 > size || header[at + 1] < 2 || at + header[at + 1] > size)
			return;
		if (header[at] == TCP_OPTION_SACK)
			selective_back(header, at + 2, at + header[at + 1], other, sum);
		at += header[at + 1];
	}
}

bool sequence_rewrite(uint8_t *header, uint32_t size, const struct sequence_shift *own,
		      const struct sequence_shift *other, bool unfinished)
{
	uint32_t length;
	uint16_t checksum;
	uint64_t sum;

	if (size < TCP_HEADER_SIZE)
		return false;
	length = (header[TCP_DATA_OFFSET] >> 4) * 4u;
	if (length < TCP_HEADER_SIZE || length > size)
		return false;
	memcpy(&checksum, header + TCP_CHECKSUM, 2);
	sum = (uint16_t)~checksum;
	if (sequence_is_shifted(own))
		number_write(header, TCP_SEQUENCE,
			     sequence_forward(own, read32(header + TCP_SEQUENCE)), &sum);
	if (sequence_is_shifted(other) && header[TCP_FLAGS] & TCP_ACK) {
		number_write(header, TCP_ACKNOWLEDGEMENT,
			     sequence_back(other, read32(header + TCP_ACKNOWLEDGEMENT)), &sum);
		options_back(header, length, other, &sum);
	}
	if (!unfinished) {
		checksum = checksum_finish(sum);
		memcpy(header + TCP_CHECKSUM, &checksum, 2);
	}
	return true;
}

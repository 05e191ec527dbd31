#include "packet/payload/edits.h"

#include <string.h>

bool payload_edits_add(struct payload_edits *edits, uint32_t at, uint32_t size, const void *text,
		       uint32_t length)
{
	const struct payload_edit *last = edits->edits + edits->count - 1;

	if (edits->count == PAYLOAD_EDITS_MAX ||
	    length > PAYLOAD_TEXT_MAX - (uint32_t)edits->used || at > PAYLOAD_MAX ||
	    size > PAYLOAD_MAX - at)
		return false;
	if (edits->count && at < (uint32_t)last->at + last->size)
		return false;
	memcpy(edits->text + edits->used, text, length);
	edits->edits[edits->count++] = (struct payload_edit){
		.at = (uint16_t)at,
		.size = (uint16_t)size,
		.text = edits->used,
		.length = (uint16_t)length,
	};
	edits->used = (uint16_t)(edits->used + length);
	return true;
}

int32_t payload_edits_growth(const struct payload_edits *edits)
{
	int32_t growth = 0;

	for (unsigned int i = 0; i < edits->count; i++)
		growth += edits->edits[i].length - edits->edits[i].size;
	return growth;
}

int32_t payload_edits_apply(const struct payload_edits *edits, const uint8_t *payload,
			    uint32_t size, uint8_t *to, uint32_t limit)
{
	const struct payload_edit *edit;
	uint32_t from = 0, done = 0, part;

	for (unsigned int i = 0; i < edits->count; i++) {
		edit = edits->edits + i;
		if (edit->at < from || (uint32_t)edit->at + edit->size > size)
			return -1;
		part = edit->at - from;
		if (part + (uint32_t)edit->length > limit - done)
			return -1;
		memcpy(to + done, payload + from, part);
		memcpy(to + done + part, edits->text + edit->text, edit->length);
		done += part + edit->length;
		from = (uint32_t)edit->at + edit->size;
	}
	if (size - from > limit - done)
		return -1;
	memcpy(to + done, payload + from, size - from);
	return (int32_t)(done + size - from);
}

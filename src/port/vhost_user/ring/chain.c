// Buffers of any shape: chains of descriptors, tables of them, pieces in several regions.

#include "port/vhost_user/ring/packed.h"
#include "port/vhost_user/ring/split.h"

uint8_t *ring_at_other(struct vhost_ring *ring, uint64_t guest, uint64_t size)
{
	const struct vhost_region *region = vhost_memory_region(ring->memory, guest);

	if (!region)
		return NULL;
	ring->region_guest = region->guest;
	ring->region_size = region->size;
	ring->region_start = region->start;
	if (!vhost_range_holds(region->guest, region->size, guest, size))
		return NULL;
	return region->start + (guest - region->guest);
}

// Adds a descriptor's memory, in as many pieces as it has regions.
static bool pieces_add(struct vhost_ring *ring, struct ring_pieces *pieces,
		       struct ring_buffer *buffer, uint64_t guest, uint32_t size)
{
	// What is larger than any frame is lost all the same.
	buffer->size = size > UINT32_MAX / 2 - buffer->size ? UINT32_MAX / 2 : buffer->size + size;
	while (size) {
		uint8_t *start = ring_at(ring, guest, 1);
		uint64_t part;

		if (!start) {
			ring_break(ring, VHOST_RING_ADDRESS);
			return false;
		}
		part = RTE_MIN(size, ring->region_size - (guest - ring->region_guest));
		if (pieces->count < RING_PIECES)
			pieces->pieces[pieces->count++] =
				(struct ring_piece){start, guest, (uint32_t)part};
		else
			pieces->lost = true;
		guest += part;
		size -= (uint32_t)part;
	}
	return true;
}

static enum ring_state chain_break(struct vhost_ring *ring, enum vhost_ring_fault fault)
{
	ring_break(ring, fault);
	return RING_BROKEN;
}

// Descriptors of a table, or 0 if its size is not allowed.
static uint32_t table_count(uint32_t size)
{
	uint32_t count = size / (uint32_t)sizeof(struct vring_desc);

	return size % sizeof(struct vring_desc) || count > VHOST_INDIRECT_MAX ? 0 : count;
}

static enum ring_state split_chain_table(struct vhost_ring *ring, struct split_descriptor table,
					 uint16_t direction, struct ring_pieces *pieces,
					 struct ring_buffer *buffer)
{
	uint32_t count = table_count(table.size), next = 0;

	if (!ring->indirect || !count || table.flags & VRING_DESC_F_NEXT)
		return chain_break(ring, VHOST_RING_INDIRECT);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *place = ring_at(ring, table.address + next * 16, 16);
		struct split_descriptor descriptor;

		if (!place)
			return chain_break(ring, VHOST_RING_ADDRESS);
		// Nothing says that a table is aligned.
		guest_copy(&descriptor, place, sizeof(descriptor));
		if (descriptor.flags & VRING_DESC_F_INDIRECT)
			return chain_break(ring, VHOST_RING_INDIRECT);
		if ((descriptor.flags & VRING_DESC_F_WRITE) != direction)
			return chain_break(ring, VHOST_RING_DIRECTION);
		if (!pieces_add(ring, pieces, buffer, descriptor.address, descriptor.size))
			return RING_BROKEN;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return RING_READY;
		next = descriptor.next;
		if (next >= count)
			return chain_break(ring, VHOST_RING_DESCRIPTOR);
	}
	return chain_break(ring, VHOST_RING_CHAIN);
}

static enum ring_state split_chain(struct vhost_ring *ring, struct ring_place *at,
				   uint16_t direction, struct ring_pieces *pieces,
				   struct ring_buffer *buffer)
{
	uint32_t next;

	if (!split_available(ring, at->index, 1))
		return ring->fault ? RING_BROKEN : RING_EMPTY;
	next = guest_read16(&ring->avail->ring[at->index & (ring->size - 1)]);
	*buffer = (struct ring_buffer){.id = (uint16_t)next, .places = 1};
	for (uint32_t i = 0; i < ring->size; i++) {
		struct split_descriptor descriptor;
		enum ring_state state;

		if (next >= ring->size)
			return chain_break(ring, VHOST_RING_DESCRIPTOR);
		descriptor = split_read(&ring->table[next]);
		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			state = split_chain_table(ring, descriptor, direction, pieces, buffer);
			at->index += state == RING_READY;
			return state;
		}
		if ((descriptor.flags & VRING_DESC_F_WRITE) != direction)
			return chain_break(ring, VHOST_RING_DIRECTION);
		if (!pieces_add(ring, pieces, buffer, descriptor.address, descriptor.size))
			return RING_BROKEN;
		if (!(descriptor.flags & VRING_DESC_F_NEXT)) {
			at->index++;
			return RING_READY;
		}
		next = descriptor.next;
	}
	return chain_break(ring, VHOST_RING_CHAIN);
}

static enum ring_state packed_chain_table(struct vhost_ring *ring, struct packed_descriptor table,
					  uint16_t direction, struct ring_pieces *pieces,
					  struct ring_buffer *buffer)
{
	uint32_t count = table_count(table.size);

	if (!ring->indirect || !count || table.flags & VRING_DESC_F_NEXT)
		return chain_break(ring, VHOST_RING_INDIRECT);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *place = ring_at(ring, table.address + i * 16, 16);
		struct packed_descriptor descriptor;

		if (!place)
			return chain_break(ring, VHOST_RING_ADDRESS);
		guest_copy(&descriptor, place, sizeof(descriptor));
		// In a table only this flag means something (section 2.8.7).
		if ((descriptor.flags & VRING_DESC_F_WRITE) != direction)
			return chain_break(ring, VHOST_RING_DIRECTION);
		if (!pieces_add(ring, pieces, buffer, descriptor.address, descriptor.size))
			return RING_BROKEN;
	}
	return RING_READY;
}

static enum ring_state packed_chain(struct vhost_ring *ring, struct ring_place *at,
				    uint16_t direction, struct ring_pieces *pieces,
				    struct ring_buffer *buffer)
{
	struct packed_descriptor descriptor = packed_read(&ring->packed[at->index]);
	enum ring_state state = RING_READY;
	struct ring_place place = *at;

	if (!packed_is_available(descriptor.flags, at->wrap))
		return RING_EMPTY;
	*buffer = (struct ring_buffer){0};
	for (;;) {
		packed_advance(ring, &place, 1);
		buffer->places++;
		buffer->id = descriptor.id;
		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			state = packed_chain_table(ring, descriptor, direction, pieces, buffer);
			break;
		}
		if ((descriptor.flags & VRING_DESC_F_WRITE) != direction)
			return chain_break(ring, VHOST_RING_DIRECTION);
		if (!pieces_add(ring, pieces, buffer, descriptor.address, descriptor.size))
			return RING_BROKEN;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			break;
		if (buffer->places == ring->size)
			return chain_break(ring, VHOST_RING_CHAIN);
		descriptor = packed_read(&ring->packed[place.index]);
	}
	if (state == RING_READY)
		*at = place;
	return state;
}

enum ring_state ring_chain(struct vhost_ring *ring, struct ring_place *at, bool write,
			   struct ring_pieces *pieces, struct ring_buffer *buffer)
{
	uint16_t direction = write ? VRING_DESC_F_WRITE : 0;

	if (ring->is_packed)
		return packed_chain(ring, at, direction, pieces, buffer);
	return split_chain(ring, at, direction, pieces, buffer);
}

// A header and a frame that were found in two descriptors.
static bool pair_take(struct vhost_ring *ring, uint64_t header, uint64_t data, uint32_t size,
		      struct ring_slot *slot)
{
	slot->header = ring_at(ring, header, ring->header);
	slot->data = ring_at(ring, data, RTE_MAX(size, (uint32_t)RING_SLOT_READ));
	slot->size = size;
	return slot->header && slot->data;
}

bool split_slot_pair(struct vhost_ring *ring, struct split_descriptor first, uint16_t direction,
		     struct ring_slot *slot)
{
	struct split_descriptor second, table[2];
	const uint8_t *place;

	if (first.flags == (direction | VRING_DESC_F_NEXT)) {
		if (first.next >= ring->size)
			return false;
		second = split_read(&ring->table[first.next]);
	} else if (first.flags == VRING_DESC_F_INDIRECT && ring->indirect &&
		   first.size == sizeof(table)) {
		place = ring_at(ring, first.address, sizeof(table));
		if (!place)
			return false;
		guest_copy(table, place, sizeof(table));
		first = table[0];
		second = table[1];
		if (first.flags != (direction | VRING_DESC_F_NEXT) || first.next != 1)
			return false;
	} else {
		return false;
	}
	return first.size == ring->header && second.flags == direction &&
	       pair_take(ring, first.address, second.address, second.size, slot);
}

bool packed_slot_pair(struct vhost_ring *ring, struct ring_place at, struct packed_descriptor first,
		      uint16_t direction, struct ring_slot *slot)
{
	struct packed_descriptor second, table[2];
	const uint8_t *place;

	if ((first.flags & PACKED_SHAPE) == (direction | VRING_DESC_F_NEXT) && ring->size > 1) {
		packed_advance(ring, &at, 1);
		second = packed_read(&ring->packed[at.index]);
		slot->id = second.id;
		slot->places = 2;
		if ((second.flags & PACKED_SHAPE) != direction)
			return false;
	} else if ((first.flags & PACKED_SHAPE) == VRING_DESC_F_INDIRECT && ring->indirect &&
		   first.size == sizeof(table)) {
		place = ring_at(ring, first.address, sizeof(table));
		if (!place)
			return false;
		guest_copy(table, place, sizeof(table));
		first = table[0];
		second = table[1];
		if ((first.flags & VRING_DESC_F_WRITE) != direction ||
		    (second.flags & VRING_DESC_F_WRITE) != direction)
			return false;
	} else {
		return false;
	}
	return first.size == ring->header &&
	       pair_take(ring, first.address, second.address, second.size, slot);
}

void pieces_read(const struct ring_pieces *pieces, void *data, uint32_t size)
{
	uint8_t *bytes = data;

	for (uint32_t i = 0; size; i++) {
		uint32_t part = RTE_MIN(size, pieces->pieces[i].size);

		memcpy(bytes, pieces->pieces[i].start, part);
		bytes += part;
		size -= part;
	}
}

void pieces_write(const struct vhost_ring *ring, const struct ring_pieces *pieces,
		  struct pieces_place *place, const void *data, uint32_t size)
{
	const uint8_t *bytes = data;

	while (size) {
		const struct ring_piece *piece = &pieces->pieces[place->piece];
		uint32_t part = RTE_MIN(size, piece->size - place->offset);

		memcpy(piece->start + place->offset, bytes, part);
		if (unlikely(ring->log))
			ring_log(ring, piece->guest + place->offset, part);
		bytes += part;
		size -= part;
		place->offset += part;
		if (place->offset == piece->size)
			*place = (struct pieces_place){place->piece + 1, 0};
	}
}

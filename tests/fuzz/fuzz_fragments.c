// Fragments: any bytes as a frame, read as one and, where it is a first fragment, as the whole
// datagram; and any sequence of fragments through the table of those that wait.
//
// The first byte says which: bit 0, a frame (bit 1: its checksums are made right; the other bits,
// how much of it is in the first segment, 0 for all of it); else steps of STEP_SIZE bytes: what
// (below), the datagram, its source, offset in eight bytes, size in bytes, cost.

#include "fuzz.h"
#include "fuzz_frame.h"
#include "packet/fragment_table.h"

#define STEP_SIZE 8
#define STEPS_MAX 4096
#define COST_MAX  64

#define STEP_MORE   0x01
#define STEP_KIND   0xe0
#define STEP_SECOND 0x20 // `size` seconds go by
#define STEP_END    0x40
#define STEP_CLEAR  0x60

// ---- frames

static void parse_datagram(const uint8_t *data, uint32_t available, const struct packet *first,
			   const struct fragment *fragment, uint32_t total)
{
	bool v4 = ip_is_v4(&first->source);
	uint32_t end = fragment->payload + fragment->size;
	struct packet whole;

	if (fragment_parse_datagram(data, available, first, fragment, total, &whole) != DROP_NONE)
		return;
	require(whole.kind == PACKET_IP || whole.kind == PACKET_ICMP_ERROR);
	require(ip_equal(&whole.source, &first->source) &&
		ip_equal(&whole.destination, &first->destination));
	// Its headers are where those of the fragment are, but for the fragment header.
	require(whole.l3_offset == first->l3_offset && whole.ttl == first->ttl);
	require(whole.l4_offset + (v4 ? 0u : 8u) >= fragment->payload);
	require(whole.l4_offset + (v4 ? 0u : 8u) <= (end < available ? end : available));
	if (total)
		require(whole.ip_length ==
			fragment->payload - first->l3_offset - (v4 ? 0 : 8) + total);
}

static void read_frame(const uint8_t *bytes, uint32_t size, uint8_t mode)
{
	uint32_t available = mode >> 2 ? (uint32_t)(mode >> 2) * 8 : size;
	uint8_t frame[GUARD_MAX];
	struct fragment fragment;
	struct packet packet;
	const uint8_t *data;

	if (available > size)
		available = size;
	memcpy(frame, bytes, size);
	if (mode & 2)
		frame_repair(frame, size);
	data = guard_put(frame, available);
	if (packet_parse(data, available, size, &packet) != DROP_NONE ||
	    (packet.kind != PACKET_IP && packet.kind != PACKET_FRAGMENT))
		return;
	// The two agree about what a fragment is.
	require(fragment_read(data, available, &packet, &fragment) ==
		(packet.kind == PACKET_FRAGMENT));
	if (packet.kind != PACKET_FRAGMENT)
		return;
	require(fragment.payload + fragment.size == packet.l3_offset + packet.ip_length);
	require(fragment.offset % 8 == 0 && (fragment.offset || fragment.more));
	require(data[fragment.field] ==
		(ip_is_v4(&packet.source) ? fragment.protocol : IPPROTO_FRAGMENT));
	if (fragment.offset || fragment_check(&fragment) != DROP_NONE)
		return;
	parse_datagram(data, available, &packet, &fragment, 0);
	parse_datagram(data, available, &packet, &fragment, fragment.size + 8);
	parse_datagram(data, available, &packet, &fragment, 65535);
}

// ---- the table

struct item {
	bool waits;
	uint8_t source;
	uint8_t cost;
	struct fragment fragment;
};

static struct item items[STEPS_MAX];
static uint32_t costs[4], cost_of_all;

static void leave(struct item *item)
{
	require(item->waits);
	item->waits = false;
	costs[item->source] -= item->cost;
	cost_of_all -= item->cost;
}

static void dropped(void *context, void *item, const struct fragment_key *key,
		    enum drop_reason reason)
{
	require(reason != DROP_NONE);
	leave(item);
}

static void released(void *item)
{
	leave(item);
}

// All of it, in order, and nothing twice.
static void check_datagram(struct fragment_table *table, struct fragment_datagram *datagram)
{
	void *taken[FRAGMENTS_PER_DATAGRAM];
	uint32_t total, reached = 0, count = fragment_table_take(table, datagram, taken, &total);

	require(count > 0 && total > 0 && total <= 65535);
	for (uint32_t i = 0; i < count; i++) {
		struct item *item = taken[i];

		require(item->fragment.offset == reached);
		require(item->fragment.more == (i + 1 < count));
		reached += item->fragment.size;
		leave(item);
	}
	require(reached == total);
}

static void step(struct fragment_table *table, const uint8_t *bytes, struct item *item,
		 uint32_t *now)
{
	struct fragment_key key = {
		.identification = bytes[1],
		.network = 1,
		.port = bytes[2] & 2 ? 1 : 7 + (bytes[2] & 1),
		.peer = bytes[2] & 2 ? 1 + (bytes[2] & 1) : 0,
	};
	uint32_t size = (uint32_t)bytes[5] | (uint32_t)bytes[6] << 8;
	struct fragment_datagram *datagram;

	switch (bytes[0] & STEP_KIND) {
	case STEP_SECOND:
		*now += size;
		fragment_table_age(table, *now);
		return;
	case STEP_END:
		fragment_table_end(table, &key, *now, DROP_FRAGMENT_TINY);
		return;
	case STEP_CLEAR:
		fragment_table_clear(table, released);
		require(!fragment_table_count(table) && !cost_of_all);
		return;
	default:
		break;
	}
	item->fragment = (struct fragment){
		.offset = ((uint32_t)bytes[3] | (uint32_t)(bytes[4] & 0x1f) << 8) * 8,
		.size = size,
		.more = bytes[0] & STEP_MORE,
	};
	// A whole packet is no fragment.
	if ((!item->fragment.offset && !item->fragment.more) ||
	    fragment_check(&item->fragment) != DROP_NONE)
		return;
	item->source = bytes[2] & 3;
	item->cost = 1 + bytes[7] % 40;
	item->waits = true;
	costs[item->source] += item->cost;
	cost_of_all += item->cost;
	datagram = fragment_table_add(table, &key, &item->fragment, item, item->cost, *now);
	require(cost_of_all <= COST_MAX);
	for (unsigned int i = 0; i < 4; i++)
		require(costs[i] <= COST_MAX / 4);
	if (datagram)
		check_datagram(table, datagram);
}

static void run_table(const uint8_t *data, size_t size)
{
	struct fragment_table *table = fragment_table_open(COST_MAX, dropped, NULL);
	uint32_t now = 1000;

	require(table != NULL);
	memset(items, 0, sizeof(items));
	for (uint32_t i = 0; i < STEPS_MAX && size >= STEP_SIZE; i++) {
		step(table, data, &items[i], &now);
		data += STEP_SIZE;
		size -= STEP_SIZE;
	}
	fragment_table_age(table, now + FRAGMENT_SECONDS + 1);
	require(!fragment_table_count(table) && !cost_of_all);
	fragment_table_close(table, released);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > GUARD_MAX)
		return 0;
	if (data[0] & 1)
		read_frame(data + 1, (uint32_t)size - 1, data[0]);
	else
		run_table(data + 1, size - 1);
	return 0;
}

// Pieces of a payload that are replaced: lengths, checksums, packets of several buffers.

#include "offload_frame.h"

#include "packet/payload/edit.h"

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

static struct payload_edits edits;

static void edits_begin(void)
{
	edits.count = 0;
	edits.used = 0;
}

static void edit(uint32_t at, uint32_t size, const char *text)
{
	assert_true(payload_edits_add(&edits, at, size, text, (uint32_t)strlen(text)));
}

static void test_text(void **state)
{
	uint8_t out[32];

	edits_begin();
	edit(0, 1, "");
	edit(3, 2, "three and four");
	edit(9, 0, "!");
	assert_int_equal(payload_edits_growth(&edits), 12);
	assert_int_equal(payload_edits_apply(&edits, (const uint8_t *)"012345678", 9, out, 32), 21);
	assert_memory_equal(out, "12three and four5678!", 21);
	// Too little room, and a payload that is shorter than the edits say.
	assert_int_equal(payload_edits_apply(&edits, (const uint8_t *)"012345678", 9, out, 20), -1);
	assert_int_equal(payload_edits_apply(&edits, (const uint8_t *)"01234567", 8, out, 32), -1);
}

static void test_what_can_not_be_added(void **state)
{
	static uint8_t text[PAYLOAD_TEXT_MAX];

	edits_begin();
	edit(10, 5, "x");
	assert_false(payload_edits_add(&edits, 14, 1, "y", 1));
	assert_false(payload_edits_add(&edits, 0, 1, "y", 1));
	assert_false(payload_edits_add(&edits, PAYLOAD_MAX, 1, "y", 1));
	assert_false(payload_edits_add(&edits, 0xffffffff, 2, "y", 1));
	assert_false(payload_edits_add(&edits, 20, 1, text, sizeof(text)));
	assert_true(payload_edits_add(&edits, 20, 1, text, sizeof(text) - 1));
	assert_false(payload_edits_add(&edits, 30, 1, "y", 1));
	edits_begin();
	for (unsigned int i = 0; i < PAYLOAD_EDITS_MAX; i++)
		edit(i, 1, "");
	assert_false(payload_edits_add(&edits, PAYLOAD_EDITS_MAX, 1, "y", 1));
}

struct expected {
	uint8_t payload[2 * PAYLOAD_MAX];
	int32_t size;
};

// Writes `edits` into a packet with `padding` bytes behind it, and checks what became of it.
static void write_check(bool v6, uint8_t protocol, uint32_t payload, uint32_t head,
			uint32_t padding, uint64_t flags)
{
	struct shape shape = frame_build(0, v6, protocol, payload);
	struct payload_place place;
	struct rte_mbuf *packet;
	static struct expected expected;
	static uint8_t bytes[16384];

	expected.size = payload_edits_apply(&edits, offload_frame + shape.data, payload,
					    expected.payload, sizeof(expected.payload));
	assert_true(expected.size >= 0);
	offload_frame[shape.l4 + (protocol == PROTOCOL_TCP ? 16 : 6)] = 0x12;
	packet = packet_make(shape.length + padding, head);
	packet->ol_flags = flags;
	assert_true(payload_find(packet, 14, (uint16_t)shape.l4, &place));
	assert_int_equal(place.begin, shape.data);
	assert_int_equal(place.size, payload);
	assert_true(payload_write(packet, &place, &edits, 1 << 16, offload_pool));
	assert_int_equal(place.size, expected.size);
	assert_int_equal(packet_take(packet, bytes), shape.data + (uint32_t)expected.size);
	assert_memory_equal(bytes + shape.data, expected.payload, (size_t)expected.size);
	ip_check(bytes + 14, shape.data - 14 + (uint32_t)expected.size, !flags);
	if (protocol == PROTOCOL_UDP)
		assert_int_equal(read16(bytes + shape.l4 + 4), 8 + (uint32_t)expected.size);
	assert_int_equal(rte_mempool_in_use_count(offload_pool), 0);
}

static void test_packets(void **state)
{
	static const uint32_t heads[] = {100, 120, 400, 2000};
	static char longer[2000];

	memset(longer, 'L', sizeof(longer) - 1);
	for (unsigned int i = 0; i < 32; i++) {
		bool v6 = i & 1;
		uint8_t protocol = i & 2 ? PROTOCOL_TCP : PROTOCOL_UDP;
		uint32_t head = heads[i / 4 % 4], padding = i & 16 ? 6 : 0;

		edits_begin();
		edit(100, 10, "");
		write_check(v6, protocol, 333, head, padding, 0);
		edit(250, 3, "a little longer than that");
		write_check(v6, protocol, 333, head, padding, 0);
		// Into another buffer.
		edit(333, 0, longer);
		write_check(v6, protocol, 333, head, padding, 0);
		edits_begin();
		edit(0, 333, "");
		write_check(v6, protocol, 333, head, padding, 0);
	}
}

// A checksum that is left to the network card stays so.
static void test_unfinished(void **state)
{
	edits_begin();
	edit(5, 1, "longer");
	write_check(false, PROTOCOL_TCP, 50, 100, 0, RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4);
	write_check(true, PROTOCOL_UDP, 50, 100, 0, RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV6);
}

// A datagram over IPv4 may have none, and stays without.
static void test_no_udp_checksum(void **state)
{
	struct shape shape = frame_build(0, false, PROTOCOL_UDP, 20);
	struct payload_place place;
	struct rte_mbuf *packet = packet_make(shape.length, 100);
	uint8_t bytes[256];

	edits_begin();
	edit(5, 1, "longer");
	assert_true(payload_find(packet, 14, (uint16_t)shape.l4, &place));
	assert_true(payload_write(packet, &place, &edits, 1500, offload_pool));
	packet_take(packet, bytes);
	ip_check(bytes + 14, 28 + 25, false);
	assert_int_equal(read16(bytes + shape.l4 + 6), 0);
}

// Nothing is changed where not all can be.
static void test_refused(void **state)
{
	struct shape shape = frame_build(0, false, PROTOCOL_TCP, 100);
	struct rte_mbuf *packet = packet_make(shape.length, 60), *other;
	struct rte_mbuf *all[1024];
	static char longer[2500];
	struct payload_place place;
	unsigned int count = 0;
	uint8_t bytes[256];

	memset(longer, 'L', sizeof(longer) - 1);
	assert_true(payload_find(packet, 14, (uint16_t)shape.l4, &place));
	edits_begin();
	edit(90, 20, "behind its end");
	assert_false(payload_write(packet, &place, &edits, 1500, offload_pool));
	edits_begin();
	edit(90, 5, "longer");
	assert_false(payload_write(packet, &place, &edits, 140, offload_pool));
	packet->ol_flags = RTE_MBUF_F_TX_TCP_SEG;
	assert_false(payload_write(packet, &place, &edits, 1500, offload_pool));
	packet->ol_flags = 0;
	rte_mbuf_refcnt_update(packet->next, 1);
	assert_false(payload_write(packet, &place, &edits, 1500, offload_pool));
	rte_mbuf_refcnt_update(packet->next, -1);
	edits_begin();
	edit(90, 5, longer);
	while ((other = rte_pktmbuf_alloc(offload_pool)))
		all[count++] = other;
	assert_false(payload_write(packet, &place, &edits, 5000, offload_pool));
	rte_pktmbuf_free_bulk(all, count);
	assert_int_equal(packet_take(packet, bytes), shape.length);
	assert_memory_equal(bytes, offload_frame, shape.length);
}

// What is no whole TCP or UDP packet has no payload.
static void test_no_payload(void **state)
{
	struct {
		uint32_t at;
		uint8_t byte;
	} wrong[] = {
		{20, 0x20}, // more fragments
		{21, 1},    // not the first one
		{23, 1},    // ICMP
		{14, 0x46}, // options, and the transport header elsewhere
		{16, 2},    // longer than the frame
		{46, 0x40}, // TCP header too short
		{46, 0xf0}, // behind the packet's end
	};
	struct payload_place place;

	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		struct shape shape = frame_build(0, false, PROTOCOL_TCP, 10);
		struct rte_mbuf *packet;

		offload_frame[wrong[i].at] = wrong[i].byte;
		packet = packet_make(shape.length, 100);
		assert_false(payload_find(packet, 14, (uint16_t)shape.l4, &place));
		rte_pktmbuf_free(packet);
	}
	// IPv6 with something else before the transport header, and a datagram of another length.
	frame_build(0, true, PROTOCOL_UDP, 10);
	for (unsigned int i = 0; i < 2; i++) {
		struct shape shape = frame_build(0, true, PROTOCOL_UDP, 10);
		struct rte_mbuf *packet;

		offload_frame[i ? shape.l4 + 5 : 20] = i ? 17 : 0;
		packet = packet_make(shape.length, 100);
		assert_false(payload_find(packet, 14, (uint16_t)shape.l4, &place));
		rte_pktmbuf_free(packet);
	}
}

// One that is too long is not looked at.
static void test_long(void **state)
{
	static uint8_t buffer[PAYLOAD_MAX];
	struct payload_place place;

	for (uint32_t size = PAYLOAD_MAX; size <= PAYLOAD_MAX + 1; size++) {
		struct shape shape = frame_build(0, false, PROTOCOL_UDP, size);
		struct rte_mbuf *packet = packet_make(shape.length, 100);
		const uint8_t *payload;

		assert_true(payload_find(packet, 14, (uint16_t)shape.l4, &place));
		payload = payload_read(packet, &place, buffer);
		assert_int_equal(payload != NULL, size == PAYLOAD_MAX);
		if (payload)
			assert_memory_equal(payload, offload_frame + shape.data, size);
		rte_pktmbuf_free(packet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	   cmocka_unit_test(test_what_can_not_be_added),
		cmocka_unit_test(test_packets),	   cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_no_udp_checksum),
		cmocka_unit_test(test_no_payload), cmocka_unit_test(test_long),
	};

	return offload_tests_run(tests);
}

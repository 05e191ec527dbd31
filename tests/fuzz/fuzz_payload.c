// Payloads that are read and edited. The first byte says what it is: an FTP control connection's, a
// SIP message, a TCP header with numbers to shift, or a packet with edits. What was replaced is
// found again, and is what it was replaced by.

#include "fuzz_packets.h"
#include "packet/payload/edit.h"
#include "packet/payload/ftp.h"
#include "packet/payload/sequence.h"
#include "packet/payload/sip.h"

#define PORT 40000

static struct rte_mempool *pool;
static struct payload_edits edits;
static uint8_t result[2 * PAYLOAD_MAX];

static struct ip_address other(bool v4)
{
	struct ip_address address;

	require(ip_parse(v4 ? "203.0.113.200" : "2001:db8:ffff:ffff:ffff:ffff:ffff:1", &address));
	return address;
}

static bool edited(const uint8_t *text, uint32_t size, uint32_t *length)
{
	int32_t done = payload_edits_apply(&edits, text, size, result, sizeof(result));

	require(done >= 0 && done == (int32_t)size + payload_edits_growth(&edits));
	*length = (uint32_t)done;
	return true;
}

static void ftp(const uint8_t *text, uint32_t size, bool client, bool v4)
{
	struct ftp_endpoint endpoint, again;
	struct ip_address address = other(v4);
	uint32_t from = 0, place, length;

	for (;;) {
		place = from;
		if (!ftp_find(text, size, &from, client, &endpoint))
			return;
		require(from > place && from <= size && endpoint.port);
		require(endpoint.at >= place && endpoint.at + endpoint.size < from);
		edits.count = edits.used = 0;
		if (!ftp_replace(&endpoint, &address, PORT, &edits)) {
			require(!v4);
			continue;
		}
		edited(text, size, &length);
		require(ftp_find(result, length, &place, client, &again));
		require(again.port == PORT);
		require(again.form == FTP_EXTENDED_PASSIVE || ip_equal(&again.address, &address));
	}
}

static void sip(const uint8_t *text, uint32_t size, bool v4)
{
	static struct sip_message message, again;
	uint32_t length, end = 0;

	if (!sip_read(text, size, &message))
		return;
	require(message.body + message.body_size <= size);
	for (uint32_t i = 0; i < message.count; i++) {
		struct sip_reference *reference = &message.references[i];

		require(reference->at >= end && reference->size);
		end = reference->at + reference->size;
		require(end <= size);
		reference->replaced = reference->kind != SDP_MEDIA || reference->port;
		reference->new_address = other(v4);
		reference->new_port = PORT;
	}
	edits.count = edits.used = 0;
	if (!sip_write(&message, &edits))
		return;
	edited(text, size, &length);
	if (length > PAYLOAD_MAX)
		return;
	require(sip_read(result, length, &again));
	require(again.count == message.count && again.is_request == message.is_request);
	require(again.body_size == message.body_size + length - size - (again.body - message.body));
	for (uint32_t i = 0; i < again.count; i++) {
		const struct sip_reference *reference = &again.references[i];

		require(reference->kind == message.references[i].kind);
		if (!message.references[i].replaced)
			continue;
		if (reference->with_address)
			require(ip_equal(&reference->address, &message.references[i].new_address));
		if (reference->kind != SDP_ORIGIN && reference->kind != SDP_CONNECTION)
			require(reference->port == PORT);
	}
}

struct shifts {
	uint32_t begin[2];
	uint16_t size[2];
	int16_t growth[2];
};

static void sequence(const uint8_t *data, uint32_t size)
{
	struct sequence_shift own = {0}, back = {0};
	struct shifts shifts;
	uint8_t *header;
	uint32_t end;

	if (size < sizeof(shifts))
		return;
	memcpy(&shifts, data, sizeof(shifts));
	for (unsigned int i = 0; i < 2; i++) {
		end = shifts.begin[i] + shifts.size[i];
		// What is taken away was there.
		if (shifts.growth[i] < -shifts.size[i])
			return;
		if (!sequence_shift_add(i ? &back : &own, shifts.begin[i], end, shifts.growth[i]))
			return;
		require(sequence_back(i ? &back : &own, sequence_forward(i ? &back : &own, end)) ==
			end);
	}
	size -= (uint32_t)sizeof(shifts);
	header = guard_room(size);
	memcpy(header, data + sizeof(shifts), size);
	sequence_rewrite(header, size, &own, &back, false);
}

static struct rte_mbuf *packet_make(const uint8_t *data, uint32_t size, uint32_t split)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool), *last = packet;
	uint32_t part = split ? RTE_MIN(split, size) : size;

	require(packet);
	for (;;) {
		part = RTE_MIN(part, (uint32_t)rte_pktmbuf_tailroom(last));
		memcpy(rte_pktmbuf_mtod(last, void *), data, part);
		last->data_len = (uint16_t)part;
		packet->pkt_len += part;
		data += part;
		size -= part;
		if (!size)
			return packet;
		part = size;
		last->next = rte_pktmbuf_alloc(pool);
		require(last->next);
		last = last->next;
		packet->nb_segs++;
	}
}

// Two edits, where the first buffer ends, and a frame.
static void packet(const uint8_t *data, uint32_t size)
{
	static uint8_t longer[3000], buffer[PAYLOAD_MAX];
	struct payload_place place, again;
	uint16_t numbers[8];
	struct rte_mbuf *packet;
	bool written;

	if (size <= sizeof(numbers))
		return;
	memcpy(numbers, data, sizeof(numbers));
	edits.count = edits.used = 0;
	payload_edits_add(&edits, numbers[0], numbers[1] & 511, longer, numbers[2] & 2047);
	payload_edits_add(&edits, numbers[3], numbers[4] & 511, longer, numbers[5] & 2047);
	data += sizeof(numbers);
	size -= (uint32_t)sizeof(numbers);
	packet = packet_make(data, size, numbers[6] & 2047);
	if (payload_find(packet, 14, (uint16_t)(14 + (numbers[7] & 127)), &place)) {
		require(place.begin + place.size <= size && place.begin <= packet->data_len);
		if (payload_read(packet, &place, buffer)) {
			written = payload_write(packet, &place, &edits, 65535, pool);
			require(rte_mbuf_check(packet, 1, &(const char *){NULL}) == 0);
			require(packet->pkt_len == (written ? place.begin + place.size : size));
			require(!written || (payload_find(packet, place.l3, place.l4, &again) &&
					     again.size == place.size));
		}
	}
	rte_pktmbuf_free(packet);
	require(rte_mempool_in_use_count(pool) == 0);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	pool = packets_open(255);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *text;

	if (!size || size > PAYLOAD_MAX)
		return 0;
	text = guard_put(data + 1, size - 1);
	switch (data[0] & 7) {
	case 0:
	case 1:
		ftp(text, (uint32_t)size - 1, data[0] & 1, data[0] & 8);
		break;
	case 2:
		sip(text, (uint32_t)size - 1, data[0] & 8);
		break;
	case 3:
		sequence(data + 1, (uint32_t)size - 1);
		break;
	default:
		packet(data + 1, (uint32_t)size - 1);
	}
	return 0;
}

#include "vhost_fixture.h"

#include <sched.h>

#include <rte_eal.h>

#define POOL_SIZE 1023

struct rte_mempool *vhost_pool;

const uint64_t vhost_modes[] = {
	MODERN,
	MODERN | MERGE | TABLES,
	MODERN | MERGE | TABLES | EVENT,
	0,
	MERGE,
	MODERN | PACKED,
	MODERN | PACKED | MERGE | TABLES,
	MODERN | PACKED | MERGE | TABLES | EVENT,
};
const uint32_t vhost_modes_count = RTE_DIM(vhost_modes);

void fixture_reopen(struct vhost_fixture *fixture)
{
	struct error err;

	if (vhost_ring_open(&fixture->ring, &fixture->driver.setup, &err) < 0)
		fail_msg("%s", err.text);
	assert_null(vhost_ring_broken(&fixture->ring));
}

void fixture_open(struct vhost_fixture *fixture, uint64_t features, uint16_t size)
{
	memset(&fixture->errors, 0, sizeof(fixture->errors));
	driver_open(&fixture->driver, features, size);
	fixture->header = features & (MODERN | MERGE) ? 12 : 10;
	fixture_reopen(fixture);
}

void fixture_close(struct vhost_fixture *fixture)
{
	driver_close(&fixture->driver);
}

// A piece of a buffer may go over the border between two regions, which are not neighbours here.
static void part_copy(struct vhost_fixture *fixture, uint64_t guest, uint8_t *data, uint32_t size,
		      bool read)
{
	for (uint32_t i = 0; i < size; i++) {
		uint8_t *byte = driver_at(&fixture->driver, guest + i);

		if (read)
			data[i] = *byte;
		else
			*byte = data[i];
	}
}

void parts_write(struct vhost_fixture *fixture, const struct part *parts, uint32_t count,
		 const struct virtio_net_hdr *header, const void *data, uint32_t size)
{
	static uint8_t all[200000];
	uint32_t done = 0;

	memset(all, 0, fixture->header);
	if (header)
		memcpy(all, header, sizeof(*header));
	memcpy(all + fixture->header, data, size);
	size += fixture->header;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t part = RTE_MIN(parts[i].size, size - done);

		part_copy(fixture, parts[i].guest, all + done, part, false);
		done += part;
	}
	assert_int_equal(done, size);
}

void parts_read(struct vhost_fixture *fixture, const struct part *parts, uint32_t count, void *data,
		uint32_t size)
{
	uint32_t done = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t part = RTE_MIN(parts[i].size, size - done);

		part_copy(fixture, parts[i].guest, (uint8_t *)data + done, part, true);
		done += part;
	}
	assert_int_equal(done, size);
}

void parts_fill(struct vhost_fixture *fixture, const struct part *parts, uint32_t count,
		uint8_t byte)
{
	for (uint32_t i = 0; i < count; i++)
		for (uint32_t j = 0; j < parts[i].size; j++)
			part_copy(fixture, parts[i].guest + j, &byte, 1, false);
}

struct rte_mbuf *packet_of(const void *data, uint32_t size, uint32_t part)
{
	struct rte_mbuf *packet = NULL, *last = NULL;
	const uint8_t *bytes = data;

	do {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(vhost_pool);
		uint32_t length;

		assert_non_null(mbuf);
		length = RTE_MIN(RTE_MIN(part, size), (uint32_t)rte_pktmbuf_tailroom(mbuf));
		memcpy(rte_pktmbuf_mtod(mbuf, void *), bytes, length);
		mbuf->data_len = (uint16_t)length;
		if (packet) {
			packet->nb_segs++;
			last->next = mbuf;
		} else {
			packet = mbuf;
		}
		last = mbuf;
		packet->pkt_len += length;
		bytes += length;
		size -= length;
	} while (size);
	return packet;
}

bool packet_equals(const struct rte_mbuf *packet, const void *data, uint32_t size)
{
	static uint8_t copy[200000];
	const void *bytes;

	if (rte_mbuf_check(packet, 1, &(const char *){NULL}) != 0 || packet->pkt_len != size)
		return false;
	bytes = rte_pktmbuf_read(packet, 0, size, copy);
	return bytes && memcmp(bytes, data, size) == 0;
}

uint16_t receive_some(struct vhost_fixture *fixture, uint16_t count)
{
	struct rte_mbuf *packets[64];
	uint16_t taken =
		vhost_ring_receive(&fixture->ring, vhost_pool, packets, count, &fixture->errors);

	rte_pktmbuf_free_bulk(packets, taken);
	return taken;
}

int vhost_tests_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
	char *eal[] = {(char[]){"vhost_test"},	(char[]){"--no-pci"},	    (char[]){"--no-huge"},
		       (char[]){"--no-shconf"}, (char[]){"--no-telemetry"}, (char[]){"-m"},
		       (char[]){"32"},		(char[]){"--log-level=4"},  NULL};
	cpu_set_t all;
	int failed;

	if (rte_eal_init(8, eal) < 0)
		return 1;
	// DPDK has bound this thread to one CPU, whatever else runs there.
	memset(&all, 0xff, sizeof(all));
	sched_setaffinity(0, sizeof(all), &all);
	vhost_pool = rte_pktmbuf_pool_create("packets", POOL_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					     SOCKET_ID_ANY);
	if (!vhost_pool)
		return 1;
	failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	if (!failed && rte_mempool_in_use_count(vhost_pool)) {
		fprintf(stderr, "%u packet buffers are missing\n",
			rte_mempool_in_use_count(vhost_pool));
		failed = 1;
	}
	return failed;
}

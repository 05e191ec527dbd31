// The programs, their maps, and which slots are free. Two rings a worker: numbers of slots that it
// may use, and of those that it used and the kernel may still be reading.

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_errno.h>

#include "base/pages.h"
#include "flow_offload/slots.h"
// Not ours to mend.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "flow_offload/programs.skel.h"
#pragma GCC diagnostic pop

static size_t slot_of_size(const struct flow_offload *offload)
{
	return ((size_t)offload->table->max + 1) * sizeof(*offload->slot_of);
}

static void *map_memory(const struct bpf_map *map, size_t size, struct error *err)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory != MAP_FAILED)
		return memory;
	error_errno(err, "map %s", bpf_map__name(map));
	return NULL;
}

static int open_rings(struct flow_offload *offload, struct error *err)
{
	uint32_t workers = offload->table->workers, number = 0;

	for (uint32_t i = 0; i < workers; i++) {
		uint32_t end = OFFLOAD_SLOTS / workers * (i + 1);
		char name[RTE_RING_NAMESIZE];

		snprintf(name, sizeof(name), "offload-usable-%u", i);
		offload->usable[i] =
			rte_ring_create(name, OFFLOAD_SLOTS, SOCKET_ID_ANY,
					RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
		snprintf(name, sizeof(name), "offload-used-%u", i);
		offload->used[i] = rte_ring_create(name, OFFLOAD_SLOTS, SOCKET_ID_ANY,
						   RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
		if (!offload->usable[i] || !offload->used[i])
			return error_set(err, "no memory for rings: %s", rte_strerror(rte_errno));
		for (; number < end; number++)
			rte_ring_sp_enqueue(offload->usable[i], (void *)(uintptr_t)number);
	}
	return 0;
}

static int open_programs(struct flow_offload *offload, struct error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);

	offload->programs = programs__open_and_load();
	if (!offload->programs)
		return error_errno(err, "BPF programs");
	offload->fds.decide = bpf_program__fd(offload->programs->progs.offload_decide);
	offload->fds.decide_tunnel =
		bpf_program__fd(offload->programs->progs.offload_decide_tunnel);
	offload->fds.filters = bpf_map__fd(offload->programs->maps.offload_filters);
	offload->fds.forward = bpf_program__fd(offload->programs->progs.offload_forward);
	offload->fds.tunnel_send = bpf_program__fd(offload->programs->progs.offload_tunnel_send);
	offload->fds.mark = OFFLOAD_MARK;
	offload->keys_fd = bpf_map__fd(offload->programs->maps.offload_keys);
	offload->barrier_fd = bpf_map__fd(offload->programs->maps.offload_barrier);
	offload->spare_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "spare", 4, 4, 1, &options);
	if (offload->spare_fd < 0)
		return error_errno(err, "BPF map");
	offload->slots = map_memory(offload->programs->maps.offload_slots,
				    OFFLOAD_SLOTS * sizeof(*offload->slots), err);
	offload->state =
		map_memory(offload->programs->maps.offload_states, sizeof(*offload->state), err);
	offload->ports = map_memory(offload->programs->maps.offload_ports,
				    OFFLOAD_PORTS * sizeof(*offload->ports), err);
	offload->next_hops = map_memory(offload->programs->maps.offload_next_hops,
					OFFLOAD_NEXT_HOPS * sizeof(*offload->next_hops), err);
	return offload->slots && offload->state && offload->ports && offload->next_hops ? 0 : -1;
}

int flow_offload_open(struct flow_table *table, struct flow_offload **result, struct error *err)
{
	struct flow_offload *offload = calloc(1, sizeof(*offload));

	if (!offload)
		return error_set(err, "no memory");
	offload->spare_fd = -1;
	offload->table = table;
	offload->slot_of = pages_get(slot_of_size(offload));
	if (!offload->slot_of) {
		flow_offload_close(offload);
		return error_set(err, "no memory");
	}
	if (open_programs(offload, err) < 0 || open_rings(offload, err) < 0) {
		flow_offload_close(offload);
		return -1;
	}
	table->keeper = slots_keeper(offload);
	*result = offload;
	return 0;
}

void flow_offload_close(struct flow_offload *offload)
{
	if (!offload)
		return;
	for (uint32_t i = 0; i < FLOW_TABLE_WORKERS_MAX; i++) {
		rte_ring_free(offload->usable[i]);
		rte_ring_free(offload->used[i]);
	}
	if (offload->slots)
		munmap(offload->slots, OFFLOAD_SLOTS * sizeof(*offload->slots));
	if (offload->state)
		munmap(offload->state, sizeof(*offload->state));
	if (offload->ports)
		munmap(offload->ports, OFFLOAD_PORTS * sizeof(*offload->ports));
	if (offload->next_hops)
		munmap(offload->next_hops, OFFLOAD_NEXT_HOPS * sizeof(*offload->next_hops));
	if (offload->spare_fd >= 0)
		close(offload->spare_fd);
	programs__destroy(offload->programs);
	pages_free(offload->slot_of, slot_of_size(offload));
	free(offload);
}

const struct port_programs *flow_offload_programs(const struct flow_offload *offload)
{
	return &offload->fds;
}

void flow_offload_set_generation(struct flow_offload *offload, uint32_t generation)
{
	__atomic_store_n(&offload->state->generation, generation, __ATOMIC_SEQ_CST);
}

void flow_offload_underlay_changed(struct flow_offload *offload)
{
	__atomic_add_fetch(&offload->state->underlay, 1, __ATOMIC_SEQ_CST);
}

uint32_t flow_offload_underlay(const struct flow_offload *offload)
{
	return __atomic_load_n(&offload->state->underlay, __ATOMIC_SEQ_CST);
}

uint32_t flow_offload_next_hop_used(const struct flow_offload *offload, uint32_t next_hop,
				    uint32_t now)
{
	uint64_t time = __atomic_load_n(&offload->next_hops[next_hop], __ATOMIC_RELAXED);

	return time ? offload_second(time, now) : now - INT32_MAX;
}

void flow_offload_count(const struct flow_offload *offload, uint32_t port,
			struct port_counters *counters)
{
	const struct offload_counters *kernel = &offload->ports[port];

	if (port >= OFFLOAD_PORTS)
		return;
	counters->rx_packets += offload_load64(&kernel->rx_packets);
	counters->rx_bytes += offload_load64(&kernel->rx_bytes);
	counters->tx_packets += offload_load64(&kernel->tx_packets);
	counters->tx_bytes += offload_load64(&kernel->tx_bytes);
}

uint32_t flow_offload_live(const struct flow_offload *offload)
{
	uint32_t workers = offload->table->workers;
	uint32_t live = OFFLOAD_SLOTS / workers * workers;

	for (uint32_t i = 0; i < workers; i++)
		live -= rte_ring_count(offload->usable[i]) + rte_ring_count(offload->used[i]);
	return live;
}

void flow_offload_tidy(struct flow_offload *offload)
{
	uint32_t workers = offload->table->workers, zero = 0;
	unsigned int ended[FLOW_TABLE_WORKERS_MAX], all = 0;
	void *number;

	for (uint32_t i = 0; i < workers; i++)
		all += ended[i] = rte_ring_count(offload->used[i]);
	// Whoever in the kernel still reads one of these is done when the map was changed. If it
	// can't be, they stay where they are.
	if (!all ||
	    bpf_map_update_elem(offload->barrier_fd, &zero, &offload->spare_fd, BPF_ANY) < 0)
		return;
	for (uint32_t i = 0; i < workers; i++)
		while (ended[i]-- && rte_ring_sc_dequeue(offload->used[i], &number) == 0)
			rte_ring_sp_enqueue(offload->usable[i], number);
}

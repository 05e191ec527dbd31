// A slot of the kernel's map for each offloaded connection. Two rings a worker: numbers of slots
// that it may use, and of those that it used and the kernel may still be reading.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>

#include "base/pages.h"
#include "flow/window.h"
#include "flow_offload/slots.h"
// Not ours to mend.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "flow_offload/programs.skel.h"
#pragma GCC diagnostic pop

// Without a packet for so long, a connection gives its slot back.
#define IDLE_SECONDS 30
#define NONE	     UINT32_MAX

_Static_assert(sizeof(struct offload_key) == 48, "a key has no padding");

// What both the kernel and Sluice write.
static uint64_t load64(const __u64 *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static uint32_t load32(const __u32 *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

// As the programs do it: what somebody else writes meanwhile is not lost.
static void raise32(__u32 *number, uint32_t value)
{
	uint32_t seen = load32(number);

	while ((int32_t)(value - seen) > 0 &&
	       !__atomic_compare_exchange_n(number, &seen, value, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

static void windows_raise(struct offload_direction *to, const struct flow_account *account,
			  enum flow_direction_index index)
{
	raise32(&to->end, atomic_load_explicit(&account->end[index], memory_order_relaxed));
	raise32(&to->ack, atomic_load_explicit(&account->ack[index], memory_order_relaxed));
	raise32(&to->window, atomic_load_explicit(&account->window[index], memory_order_relaxed));
}

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static size_t slot_of_size(const struct flow_offload *offload)
{
	return ((size_t)offload->table->max + 1) * sizeof(*offload->slot_of);
}

static struct offload_slot *slot_get(const struct flow_offload *offload, flow_reference reference)
{
	return &offload->slots[offload->slot_of[reference >> 1] - 1];
}

// ---- beginning

static struct offload_key make_key(const struct flow_key *from, unsigned int interface,
				   uint32_t vni)
{
	struct offload_key key = {
		.interface = interface,
		.vni = vni,
		.source_port = from->source_port,
		.destination_port = from->destination_port,
		.protocol = from->protocol,
	};

	memcpy(key.source, &from->source, sizeof(key.source));
	memcpy(key.destination, &from->destination, sizeof(key.destination));
	return key;
}

// The inner Ethernet header follows the outer ones.
static void fill_tunnel(struct offload_direction *to, const struct flow_key *key,
			const struct flow_offload_direction *from)
{
	uint8_t *inner = to->header + from->outer_out;

	to->outer_in = from->outer_in;
	memcpy(to->outer_source, &from->outer_source, sizeof(to->outer_source));
	memcpy(to->outer_destination, &from->outer_destination, sizeof(to->outer_destination));
	memcpy(to->outer_mac, &from->outer_mac, sizeof(to->outer_mac));
	to->outer_out = from->outer_out;
	if (!from->outer_out)
		return;
	memcpy(to->header, from->header, from->outer_out);
	memcpy(inner, from->routed ? from->sent : from->received, 12);
	inner[12] = ip_is_v4(&key->source) ? 0x08 : 0x86;
	inner[13] = ip_is_v4(&key->source) ? 0x00 : 0xdd;
	to->header_sum = from->header_sum;
	to->next_hop = from->next_hop;
}

static void fill_direction(struct offload_direction *to, const struct flow *flow,
			   enum flow_direction_index index,
			   const struct flow_offload_direction *from, uint64_t now)
{
	const struct flow_account *account = &flow->account;

	*to = (struct offload_direction){
		.key = make_key(&flow->direction[index].key, from->in, from->vni),
		.interface = from->out,
		.port_in = from->port_in,
		.port_out = from->port_out,
		.mtu = from->mtu,
		.routed = from->routed,
		.seen = now,
	};
	memcpy(to->received, from->received, sizeof(to->received));
	memcpy(to->sent, from->sent, sizeof(to->sent));
	if (from->routed == false)
		memset(to->sent, 0, sizeof(to->sent));
	fill_tunnel(to, &flow->direction[index].key, from);
	if (flow->direction[index].key.protocol != IPPROTO_TCP)
		return;
	to->end = atomic_load_explicit(&account->end[index], memory_order_relaxed);
	to->ack = atomic_load_explicit(&account->ack[index], memory_order_relaxed);
	to->window = atomic_load_explicit(&account->window[index], memory_order_relaxed);
	to->scale =
		atomic_load_explicit(&account->scales, memory_order_relaxed) >> (4 * index) & 15;
}

static void keys_delete(const struct flow_offload *offload, const struct offload_slot *slot)
{
	for (unsigned int i = 0; i < 2; i++)
		bpf_map_delete_elem(offload->keys_fd, &slot->direction[i].key);
}

static bool keys_enter(const struct flow_offload *offload, const struct offload_slot *slot)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t value = (uint32_t)(slot - offload->slots) << 1 | i;

		if (bpf_map_update_elem(offload->keys_fd, &slot->direction[i].key, &value,
					BPF_ANY) < 0) {
			keys_delete(offload, slot);
			return false;
		}
	}
	return true;
}

static void set_generation(struct flow *flow, uint32_t generation)
{
	for (unsigned int i = 0; i < 2; i++)
		atomic_store_explicit(&flow->direction[i].generation, generation,
				      memory_order_release);
}

static uint32_t slot_take(struct flow_offload *offload, uint32_t worker)
{
	void *entry;

	if (rte_ring_sc_dequeue(offload->usable[worker], &entry) != 0)
		return NONE;
	return (uint32_t)(uintptr_t)entry;
}

static void slot_retire(struct flow_offload *offload, uint32_t worker, uint32_t number)
{
	// There is room for all of the worker's.
	rte_ring_sp_enqueue(offload->used[worker], (void *)(uintptr_t)number);
}

bool flow_offload_begin(struct flow_offload *offload, uint32_t worker, flow_reference reference,
			const struct flow_offload_direction directions[2], uint32_t generation,
			uint32_t underlay)
{
	struct flow *flow = flow_table_get(offload->table, reference);
	uint32_t number = slot_take(offload, worker);
	uint64_t now = nanoseconds();
	struct offload_slot *slot;

	if (number == NONE)
		return false;
	slot = &offload->slots[number];
	slot->generation = generation;
	slot->underlay = underlay;
	slot->check_window =
		flow->direction[0].key.protocol == IPPROTO_TCP &&
		!(atomic_load_explicit(&flow->account.state, memory_order_relaxed) & FLOW_LOOSE);
	slot->started = false;
	for (unsigned int i = 0; i < 2; i++)
		fill_direction(&slot->direction[i], flow, i, &directions[i], now);
	offload->slot_of[reference >> 1] = number + 1;
	atomic_fetch_or_explicit(&flow->account.flags, FLOW_OFFLOADED, memory_order_release);
	// What comes to Sluice from now on goes to the owner.
	set_generation(flow, 0);
	return true;
}

// What another worker has seen while the slot was filled.
static void slot_catch_up(struct offload_slot *slot, const struct flow_account *account)
{
	for (unsigned int i = 0; i < 2; i++)
		if (slot->direction[i].key.protocol == IPPROTO_TCP)
			windows_raise(&slot->direction[i], account, i);
}

void flow_offload_start(struct flow_offload *offload, uint32_t worker, flow_reference reference)
{
	struct offload_slot *slot;

	// Only the owner begins one, and not before this one is started.
	if (!offload->slot_of[reference >> 1])
		return;
	slot = slot_get(offload, reference);
	slot_catch_up(slot, &flow_table_get(offload->table, reference)->account);
	slot->started = true;
	if (!keys_enter(offload, slot))
		flow_offload_end(offload, worker, reference);
}

// ---- while it goes on, and the end

bool flow_offload_holds(const struct flow_offload *offload, flow_reference reference,
			uint32_t generation)
{
	const struct offload_slot *slot = slot_get(offload, reference);

	return slot->generation == generation &&
	       (!(slot->direction[0].outer_out || slot->direction[1].outer_out) ||
		slot->underlay == flow_offload_underlay(offload));
}

// The second of the table's clock of a time of CLOCK_MONOTONIC.
static uint32_t second_of(uint64_t time, uint32_t now)
{
	uint64_t clock = nanoseconds();

	return now - (uint32_t)(clock > time ? (clock - time) / 1000000000 : 0);
}

static void seen_read(const struct offload_slot *slot, struct flow_account *account, uint32_t now)
{
	uint64_t first = load64(&slot->direction[0].seen),
		 second = load64(&slot->direction[1].seen);
	uint32_t seen = second_of(first > second ? first : second, now);

	if ((int32_t)(seen - account->last_seen) > 0)
		account->last_seen = seen;
}

// The account's own numbers are those of the beginning, which may be any distance behind: numbers
// wrap.
static void windows_read(const struct offload_direction *from, struct flow_account *account,
			 enum flow_direction_index index)
{
	atomic_store_explicit(&account->end[index], load32(&from->end), memory_order_relaxed);
	atomic_store_explicit(&account->ack[index], load32(&from->ack), memory_order_relaxed);
	atomic_store_explicit(&account->window[index], (uint16_t)load32(&from->window),
			      memory_order_relaxed);
}

static void slot_read(const struct offload_slot *slot, struct flow_account *account)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct offload_direction *direction = &slot->direction[i];

		account->packets[i] += load64(&direction->packets);
		account->bytes[i] += load64(&direction->bytes);
		if (direction->key.protocol == IPPROTO_TCP)
			windows_read(direction, account, i);
	}
}

void flow_offload_catch_up(struct flow_offload *offload, flow_reference reference)
{
	struct offload_slot *slot = slot_get(offload, reference);

	if (!slot->started)
		slot_catch_up(slot, &flow_table_get(offload->table, reference)->account);
}

void flow_offload_read(const struct flow_offload *offload, flow_reference reference,
		       struct flow_account *copy)
{
	uint32_t number = offload->slot_of[reference >> 1];

	// It may just have ended.
	if (number)
		slot_read(&offload->slots[number - 1], copy);
}

void flow_offload_account(struct flow_offload *offload, flow_reference reference,
			  const struct flow_account *account, uint32_t packets, uint32_t bytes)
{
	enum flow_direction_index index = reference & 1;
	struct offload_direction *to = &slot_get(offload, reference)->direction[index];

	__atomic_fetch_add(&to->packets, packets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&to->bytes, bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&to->seen, nanoseconds(), __ATOMIC_RELAXED);
	if (to->key.protocol != IPPROTO_TCP)
		return;
	windows_raise(to, account, index);
}

void flow_offload_end(struct flow_offload *offload, uint32_t worker, flow_reference reference)
{
	struct flow *flow = flow_table_get(offload->table, reference);
	uint32_t number = offload->slot_of[reference >> 1] - 1;
	struct offload_slot *slot = &offload->slots[number];

	if (slot->started)
		keys_delete(offload, slot);
	else
		slot_catch_up(slot, &flow->account);
	slot_read(slot, &flow->account);
	offload->slot_of[reference >> 1] = 0;
	// A packet that the kernel is just forwarding may be missing in what was read.
	atomic_fetch_or_explicit(&flow->account.flags, FLOW_RACED, memory_order_relaxed);
	atomic_fetch_and_explicit(&flow->account.flags, (uint8_t)~FLOW_OFFLOADED,
				  memory_order_release);
	set_generation(flow, slot->generation);
	slot_retire(offload, worker, number);
}

// ---- for the table

static void keep_end(void *context, uint32_t worker, flow_reference reference)
{
	flow_offload_end(context, worker, reference);
}

static void keep_look(void *context, uint32_t worker, flow_reference reference, uint32_t now)
{
	struct flow_offload *offload = context;
	struct flow_account *account = &flow_table_get(offload->table, reference)->account;

	seen_read(slot_get(offload, reference), account, now);
	if (now - account->last_seen > IDLE_SECONDS)
		flow_offload_end(offload, worker, reference);
}

static void keep_read(void *context, flow_reference reference, struct flow_account *copy)
{
	flow_offload_read(context, reference, copy);
}

// ---- the whole

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
	table->keeper = (struct flow_keeper){
		.context = offload, .end = keep_end, .look = keep_look, .read = keep_read};
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

	return time ? second_of(time, now) : now - INT32_MAX;
}

void flow_offload_count(const struct flow_offload *offload, uint32_t port,
			struct port_counters *counters)
{
	const struct offload_counters *kernel = &offload->ports[port];

	if (port >= OFFLOAD_PORTS)
		return;
	counters->rx_packets += load64(&kernel->rx_packets);
	counters->rx_bytes += load64(&kernel->rx_bytes);
	counters->tx_packets += load64(&kernel->tx_packets);
	counters->tx_bytes += load64(&kernel->tx_bytes);
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

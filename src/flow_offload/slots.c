// A slot of the kernel's map for each offloaded connection: what the programs are told of it when
// it begins, and what they have counted.

#include "flow_offload/slots.h"

#include <string.h>

// Without a packet for so long, a connection gives its slot back.
#define IDLE_SECONDS 30
#define NONE	     UINT32_MAX

_Static_assert(sizeof(struct offload_key) == 48, "a key has no padding");

// What both the kernel and Sluice write.
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
	uint64_t now = offload_clock();
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

static void seen_read(const struct offload_slot *slot, struct flow_account *account, uint32_t now)
{
	uint64_t first = offload_load64(&slot->direction[0].seen),
		 second = offload_load64(&slot->direction[1].seen);
	uint32_t seen = offload_second(first > second ? first : second, now);

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

		account->packets[i] += offload_load64(&direction->packets);
		account->bytes[i] += offload_load64(&direction->bytes);
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
	__atomic_store_n(&to->seen, offload_clock(), __ATOMIC_RELAXED);
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

struct flow_keeper slots_keeper(struct flow_offload *offload)
{
	return (struct flow_keeper){
		.context = offload, .end = keep_end, .look = keep_look, .read = keep_read};
}

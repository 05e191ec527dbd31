#include "flow_offload/check.h"

#include <stdlib.h>

#include "flow_offload/slots.h"

// In one step.
#define CONNECTIONS 16384
#define KEYS	    1024

// More than there can be: the kernel begins anew where the last one is gone meanwhile.
#define KEYS_MAX (OFFLOAD_SLOTS * 4)

static void suspect(struct offload_check *check, const struct offload_suspect *found)
{
	if (check->count < OFFLOAD_SUSPECTS)
		check->suspects[check->count++] = *found;
}

static bool keys_known(const struct flow_offload *offload, uint32_t slot)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t value;

		if (bpf_map_lookup_elem(offload->keys_fd, &offload->slots[slot].direction[i].key,
					&value) < 0 ||
		    value != (slot << 1 | i))
			return false;
	}
	return true;
}

static bool is_of(const struct offload_slot *slot, const struct flow *flow)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct offload_key *key = &slot->direction[i].key;
		const struct flow_key *other = &flow->direction[i].key;

		if (memcmp(key->source, &other->source, sizeof(key->source)) != 0 ||
		    memcmp(key->destination, &other->destination, sizeof(key->destination)) != 0 ||
		    key->source_port != other->source_port ||
		    key->destination_port != other->destination_port ||
		    key->protocol != other->protocol)
			return false;
	}
	return true;
}

static void connection_check(const struct flow_offload *offload, struct offload_check *check,
			     uint32_t number)
{
	const struct flow *flow = &offload->table->flows[number];
	uint32_t slot = __atomic_load_n(&offload->slot_of[number], __ATOMIC_ACQUIRE);
	bool offloaded = flow_place_used(offload->table, number) &&
			 flow_has(&flow->account, FLOW_LIVE) &&
			 flow_has(&flow->account, FLOW_OFFLOADED);
	struct offload_suspect found = {.number = number, .slot = slot};

	if (!slot && !offloaded)
		return;
	if (slot && slot <= OFFLOAD_SLOTS) {
		found.key = offload->slots[slot - 1].direction[0].key;
		found.shared = check->used[slot - 1];
	}
	if (offloaded && (!slot || slot > OFFLOAD_SLOTS || found.shared)) {
		const struct flow_key *key = &flow->direction[0].key;

		found.fault = OFFLOAD_FAULT_SLOT;
		memcpy(found.key.source, &key->source, sizeof(found.key.source));
		memcpy(found.key.destination, &key->destination, sizeof(found.key.destination));
		found.key.source_port = key->source_port;
		found.key.destination_port = key->destination_port;
		found.key.protocol = key->protocol;
		suspect(check, &found);
		return;
	}
	if (!offloaded || !is_of(&offload->slots[slot - 1], flow)) {
		found.fault = OFFLOAD_FAULT_CONNECTION;
		suspect(check, &found);
		return;
	}
	check->used[slot - 1] = true;
	if (keys_known(offload, slot - 1))
		return;
	found.fault = OFFLOAD_FAULT_KEYS;
	suspect(check, &found);
}

// Returns false behind the last one.
static bool key_check(const struct flow_offload *offload, struct offload_check *check)
{
	struct offload_suspect found = {.fault = OFFLOAD_FAULT_STALE};
	uint32_t value, slot;

	if (check->keys == KEYS_MAX ||
	    bpf_map_get_next_key(offload->keys_fd, check->keys ? &check->key : NULL, &found.key) <
		    0)
		return false;
	check->keys++;
	check->key = found.key;
	// It may just have gone.
	if (bpf_map_lookup_elem(offload->keys_fd, &found.key, &value) < 0)
		return true;
	slot = value >> 1;
	if (slot >= OFFLOAD_SLOTS || !check->used[slot] ||
	    memcmp(&offload->slots[slot].direction[value & 1].key, &found.key, sizeof(found.key)) !=
		    0)
		suspect(check, &found);
	return true;
}

bool offload_check_step(struct flow_offload *offload, struct offload_check *check)
{
	uint32_t end = flow_table_end(offload->table);

	if (check->position < end) {
		uint32_t last =
			end - check->position > CONNECTIONS ? check->position + CONNECTIONS : end;

		while (check->position < last)
			connection_check(offload, check, check->position++);
		return true;
	}
	for (uint32_t i = 0; i < KEYS; i++)
		if (!key_check(offload, check))
			return false;
	return true;
}

// Nobody in the kernel reads it any more when this returns true.
static bool wait_for_kernel(const struct flow_offload *offload)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(offload->barrier_fd, &zero, &offload->spare_fd, BPF_ANY) == 0;
}

static void slot_recover(struct flow_offload *offload, const struct offload_suspect *suspect)
{
	uint32_t slots = OFFLOAD_SLOTS / offload->table->workers, number = suspect->slot - 1;
	uint32_t expected = suspect->slot;

	// The owner may have given the connection's place to another one.
	if (!__atomic_compare_exchange_n(&offload->slot_of[suspect->number], &expected, 0, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	if (number >= slots * offload->table->workers || suspect->shared)
		return;
	for (unsigned int i = 0; i < 2; i++)
		bpf_map_delete_elem(offload->keys_fd, &offload->slots[number].direction[i].key);
	if (wait_for_kernel(offload))
		rte_ring_sp_enqueue(offload->usable[number / slots], (void *)(uintptr_t)number);
}

void offload_mend(struct flow_offload *offload, const struct offload_suspect *suspect)
{
	switch (suspect->fault) {
	case OFFLOAD_FAULT_KEYS:
		for (unsigned int i = 0; i < 2; i++)
			bpf_map_delete_elem(offload->keys_fd,
					    &offload->slots[suspect->slot - 1].direction[i].key);
		break;
	case OFFLOAD_FAULT_CONNECTION:
		slot_recover(offload, suspect);
		break;
	case OFFLOAD_FAULT_SLOT:
		// Its directions have no generation, so that its owner judges it with the next
		// packet.
		atomic_fetch_and_explicit(&offload->table->flows[suspect->number].account.flags,
					  (uint8_t)~FLOW_OFFLOADED, memory_order_release);
		__atomic_store_n(&offload->slot_of[suspect->number], 0, __ATOMIC_RELEASE);
		break;
	case OFFLOAD_FAULT_STALE:
		bpf_map_delete_elem(offload->keys_fd, &suspect->key);
		break;
	}
}

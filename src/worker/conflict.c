#include "worker/conflict.h"

#include "layer/address_resolution/address_resolution.h"
#include "layer/external/external.h"
#include "worker/worker.h"

// Seconds between two defences, so that two who both defend an address don't go on so for ever
// (RFC 5227 section 2.4).
#define DEFEND_INTERVAL 10

// May it be another node that has it? One before this one is not known to be there again until it
// has said so; and those behind may stand in for this one until it has said that it is there.
static bool is_others(const struct worker *worker, const struct external_prefix *claim)
{
	return claim->shared &&
	       (!claim->share || worker->tables->externals->shares[claim->share - 1].count ||
		((int32_t)(claim->generation - worker->announced) > 0 && !worker->announce_rounds));
}

void conflict_heard(struct worker *worker, const struct network *network,
		    const struct packet *packet, const struct address_resolution *message)
{
	static const struct mac_address none;
	const struct mac_address *own = &worker->tables->underlay.mac;
	struct conflicts *conflicts = &worker->conflicts;
	const struct external_prefix *claim;
	uint32_t written = atomic_load_explicit(&conflicts->written, memory_order_relaxed);
	const struct mac_address *mac =
		mac_equal(&message->sender_mac, &none) ? &packet->source_mac : &message->sender_mac;

	if (worker->trace || mac_equal(mac, own) || mac_equal(&packet->source_mac, own))
		return;
	claim = external_find_claim(worker->tables, network->number, &message->sender);
	if (!claim || is_others(worker, claim))
		return;
	atomic_fetch_add_explicit(&conflicts->count, 1, memory_order_relaxed);
	if (written - atomic_load_explicit(&conflicts->read, memory_order_acquire) <
	    CONFLICTS_MAX) {
		conflicts->list[written % CONFLICTS_MAX] = (struct conflict){
			.address = message->sender, .mac = *mac, .network = network->number};
		atomic_store_explicit(&conflicts->written, written + 1, memory_order_release);
	}
	if (conflicts->defended && worker->now - conflicts->defended < DEFEND_INTERVAL)
		return;
	conflicts->defended = worker->now;
	external_announce_one(worker, network, &message->sender);
}

bool conflicts_take(struct conflicts *conflicts, struct conflict *conflict)
{
	uint32_t read = atomic_load_explicit(&conflicts->read, memory_order_relaxed);

	if (read == atomic_load_explicit(&conflicts->written, memory_order_acquire))
		return false;
	*conflict = conflicts->list[read % CONFLICTS_MAX];
	atomic_store_explicit(&conflicts->read, read + 1, memory_order_release);
	return true;
}

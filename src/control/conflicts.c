// Addresses of this node's on external networks that somebody else says to have, too: a line in the
// log, and the network's status for as long as it goes on.

#include "worker/conflict.h"

#include <stdio.h>

#include "base/log.h"
#include "control/control.h"

// Seconds without another word of it until it is over.
#define CONFLICT_SECONDS 60

static bool same(const struct conflict *a, const struct conflict *b)
{
	return a->network == b->network && ip_equal(&a->address, &b->address) &&
	       mac_equal(&a->mac, &b->mac);
}

static void tell(struct control *control, const struct conflict *conflict)
{
	char address[IP_TEXT_SIZE], mac[MAC_TEXT_SIZE];

	log_warning("somebody else has an address of this node",
		    log_text("network", control->tables->networks[conflict->network].name),
		    log_text("address", ip_format(&conflict->address, address)),
		    log_text("mac", mac_format(&conflict->mac, mac)));
}

static void add(struct control *control, const struct conflict *conflict, uint32_t now)
{
	struct address_conflicts *known = &control->conflicts;

	if (conflict->network >= control->tables->network_count)
		return;
	for (uint32_t i = 0; i < known->count; i++)
		if (same(&known->list[i].conflict, conflict)) {
			known->list[i].last = now;
			return;
		}
	// A scan of someone who takes them all fills no log.
	if (known->count == ADDRESS_CONFLICTS_MAX)
		return;
	known->list[known->count].conflict = *conflict;
	known->list[known->count++].last = now;
	known->changed = true;
	tell(control, conflict);
}

void control_conflicts(struct control *control)
{
	struct address_conflicts *known = &control->conflicts;
	uint32_t now = engine_now(control->engine);
	struct conflict conflict;

	for (uint32_t i = 0; i < control->engine->options.worker_count; i++)
		while (conflicts_take(engine_conflicts(control->engine, i), &conflict))
			add(control, &conflict, now);
	for (uint32_t i = 0; i < known->count;) {
		if (now - known->list[i].last < CONFLICT_SECONDS) {
			i++;
			continue;
		}
		known->list[i] = known->list[--known->count];
		known->changed = true;
	}
}

uint64_t control_conflict_count(const struct control *control)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < control->engine->options.worker_count; i++)
		count += atomic_load_explicit(&engine_conflicts(control->engine, i)->count,
					      memory_order_relaxed);
	return count;
}

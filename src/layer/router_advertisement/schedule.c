#include "layer/router_advertisement/router_advertisement.h"

#include <stdatomic.h>

// RFC 4861 section 6.2.1 and 10, in seconds.
#define INTERVAL_MAX	 600
#define INTERVAL_MIN	 200
#define INTERVAL_INITIAL 16
#define INITIAL		 3
#define DELAY_BETWEEN	 3

bool router_schedule_take(struct router_schedule *schedule, uint32_t now)
{
	uint32_t last = atomic_load_explicit(&schedule->last, memory_order_relaxed), due;

	// Another worker's second may be the next one already.
	if (!last || (int32_t)(now - last) >= DELAY_BETWEEN) {
		// Of two workers one may.
		if (atomic_compare_exchange_strong(&schedule->last, &last, now))
			return true;
	}
	due = atomic_load_explicit(&schedule->due, memory_order_relaxed);
	if (!due || due > last + DELAY_BETWEEN)
		atomic_store_explicit(&schedule->due, last + DELAY_BETWEEN, memory_order_relaxed);
	return false;
}

static bool prefix_in(const struct ip_prefix *prefix, const struct ip_prefix *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (prefix->length == list[i].length &&
		    ip_equal(&prefix->address, &list[i].address))
			return true;
	return false;
}

static bool address_in(const struct ip_address *address, const struct ip_address *list,
		       uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (ip_equal(address, &list[i]))
			return true;
	return false;
}

// What was said before and is not any more: added to what is to be withdrawn; and what is said
// again taken from it.
static void compare(struct router_schedule *schedule, const struct router_advertisement *network)
{
	struct router_withdrawal *said = &schedule->said, *past = &schedule->past;
	struct router_withdrawal next = {.prefix_count = 0};

	for (uint32_t i = 0; i < said->prefix_count + past->prefix_count; i++) {
		const struct ip_prefix *prefix = i < said->prefix_count
							 ? &said->prefixes[i]
							 : &past->prefixes[i - said->prefix_count];

		if (next.prefix_count < ADVERTISED_PREFIXES &&
		    !prefix_in(prefix, network->prefixes, network->prefix_count) &&
		    !prefix_in(prefix, next.prefixes, next.prefix_count))
			next.prefixes[next.prefix_count++] = *prefix;
	}
	for (uint32_t i = 0; i < said->dns_count + past->dns_count; i++) {
		const struct ip_address *server =
			i < said->dns_count ? &said->dns[i] : &past->dns[i - said->dns_count];

		if (next.dns_count < ADVERTISED_DNS &&
		    !address_in(server, network->dns, network->dns_count) &&
		    !address_in(server, next.dns, next.dns_count))
			next.dns[next.dns_count++] = *server;
	}
	*past = next;
	schedule->withdrawals = next.prefix_count || next.dns_count ? INITIAL : 0;
}

// There is nothing to say, and nothing to withdraw.
static bool is_silent(const struct router_schedule *schedule,
		      const struct router_advertisement *network)
{
	return !network->present && !schedule->said.prefix_count && !schedule->withdrawals;
}

bool router_schedule_look(struct router_schedule *schedule, const struct router_offer *offer,
			  bool up, uint32_t now)
{
	uint32_t due;

	if (!up || is_silent(schedule, offer->network)) {
		schedule->up = false;
		return false;
	}
	if (!schedule->up || schedule->hash != offer->hash) {
		if (schedule->hash != offer->hash)
			compare(schedule, offer->network);
		schedule->up = true;
		schedule->hash = offer->hash;
		schedule->initial = INITIAL;
		return true;
	}
	due = atomic_load_explicit(&schedule->due, memory_order_relaxed);
	return due && now >= due;
}

void router_schedule_sent(struct router_schedule *schedule, const struct router_offer *offer,
			  uint32_t now, uint32_t random)
{
	const struct router_advertisement *network = offer->network;
	uint32_t wait = INTERVAL_MIN + random % (INTERVAL_MAX - INTERVAL_MIN + 1);

	if (schedule->initial && --schedule->initial && wait > INTERVAL_INITIAL)
		wait = INTERVAL_INITIAL;
	atomic_store_explicit(&schedule->due, now + wait, memory_order_relaxed);
	memcpy(schedule->said.prefixes, network->prefixes, sizeof(network->prefixes));
	schedule->said.prefix_count = network->prefix_count;
	memcpy(schedule->said.dns, network->dns, sizeof(network->dns));
	schedule->said.dns_count = network->dns_count;
	if (schedule->withdrawals && !--schedule->withdrawals)
		memset(&schedule->past, 0, sizeof(schedule->past));
}

#include "layer/nat/announce.h"

#include "layer/nat/expected.h"
#include "layer/nat/tables.h"

static bool is_free(const void *context, const struct ip_address *address, uint16_t port)
{
	return true;
}

// A mapping of its own, which waits for who is expected.
static bool map(const struct nat_tables *nat, const struct nat_pool *pool,
		struct nat_announcement *announcement, uint32_t now)
{
	struct nat_expected expected = {
		.any_peer = announcement->any_peer,
		.several = announcement->any_peer,
		.peer = announcement->leaving->destination,
		.inside = {.address = announcement->sent->source,
			   .port = announcement->inside_port,
			   .network = announcement->sent->network,
			   .owner = announcement->port,
			   .protocol = announcement->protocol},
	};
	struct nat_expectations *expectations = nat_mappings_expectations(nat->mappings);
	struct nat_choice choice;

	// What others have as well leads to none of them.
	if (nat_mappings_choose(nat->mappings, pool, &expected.inside, is_free, NULL, &choice) !=
		    NAT_CHOSEN ||
	    choice.shared)
		return false;
	announcement->address = expected.address = choice.address;
	announcement->external_port = expected.port = choice.port;
	expected.number = choice.number;
	if (nat_expect_again(expectations, &expected, now, NAT_ANNOUNCED))
		return true;
	if (!nat_mappings_take(nat->mappings, &expected.inside, &choice, now))
		return false;
	if (nat_expect(expectations, &expected, now, NAT_ANNOUNCED))
		return true;
	nat_mappings_release(nat->mappings, &expected.inside, &choice.address, choice.port, 0);
	return false;
}

bool nat_announce(const struct tables *tables, struct nat_announcement *announcement, uint32_t now)
{
	const struct nat_tables *nat = tables->nat;
	const struct ip_address *as = &announcement->leaving->source;
	uint32_t found =
		nat ? lookup_find(&nat->by_address, lookup_key_address(announcement->network, as))
		    : 0;

	if (!found) {
		// One address for another: ports stay, and who comes is let in by the address.
		announcement->address = *as;
		announcement->external_port = announcement->inside_port;
		return true;
	}
	return nat->mappings &&
	       map(nat, ip_is_v4(as) ? &nat->nats[found - 1].v4 : &nat->nats[found - 1].v6,
		   announcement, now);
}

void nat_announcement_ended(void *context, const struct nat_expected *expected, uint32_t now)
{
	nat_mappings_release(context, &expected->inside, &expected->address, expected->port,
			     NAT_HOLD);
}

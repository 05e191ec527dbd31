#include "layer/nat/expected.h"

#include <stdlib.h>

// Entries that have an end in common by its hash; more are refused.
#define BUCKET 8

struct entry {
	struct nat_expected expected;
	uint32_t until; // second
	bool taken;
};

struct nat_expectations {
	rte_spinlock_t lock;
	_Atomic uint32_t count;
	uint32_t now;  // second
	uint32_t mask; // of buckets
	void (*ended)(void *context, const struct nat_expected *expected, uint32_t now);
	void *context;
	uint8_t by_port[UINT16_MAX + 1];
	struct entry entries[];
};

_Static_assert(NAT_EXPECTED_PER_PORT <= UINT8_MAX, "counted in a byte");

struct nat_expectations *nat_expectations_open(uint32_t max,
					       void (*ended)(void *context,
							     const struct nat_expected *expected,
							     uint32_t now),
					       void *context)
{
	struct nat_expectations *made;
	uint32_t buckets = 1;

	while (buckets * BUCKET < max)
		buckets *= 2;
	made = calloc(1, sizeof(*made) + (size_t)buckets * BUCKET * sizeof(struct entry));
	if (!made)
		return NULL;
	rte_spinlock_init(&made->lock);
	made->mask = buckets - 1;
	made->ended = ended;
	made->context = context;
	return made;
}

void nat_expectations_close(struct nat_expectations *expectations)
{
	free(expectations);
}

static struct entry *bucket_of(struct nat_expectations *expectations,
			       const struct ip_address *address, uint16_t port, uint8_t protocol)
{
	uint64_t hash = (address->halves[0] ^ address->halves[1]) * 0x9e3779b97f4a7c15;

	hash ^= ((uint64_t)port << 8 | protocol) * 0xc2b2ae3d27d4eb4f;
	hash ^= hash >> 32;
	return &expectations->entries[(hash & expectations->mask) * BUCKET];
}

static bool is_end(const struct entry *entry, const struct ip_address *address, uint16_t port,
		   uint8_t protocol)
{
	return entry->taken && entry->expected.port == port &&
	       entry->expected.inside.protocol == protocol &&
	       ip_equal(&entry->expected.address, address);
}

static bool is_over(const struct entry *entry, uint32_t now)
{
	return (int32_t)(entry->until - now) <= 0;
}

static void end(struct nat_expectations *expectations, struct entry *entry, uint32_t now)
{
	entry->taken = false;
	expectations->by_port[entry->expected.inside.owner]--;
	atomic_fetch_sub_explicit(&expectations->count, 1, memory_order_relaxed);
	if (expectations->ended)
		expectations->ended(expectations->context, &entry->expected, now);
}

static bool is_same(const struct nat_expected *a, const struct nat_expected *b)
{
	return ip_equal(&a->inside.address, &b->inside.address) &&
	       a->inside.port == b->inside.port && a->inside.network == b->inside.network &&
	       a->inside.owner == b->inside.owner && a->any_peer == b->any_peer &&
	       (a->any_peer || ip_equal(&a->peer, &b->peer));
}

static struct entry *find_same(struct nat_expectations *expectations,
			       const struct nat_expected *expected)
{
	struct entry *entry = bucket_of(expectations, &expected->address, expected->port,
					expected->inside.protocol);

	for (unsigned int i = 0; i < BUCKET; i++, entry++)
		if (is_end(entry, &expected->address, expected->port, expected->inside.protocol) &&
		    is_same(&entry->expected, expected))
			return entry;
	return NULL;
}

bool nat_expect_again(struct nat_expectations *expectations, const struct nat_expected *expected,
		      uint32_t now, uint32_t seconds)
{
	struct entry *entry;

	rte_spinlock_lock(&expectations->lock);
	entry = find_same(expectations, expected);
	if (entry)
		entry->until = now + seconds;
	rte_spinlock_unlock(&expectations->lock);
	return entry;
}

static bool expect(struct nat_expectations *expectations, const struct nat_expected *expected,
		   uint32_t now, uint32_t until)
{
	struct entry *entry = bucket_of(expectations, &expected->address, expected->port,
					expected->inside.protocol);
	struct entry *place = NULL;

	for (unsigned int i = 0; i < BUCKET; i++, entry++) {
		if (entry->taken && is_over(entry, now))
			end(expectations, entry, now);
		if (!entry->taken)
			place = place ? place : entry;
	}
	if (!place || expectations->by_port[expected->inside.owner] >= NAT_EXPECTED_PER_PORT)
		return false;
	*place = (struct entry){.expected = *expected, .until = until, .taken = true};
	expectations->by_port[expected->inside.owner]++;
	atomic_fetch_add_explicit(&expectations->count, 1, memory_order_relaxed);
	return true;
}

bool nat_expect(struct nat_expectations *expectations, const struct nat_expected *expected,
		uint32_t now, uint32_t seconds)
{
	bool done;

	rte_spinlock_lock(&expectations->lock);
	expectations->now = now;
	done = expect(expectations, expected, now, now + seconds);
	rte_spinlock_unlock(&expectations->lock);
	return done;
}

static struct entry *find(struct nat_expectations *expectations, const struct ip_address *address,
			  uint16_t port, uint8_t protocol, const struct ip_address *peer)
{
	struct entry *entry = bucket_of(expectations, address, port, protocol);

	for (unsigned int i = 0; i < BUCKET; i++, entry++)
		if (is_end(entry, address, port, protocol) && !is_over(entry, expectations->now) &&
		    (entry->expected.any_peer || ip_equal(&entry->expected.peer, peer)))
			return entry;
	return NULL;
}

bool nat_expected_find(struct nat_expectations *expectations, const struct ip_address *address,
		       uint16_t port, uint8_t protocol, const struct ip_address *peer,
		       struct nat_expected *expected)
{
	const struct entry *entry;

	// Most of the time.
	if (!atomic_load_explicit(&expectations->count, memory_order_relaxed))
		return false;
	rte_spinlock_lock(&expectations->lock);
	entry = find(expectations, address, port, protocol, peer);
	if (entry)
		*expected = entry->expected;
	rte_spinlock_unlock(&expectations->lock);
	return entry;
}

void nat_expected_came(struct nat_expectations *expectations, const struct nat_expected *expected,
		       uint32_t now)
{
	struct entry *entry;

	if (expected->several)
		return;
	rte_spinlock_lock(&expectations->lock);
	entry = find_same(expectations, expected);
	if (entry)
		end(expectations, entry, now);
	rte_spinlock_unlock(&expectations->lock);
}

void nat_expectations_expire(struct nat_expectations *expectations, uint32_t now)
{
	// All places are looked at once a second, and only while something is expected.
	if (!nat_expectations_count(expectations) || expectations->now == now)
		return;
	rte_spinlock_lock(&expectations->lock);
	expectations->now = now;
	for (uint32_t i = 0; i < (expectations->mask + 1) * BUCKET; i++)
		if (expectations->entries[i].taken && is_over(&expectations->entries[i], now))
			end(expectations, &expectations->entries[i], now);
	rte_spinlock_unlock(&expectations->lock);
}

uint32_t nat_expectations_count(const struct nat_expectations *expectations)
{
	return atomic_load_explicit(&expectations->count, memory_order_relaxed);
}

#include "packet/fragment_table.h"

#include <sys/mman.h>
#include <sys/random.h>

#define DATAGRAMS_MAX	    1024
#define DATAGRAMS_OF_SOURCE 64
#define BUCKETS		    2048 // a power of two
#define PIECES_MAX	    16384
#define SOURCES		    (2 * 65536) // ports, then nodes
#define DATAGRAM_BYTES_MAX  65535

// Index 0 stands for none, in all lists.
struct fragment_datagram {
	struct fragment_key key;
	uint32_t received; // bytes
	uint32_t total;	   // bytes, once the last fragment is there; else 0
	uint32_t until;	   // second
	uint32_t cost;
	uint16_t first, last; // pieces
	uint16_t count;
	uint16_t next_in_bucket;
	uint16_t older, newer;		     // of all
	uint16_t source_older, source_newer; // of the same source
	bool used;
	bool ended;
	enum drop_reason reason; // of an ended one
};

struct source {
	uint32_t cost;
	uint16_t count;
	uint16_t oldest, newest;
};

struct fragment_table {
	fragment_drop drop;
	void *context;
	uint64_t secret[2];
	uint32_t cost_max;
	uint32_t cost;
	uint16_t count;
	uint16_t oldest, newest;
	uint16_t free_datagram, free_piece; // lists by next_in_bucket and next
	uint16_t fresh_datagram, fresh_piece;
	uint16_t buckets[BUCKETS];
	struct fragment_datagram datagrams[DATAGRAMS_MAX + 1];
	struct fragment_piece pieces[PIECES_MAX + 1];
	struct source sources[SOURCES];
};

struct fragment_table *fragment_table_open(uint32_t cost_max, fragment_drop drop, void *context)
{
	// Pages are taken as they are touched.
	struct fragment_table *table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED)
		return NULL;
	if (getrandom(table->secret, sizeof(table->secret), 0) != sizeof(table->secret)) {
		munmap(table, sizeof(*table));
		return NULL;
	}
	table->drop = drop;
	table->context = context;
	table->cost_max = cost_max < 8 ? 8 : cost_max;
	return table;
}

uint32_t fragment_table_count(const struct fragment_table *table)
{
	return table->count;
}

// ---- lists

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct source *source_of(struct fragment_table *table, const struct fragment_key *key)
{
	return &table->sources[key->peer ? 65536u + key->peer : key->port];
}

static uint16_t *bucket_of(struct fragment_table *table, const struct fragment_key *key)
{
	const uint64_t *words = (const uint64_t *)key;
	uint64_t hash = table->secret[0];

	for (unsigned int i = 0; i < sizeof(*key) / sizeof(*words); i++)
		hash = mix(hash ^ words[i], table->secret[1] | 1);
	return &table->buckets[hash & (BUCKETS - 1)];
}

static uint16_t find(struct fragment_table *table, const struct fragment_key *key)
{
	uint16_t i = *bucket_of(table, key);

	while (i && memcmp(&table->datagrams[i].key, key, sizeof(*key)) != 0)
		i = table->datagrams[i].next_in_bucket;
	return i;
}

static void unlink_datagram(struct fragment_table *table, uint16_t index)
{
	struct fragment_datagram *datagram = &table->datagrams[index], *all = table->datagrams;
	struct source *source = source_of(table, &datagram->key);
	uint16_t *place = bucket_of(table, &datagram->key);

	while (*place != index)
		place = &all[*place].next_in_bucket;
	*place = datagram->next_in_bucket;
	*(datagram->older ? &all[datagram->older].newer : &table->oldest) = datagram->newer;
	*(datagram->newer ? &all[datagram->newer].older : &table->newest) = datagram->older;
	*(datagram->source_older ? &all[datagram->source_older].source_newer : &source->oldest) =
		datagram->source_newer;
	*(datagram->source_newer ? &all[datagram->source_newer].source_older : &source->newest) =
		datagram->source_older;
	source->count--;
	table->count--;
	datagram->used = false;
	datagram->next_in_bucket = table->free_datagram;
	table->free_datagram = index;
}

static void link_datagram(struct fragment_table *table, uint16_t index)
{
	struct fragment_datagram *datagram = &table->datagrams[index], *all = table->datagrams;
	struct source *source = source_of(table, &datagram->key);
	uint16_t *bucket = bucket_of(table, &datagram->key);

	datagram->next_in_bucket = *bucket;
	*bucket = index;
	datagram->older = table->newest;
	*(table->newest ? &all[table->newest].newer : &table->oldest) = index;
	table->newest = index;
	datagram->source_older = source->newest;
	*(source->newest ? &all[source->newest].source_newer : &source->oldest) = index;
	source->newest = index;
	source->count++;
	table->count++;
}

void fragment_table_close(struct fragment_table *table, void (*release)(void *item))
{
	if (!table)
		return;
	fragment_table_clear(table, release);
	munmap(table, sizeof(*table));
}

static void free_piece(struct fragment_table *table, uint16_t index)
{
	table->pieces[index].next = table->free_piece;
	table->free_piece = index;
}

// ---- datagrams

static void count_cost(struct fragment_table *table, struct fragment_datagram *datagram,
		       int32_t cost)
{
	datagram->cost += (uint32_t)cost;
	source_of(table, &datagram->key)->cost += (uint32_t)cost;
	table->cost += (uint32_t)cost;
}

static void drop_pieces(struct fragment_table *table, struct fragment_datagram *datagram,
			enum drop_reason reason)
{
	count_cost(table, datagram, -(int32_t)datagram->cost);
	for (uint16_t p = datagram->first; p;) {
		uint16_t next = table->pieces[p].next;

		table->drop(table->context, table->pieces[p].item, &datagram->key, reason);
		free_piece(table, p);
		p = next;
	}
	datagram->first = datagram->last = datagram->count = 0;
}

static void forget(struct fragment_table *table, uint16_t index, enum drop_reason reason)
{
	drop_pieces(table, &table->datagrams[index], reason);
	unlink_datagram(table, index);
}

// It stays to be known, so that what comes of it still is not taken for another.
static void end(struct fragment_table *table, struct fragment_datagram *datagram,
		enum drop_reason reason)
{
	drop_pieces(table, datagram, reason);
	datagram->ended = true;
	datagram->reason = reason;
}

static uint16_t create(struct fragment_table *table, const struct fragment_key *key, uint32_t now)
{
	const struct source *source = source_of(table, key);
	struct fragment_datagram *datagram;
	uint16_t index;

	if (source->count == DATAGRAMS_OF_SOURCE)
		forget(table, source->oldest, DROP_FRAGMENT_LIMIT);
	if (table->count == DATAGRAMS_MAX)
		forget(table, table->oldest, DROP_FRAGMENT_LIMIT);
	index = table->free_datagram;
	if (index)
		table->free_datagram = table->datagrams[index].next_in_bucket;
	else
		index = ++table->fresh_datagram;
	datagram = &table->datagrams[index];
	memset(datagram, 0, sizeof(*datagram));
	datagram->key = *key;
	datagram->used = true;
	datagram->until = now + FRAGMENT_SECONDS;
	link_datagram(table, index);
	return index;
}

// Makes room for one more fragment of `index`. False: that datagram itself had to end.
static bool make_room(struct fragment_table *table, uint16_t index, uint16_t cost)
{
	struct source *source = source_of(table, &table->datagrams[index].key);

	while (source->cost + cost > table->cost_max / 4 || table->cost + cost > table->cost_max ||
	       (!table->free_piece && table->fresh_piece == PIECES_MAX)) {
		uint16_t victim =
			source->cost + cost > table->cost_max / 4 ? source->oldest : table->oldest;

		if (victim == index) {
			end(table, &table->datagrams[index], DROP_FRAGMENT_LIMIT);
			return false;
		}
		forget(table, victim, DROP_FRAGMENT_LIMIT);
	}
	return true;
}

// Where the fragment goes: behind which piece (0: to the front). DROP_NONE, or how it contradicts
// what is there.
static enum drop_reason find_place(const struct fragment_table *table,
				   const struct fragment_datagram *datagram,
				   const struct fragment *fragment, uint16_t *behind)
{
	uint32_t offset = fragment->offset, stop = offset + fragment->size;
	uint16_t before = 0, next;

	// In order, as most come.
	if (datagram->last && table->pieces[datagram->last].offset < offset)
		before = datagram->last;
	next = before ? 0 : datagram->first;
	while (next && table->pieces[next].offset < offset) {
		before = next;
		next = table->pieces[next].next;
	}
	*behind = before;
	if (next && table->pieces[next].offset == offset &&
	    table->pieces[next].size == fragment->size &&
	    fragment->more == (stop != datagram->total))
		return DROP_FRAGMENT_DUPLICATE;
	if ((before && table->pieces[before].offset + table->pieces[before].size > offset) ||
	    (next && stop > table->pieces[next].offset))
		return DROP_FRAGMENT_OVERLAP;
	if (datagram->total && (fragment->more ? stop >= datagram->total : stop != datagram->total))
		return DROP_FRAGMENT_MALFORMED;
	// The last one, and there is something behind it.
	if (!fragment->more && datagram->last &&
	    table->pieces[datagram->last].offset + table->pieces[datagram->last].size > stop)
		return DROP_FRAGMENT_MALFORMED;
	return DROP_NONE;
}

static void insert(struct fragment_table *table, struct fragment_datagram *datagram,
		   const struct fragment *fragment, void *item, uint16_t cost, uint16_t behind)
{
	uint16_t index = table->free_piece;
	uint16_t *place = behind ? &table->pieces[behind].next : &datagram->first;
	struct fragment_piece *piece;

	if (index)
		table->free_piece = table->pieces[index].next;
	else
		index = ++table->fresh_piece;
	piece = &table->pieces[index];
	*piece = (struct fragment_piece){
		.item = item,
		.offset = fragment->offset,
		.size = fragment->size,
		.cost = cost,
		.next = *place,
	};
	*place = index;
	if (!piece->next)
		datagram->last = index;
	datagram->count++;
	datagram->received += fragment->size;
	if (!fragment->more)
		datagram->total = fragment->offset + fragment->size;
	count_cost(table, datagram, cost);
}

struct fragment_key fragment_key_make(const struct packet *packet, const struct fragment *fragment,
				      uint16_t port, uint16_t peer)
{
	return (struct fragment_key){
		.source = packet->source,
		.destination = packet->destination,
		.source_mac = packet->source_mac,
		.destination_mac = packet->destination_mac,
		.identification = fragment->identification,
		.network = packet->key.network,
		.port = port,
		.peer = peer,
		.protocol = ip_is_v4(&packet->source) ? fragment->protocol : 0,
	};
}

enum drop_reason fragment_check(const struct fragment *fragment)
{
	if (!fragment->size || (fragment->more && fragment->size % 8) ||
	    fragment->offset + fragment->size > DATAGRAM_BYTES_MAX)
		return DROP_FRAGMENT_MALFORMED;
	return DROP_NONE;
}

struct fragment_datagram *fragment_table_add(struct fragment_table *table,
					     const struct fragment_key *key,
					     const struct fragment *fragment, void *item,
					     uint16_t cost, uint32_t now)
{
	uint16_t index = find(table, key), behind;
	struct fragment_datagram *datagram;
	enum drop_reason reason;

	if (!index)
		index = create(table, key, now);
	datagram = &table->datagrams[index];
	if (datagram->ended) {
		table->drop(table->context, item, key, datagram->reason);
		return NULL;
	}
	reason = find_place(table, datagram, fragment, &behind);
	if (reason == DROP_NONE && datagram->count == FRAGMENTS_PER_DATAGRAM)
		reason = DROP_FRAGMENT_LIMIT;
	if (reason != DROP_NONE) {
		// A copy alone does no harm (RFC 8200 section 4.5): the first one counts.
		if (reason != DROP_FRAGMENT_DUPLICATE)
			end(table, datagram, reason);
		table->drop(table->context, item, key, reason);
		return NULL;
	}
	if (!make_room(table, index, cost)) {
		table->drop(table->context, item, key, DROP_FRAGMENT_LIMIT);
		return NULL;
	}
	insert(table, datagram, fragment, item, cost, behind);
	return datagram->total && datagram->received == datagram->total ? datagram : NULL;
}

void fragment_table_end(struct fragment_table *table, const struct fragment_key *key, uint32_t now,
			enum drop_reason reason)
{
	uint16_t index = find(table, key);

	if (!index)
		index = create(table, key, now);
	if (!table->datagrams[index].ended)
		end(table, &table->datagrams[index], reason);
}

void fragment_table_clear(struct fragment_table *table, void (*release)(void *item))
{
	while (table->oldest) {
		struct fragment_datagram *datagram = &table->datagrams[table->oldest];
		void *items[FRAGMENTS_PER_DATAGRAM];
		uint32_t total, count = fragment_table_take(table, datagram, items, &total);

		for (uint32_t i = 0; i < count; i++)
			release(items[i]);
	}
}

uint32_t fragment_table_take(struct fragment_table *table, struct fragment_datagram *datagram,
			     void **items, uint32_t *total)
{
	uint32_t count = 0;

	*total = datagram->total;
	count_cost(table, datagram, -(int32_t)datagram->cost);
	for (uint16_t p = datagram->first; p;) {
		uint16_t next = table->pieces[p].next;

		items[count++] = table->pieces[p].item;
		free_piece(table, p);
		p = next;
	}
	unlink_datagram(table, (uint16_t)(datagram - table->datagrams));
	return count;
}

void fragment_table_age(struct fragment_table *table, uint32_t now)
{
	// The order of arrival is that of their ends.
	while (table->oldest && (int32_t)(now - table->datagrams[table->oldest].until) > 0)
		forget(table, table->oldest, DROP_FRAGMENT_TIMEOUT);
}

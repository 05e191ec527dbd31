// Mappings of NAT: what RFC 4787 and RFC 6888 ask of them, and random play against a plain list.

#include "test.h"

#include "layer/nat/mappings.h"

#define OWNERS 5

struct connection {
	bool live;
	struct nat_inside inside;
	struct ip_address to;
	uint16_t to_port;
	struct nat_choice choice;
};

#define CONNECTIONS 4096

struct world {
	struct flow_hash_secret secret;
	struct nat_mappings *mappings;
	uint32_t numbers[2];
	struct nat_pool pool;
	uint32_t now;
	uint32_t workers;
	struct random random;
	uint64_t seed;
	struct connection connections[CONNECTIONS];
	const struct connection *opening; // of which is_free is asked
	bool shared;			  // a port was, once
};

static bool replies_are_free(const void *context, const struct ip_address *address, uint16_t port)
{
	const struct world *world = context;
	const struct connection *opening = world->opening;

	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		const struct connection *other = &world->connections[i];

		if (other->live && other->inside.protocol == opening->inside.protocol &&
		    other->choice.port == port && other->to_port == opening->to_port &&
		    ip_equal(&other->choice.address, address) && ip_equal(&other->to, &opening->to))
			return false;
	}
	return true;
}

// By all workers.
static uint32_t expire(struct world *world)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < world->workers; i++)
		count += nat_mappings_expire(world->mappings, i, world->now);
	return count;
}

static struct world *open_world(uint32_t workers, uint32_t addresses, uint32_t block,
				uint32_t blocks_max, uint32_t max)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->seed = world->random.state = random_seed();
	random_fill(&world->random, &world->secret, sizeof(world->secret));
	for (unsigned int i = 0; i < 6; i++)
		world->secret.words[i] |= 1;
	world->now = 1000;
	world->workers = workers;
	world->mappings = nat_mappings_open(max, workers, &world->secret, NULL);
	assert_non_null(world->mappings);
	expire(world);
	for (uint32_t i = 0; i < addresses; i++) {
		struct ip_address address = ip_from_v4(htonl(0xc6336401 + i));

		world->numbers[i] = nat_mappings_address(world->mappings, 7, &address, block);
		assert_int_not_equal(world->numbers[i], 0);
	}
	world->pool = (struct nat_pool){world->numbers, addresses, blocks_max};
	return world;
}

static void close_world(struct world *world)
{
	nat_mappings_close(world->mappings);
	free(world);
}

static struct nat_inside make_inside(uint32_t host, uint16_t port, uint8_t protocol)
{
	return (struct nat_inside){
		.address = ip_from_v4(htonl(0x0a000000 + host)),
		.port = htons(port),
		.network = 3,
		.owner = (uint16_t)(3 + host % OWNERS),
		.protocol = protocol,
	};
}

static struct connection *free_connection(struct world *world)
{
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		if (!world->connections[i].live)
			return &world->connections[i];
	return NULL;
}

// Opens one to a destination by number; NULL where there is no mapping for it.
static struct connection *open_one(struct world *world, struct nat_inside inside, uint32_t to)
{
	struct connection *connection = free_connection(world);
	enum nat_answer answer;

	assert_non_null(connection);
	*connection = (struct connection){
		.inside = inside,
		.to = ip_from_v4(htonl(0xcb007100 + to)),
		.to_port = htons(443),
	};
	world->opening = connection;
	answer = nat_mappings_choose(world->mappings, &world->pool, &inside, replies_are_free,
				     world, &connection->choice);
	if (answer != NAT_CHOSEN ||
	    !nat_mappings_take(world->mappings, &inside, &connection->choice, world->now))
		return NULL;
	connection->live = true;
	world->shared |= connection->choice.shared;
	return connection;
}

static void close_one(struct world *world, struct connection *connection, uint32_t hold)
{
	connection->live = false;
	nat_mappings_release(world->mappings, &connection->inside, &connection->choice.address,
			     connection->choice.port, hold);
}

static void test_endpoint_independent(void **state)
{
	struct world *world = open_world(2, 2, 256, 4, 4096);
	struct nat_inside inside = make_inside(1, 40000, IPPROTO_UDP), found;
	struct connection *first = open_one(world, inside, 1), *last = NULL;

	assert_non_null(first);
	for (uint32_t to = 2; to < 100; to++) {
		last = open_one(world, inside, to);
		assert_non_null(last);
		assert_int_equal(last->choice.port, first->choice.port);
		assert_true(ip_equal(&last->choice.address, &first->choice.address));
		assert_int_equal(flow_hash_share(&world->secret, &first->choice.address,
						 first->choice.port) %
					 2,
				 flow_hash_share(&world->secret, &inside.address, inside.port) % 2);
	}
	assert_true(nat_mappings_find(world->mappings, &first->choice.address, first->choice.port,
				      IPPROTO_UDP, &found));
	assert_int_equal(found.port, inside.port);
	assert_true(ip_equal(&found.address, &inside.address));
	assert_int_equal(found.owner, inside.owner);
	assert_false(nat_mappings_find(world->mappings, &first->choice.address, first->choice.port,
				       IPPROTO_TCP, &found));
	close_world(world);
}

// RFC 4787 REQ-2 and REQ-4.
// To an end that is translated, too: both keys of the connection are one worker's, nobody comes in
// by that port, and what goes elsewhere has the usual one.
static void test_apart(void **state)
{
	struct world *world = open_world(4, 2, 64, 4, 4096);
	struct nat_inside inside = make_inside(1, 40000, IPPROTO_UDP), apart = inside, found;
	struct connection *usual = open_one(world, inside, 1), *first, *second;
	struct nat_mappings_stats stats;

	apart.shift = 6;
	first = open_one(world, apart, 2);
	second = open_one(world, apart, 3);
	assert_true(usual && first && second);
	assert_int_equal(
		(flow_hash_share(&world->secret, &first->choice.address, first->choice.port) ^
		 flow_hash_share(&world->secret, &inside.address, inside.port)) %
			4,
		6 % 4);
	assert_int_not_equal(first->choice.port, usual->choice.port);
	assert_int_equal(second->choice.port, first->choice.port);
	assert_int_equal(open_one(world, inside, 4)->choice.port, usual->choice.port);
	assert_false(nat_mappings_find(world->mappings, &first->choice.address, first->choice.port,
				       IPPROTO_UDP, &found));
	for (uint32_t i = 0; i < 4; i++)
		close_one(world, &world->connections[i], 0);
	nat_mappings_stats(world->mappings, &stats);
	assert_int_equal(stats.mappings, 0);
	assert_int_equal(stats.blocks, 0);
	close_world(world);
}

static void test_pairing_and_parity(void **state)
{
	struct world *world = open_world(1, 2, 512, 8, 4096);
	struct connection *first = open_one(world, make_inside(1, 5000, IPPROTO_UDP), 1);

	assert_non_null(first);
	for (uint16_t port = 5000; port < 5200; port++) {
		struct connection *next = open_one(world, make_inside(1, port, IPPROTO_UDP), 2);

		assert_non_null(next);
		assert_true(ip_equal(&next->choice.address, &first->choice.address));
		assert_int_equal(ntohs(next->choice.port) % 2, port % 2);
		assert_in_range(ntohs(next->choice.port), NAT_PORT_FIRST, 65535);
	}
	close_world(world);
}

// What was released is the same end's for two minutes, and nobody else's.
static void test_hold(void **state)
{
	struct world *world = open_world(1, 1, 64, 1, 4096);
	struct nat_inside inside = make_inside(5, 7000, IPPROTO_UDP), found;
	struct connection *connection = open_one(world, inside, 1);
	struct nat_choice before;

	assert_non_null(connection);
	before = connection->choice;
	close_one(world, connection, NAT_HOLD);
	world->now += NAT_HOLD - 1;
	expire(world);
	assert_true(nat_mappings_find(world->mappings, &before.address, before.port, IPPROTO_UDP,
				      &found));
	connection = open_one(world, inside, 2);
	assert_non_null(connection);
	assert_int_equal(connection->choice.port, before.port);
	close_one(world, connection, NAT_HOLD);
	world->now += NAT_HOLD;
	assert_int_equal(expire(world), 1);
	assert_false(nat_mappings_find(world->mappings, &before.address, before.port, IPPROTO_UDP,
				       &found));
	close_world(world);
}

// A Port's blocks are bounded; then its own ports serve several ends, to different destinations.
static void test_blocks_are_bounded(void **state)
{
	struct world *world = open_world(1, 1, 64, 2, 4096);
	struct nat_mappings_stats stats;
	uint32_t shared = 0;

	for (uint16_t i = 0; i < 300; i++) {
		struct connection *connection =
			open_one(world, make_inside(5, (uint16_t)(2000 + i), IPPROTO_TCP), i);

		assert_non_null(connection);
		shared += connection->choice.shared;
	}
	assert_int_equal(shared, 300 - 128);
	nat_mappings_stats(world->mappings, &stats);
	assert_int_equal(stats.blocks, 2);
	// To one destination there are just so many.
	for (uint32_t i = 0, open = 0; i < 300; i++) {
		open += open_one(world, make_inside(5, (uint16_t)(4000 + i), IPPROTO_TCP), 1000) !=
			NULL;
		assert_in_range(open, 0, 128);
	}
	// Another Port is not touched by that.
	assert_false(open_one(world, make_inside(6, 2000, IPPROTO_TCP), 1000)->choice.shared);
	close_world(world);
}

// Who may have no more does not take from others' on another address.
static void test_bound_holds_for_all_addresses(void **state)
{
	struct world *world = open_world(1, 2, 64, 1, 4096);
	uint32_t open = 0;

	for (uint16_t i = 0; i < 100; i++)
		open += open_one(world, make_inside(5, (uint16_t)(2000 + i), IPPROTO_TCP), 1) !=
			NULL;
	assert_int_equal(open, 64);
	close_world(world);
}

// All blocks are taken: who has none shares with others.
static void test_exhausted_pool(void **state)
{
	struct world *world = open_world(1, 1, NAT_BLOCK_MAX, 64, 4096);
	struct connection *connection;

	// 7 blocks, each another Port's.
	for (uint16_t i = 0; i < 7; i++) {
		struct nat_inside inside = make_inside(1, 2000, IPPROTO_TCP);

		inside.owner = (uint16_t)(100 + i);
		inside.port = htons((uint16_t)(2000 + i));
		connection = open_one(world, inside, 1);
		assert_non_null(connection);
		assert_false(connection->choice.shared);
	}
	connection = open_one(world, make_inside(2, 2000, IPPROTO_TCP), 1);
	assert_non_null(connection);
	assert_true(connection->choice.shared);
	close_world(world);
}

// Protocols without ports: the address alone, for one inside end a destination.
static void test_without_ports(void **state)
{
	struct world *world = open_world(1, 1, 64, 1, 4096);
	struct connection *first = open_one(world, make_inside(1, 0, IPPROTO_GRE), 1);

	assert_non_null(first);
	assert_int_equal(first->choice.port, 0);
	assert_null(open_one(world, make_inside(2, 0, IPPROTO_GRE), 1));
	assert_non_null(open_one(world, make_inside(2, 0, IPPROTO_GRE), 2));
	close_one(world, first, 0);
	assert_non_null(open_one(world, make_inside(2, 0, IPPROTO_GRE), 1));
	close_world(world);
}

// No memory: what was held longest goes first; then there is an answer.
static void test_full_table(void **state)
{
	struct world *world = open_world(1, 1, 1024, 64, 100);

	for (uint16_t i = 0; i < 100; i++) {
		struct connection *connection =
			open_one(world, make_inside(5, (uint16_t)(2000 + i), IPPROTO_TCP), 1);

		assert_non_null(connection);
	}
	assert_null(open_one(world, make_inside(5, 9000, IPPROTO_TCP), 1));
	close_one(world, &world->connections[17], NAT_HOLD);
	assert_non_null(open_one(world, make_inside(5, 9000, IPPROTO_TCP), 1));
	close_world(world);
}

// An address that nobody names any more is forgotten, and another one takes its place.
static void test_addresses_come_and_go(void **state)
{
	struct world *world = open_world(1, 1, 64, 4, 100);
	struct ip_address second = ip_from_v4(htonl(0xc6336463));
	struct connection *connection = open_one(world, make_inside(1, 2000, IPPROTO_TCP), 1);
	uint32_t number;

	assert_non_null(connection);
	nat_mappings_begin(world->mappings);
	nat_mappings_settle(world->mappings);
	// It has a mapping still.
	nat_mappings_begin(world->mappings);
	number = nat_mappings_address(world->mappings, 7, &second, 64);
	assert_int_not_equal(number, world->numbers[0]);
	nat_mappings_abandon(world->mappings);
	close_one(world, connection, 0);
	nat_mappings_begin(world->mappings);
	nat_mappings_settle(world->mappings);
	nat_mappings_begin(world->mappings);
	assert_int_equal(nat_mappings_address(world->mappings, 7, &second, 64), world->numbers[0]);
	nat_mappings_settle(world->mappings);
	close_world(world);
}

static bool same_inside(const struct nat_inside *a, const struct nat_inside *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       ip_equal(&a->address, &b->address);
}

static void check_opened(const struct world *world, const struct connection *opened)
{
	const struct nat_choice *choice = &opened->choice;

	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		const struct connection *other = &world->connections[i];
		bool same_port, same_to;

		if (!other->live || other == opened ||
		    nat_protocol_of(other->inside.protocol) !=
			    nat_protocol_of(opened->inside.protocol))
			continue;
		same_port = other->choice.port == choice->port &&
			    ip_equal(&other->choice.address, &choice->address);
		same_to = ip_equal(&other->to, &opened->to);
		// Replies belong to one.
		check_case(!(same_port && same_to), "seed %#lx: two of one reply\n", world->seed);
		// A port is one end's, but for those that share.
		check_case(!same_port || same_inside(&other->inside, &opened->inside) ||
				   other->choice.shared || choice->shared,
			   "seed %#lx: a port of two ends\n", world->seed);
		// An end has one port, as long as none had to be shared.
		check_case(same_port || !same_inside(&other->inside, &opened->inside) ||
				   other->inside.shift != opened->inside.shift || world->shared,
			   "seed %#lx: an end with two ports\n", world->seed);
	}
}

static void play(uint32_t workers, uint32_t block, uint32_t blocks_max, bool enough)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct world *world = open_world(workers, 2, block, blocks_max, 8192);
	uint32_t opened = 0;
	struct nat_mappings_stats stats;

	for (uint32_t step = 0; step < 6000; step++) {
		uint32_t what = random_below(&world->random, 100);

		if (what < 60) {
			struct nat_inside inside =
				make_inside(random_below(&world->random, 10),
					    (uint16_t)(3000 + random_below(&world->random, 60)),
					    protocols[random_below(&world->random, 3)]);
			uint32_t to = random_below(&world->random, 30);
			// Some of the other ends are translated.
			uint8_t shift = (uint8_t)(to < 20 ? 0 : to & 63);
			struct connection *connection;
			bool known = false;

			inside.shift = shift;

			for (uint32_t i = 0; i < CONNECTIONS && !known; i++)
				known = world->connections[i].live &&
					same_inside(&world->connections[i].inside, &inside) &&
					world->connections[i].to.words[3] == htonl(0xcb007100 + to);
			if (known)
				continue;
			connection = open_one(world, inside, to);
			if (!connection)
				continue;
			opened++;
			check_opened(world, connection);
		} else if (what < 97) {
			struct connection *connection =
				&world->connections[random_below(&world->random, 2000)];

			if (connection->live)
				close_one(world, connection,
					  random_below(&world->random, 2) ? NAT_HOLD : 0);
		} else {
			world->now += random_below(&world->random, 30);
			expire(world);
		}
	}
	assert_in_range(opened, 1000, 6000);
	check_case(!enough || !world->shared, "seed %#lx: a port was shared\n", world->seed);
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		if (world->connections[i].live)
			close_one(world, &world->connections[i], NAT_HOLD);
	world->now += NAT_HOLD;
	while (expire(world))
		;
	nat_mappings_stats(world->mappings, &stats);
	check_case(!stats.mappings && !stats.held && !stats.blocks,
		   "seed %#lx: %lu mappings, %lu held, %lu blocks are left\n", world->seed,
		   stats.mappings, stats.held, stats.blocks);
	close_world(world);
}

// Who has which ports, and that a block is wanted in another size only changes anything once none
// is taken; a dry run (abandon) changes nothing.
static void test_blocks_are_told(void **state)
{
	struct world *world = open_world(1, 1, 64, 1, 4096);
	struct ip_address address = ip_from_v4(htonl(0xc6336401));
	struct connection *first = open_one(world, make_inside(5, 2000, IPPROTO_TCP), 1);
	struct nat_block_event event;
	struct nat_pool_stats stats;
	uint16_t port;

	assert_non_null(first);
	assert_non_null(open_one(world, make_inside(5, 2001, IPPROTO_TCP), 1));
	port = ntohs(first->choice.port);
	assert_true(nat_mappings_block_event(world->mappings, &event));
	assert_true(event.given && ip_equal(&event.external, &address));
	assert_int_equal(event.network, 7);
	assert_int_equal(event.inside_network, 3);
	assert_int_equal(event.owner, first->inside.owner);
	assert_true(ip_equal(&event.inside, &first->inside.address));
	assert_int_equal(event.block.count, 64);
	assert_int_equal(event.block.first, port / 64 * 64);
	assert_false(nat_mappings_block_event(world->mappings, &event));
	nat_mappings_refused(world->mappings, &world->pool);
	nat_mappings_pool_stats(world->mappings, &world->pool, &stats);
	assert_int_equal(stats.mappings, 2);
	assert_int_equal(stats.blocks, 1);
	assert_int_equal(stats.blocks_max, (65536 - 1024) / 64);
	assert_int_equal(stats.refused, 1);

	for (unsigned int i = 0; i < 2; i++) {
		nat_mappings_begin(world->mappings);
		nat_mappings_address(world->mappings, 7, &address, i ? 256 : 128);
		if (i)
			nat_mappings_settle(world->mappings);
		else
			nat_mappings_abandon(world->mappings);
	}
	close_one(world, &world->connections[0], 0);
	assert_false(nat_mappings_block_event(world->mappings, &event));
	close_one(world, &world->connections[1], 0);
	assert_true(nat_mappings_block_event(world->mappings, &event));
	assert_false(event.given);
	assert_int_equal(event.block.first, port / 64 * 64);
	assert_int_equal(event.block.count, 64);
	nat_mappings_pool_stats(world->mappings, &world->pool, &stats);
	assert_int_equal(stats.blocks, 0);
	assert_int_equal(stats.blocks_max, (65536 - 1024) / 256);
	nat_mappings_begin(world->mappings);
	nat_mappings_address(world->mappings, 7, &address, 128);
	nat_mappings_abandon(world->mappings);
	nat_mappings_pool_stats(world->mappings, &world->pool, &stats);
	assert_int_equal(stats.blocks_max, (65536 - 1024) / 256);
	close_world(world);
}

// What finds no room waits for nobody, and is counted.
static void test_block_events_are_bounded(void **state)
{
	struct world *world = open_world(1, 1, 64, 1, 4096);
	struct nat_inside inside = make_inside(5, 2000, IPPROTO_TCP);
	struct nat_block_event event;
	uint32_t count = 0;

	for (uint32_t i = 0; i < NAT_BLOCK_EVENTS; i++)
		close_one(world, open_one(world, inside, 1), 0);
	assert_int_equal(nat_mappings_block_events_lost(world->mappings), NAT_BLOCK_EVENTS);
	assert_int_equal(nat_mappings_block_events_lost(world->mappings), 0);
	for (; nat_mappings_block_event(world->mappings, &event); count++)
		assert_int_equal(event.given, count % 2 == 0);
	assert_int_equal(count, NAT_BLOCK_EVENTS);
	close_world(world);
}

static void test_random_play(void **state)
{
	play(1, 64, 1, false);
	play(1, 256, 64, true);
	play(2, 64, 2, false);
	play(3, 8192, 8, true);
	play(4, 1024, 16, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoint_independent),
		cmocka_unit_test(test_apart),
		cmocka_unit_test(test_pairing_and_parity),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_blocks_are_bounded),
		cmocka_unit_test(test_bound_holds_for_all_addresses),
		cmocka_unit_test(test_exhausted_pool),
		cmocka_unit_test(test_without_ports),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_addresses_come_and_go),
		cmocka_unit_test(test_blocks_are_told),
		cmocka_unit_test(test_block_events_are_bounded),
		cmocka_unit_test(test_random_play),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

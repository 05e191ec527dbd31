// The hash of flow keys: one shard for both directions, and an even spread of keys as they are in
// practice.

#include "test.h"

#include <math.h>
#include <netinet/in.h>

#include "flow/hash.h"

static struct flow_hash_secret make_secret(struct random *random)
{
	struct flow_hash_secret secret;

	random_fill(random, &secret, sizeof(secret));
	for (unsigned int i = 0; i < 6; i++)
		secret.words[i] |= 1;
	return secret;
}

static void test_symmetric_shard(void **state)
{
	struct random random = {random_seed()};
	struct flow_hash_secret secret = make_secret(&random);

	for (unsigned int round = 0; round < 20000; round++) {
		struct flow_key key, reverse;
		struct flow_hash there, back;

		random_fill(&random, &key, sizeof(key));
		if (round % 2) {
			key.source = ip_from_v4((uint32_t)random_next(&random));
			key.destination = ip_from_v4((uint32_t)random_next(&random));
		}
		// Also between networks.
		reverse = flow_key_reverse(&key, (uint16_t)random_next(&random));
		there = flow_hash(&secret, &key);
		back = flow_hash(&secret, &reverse);
		assert_int_equal(there.shard, back.shard);
		assert_true(there.shard < FLOW_SHARDS);
	}
}

// An end that is translated to one with the same share leaves the connection in its shard, whatever
// the other end is.
static void test_translated_end(void **state)
{
	struct random random = {random_seed()};
	struct flow_hash_secret secret = make_secret(&random);
	struct ip_address inside = ip_from_v4(htonl(0x0a000001));
	struct ip_address outside = ip_from_v4(htonl(0xc6336401));
	uint32_t found = 0;

	for (uint32_t port = 1024; port < 65536; port++) {
		struct flow_key there = {
			.source = inside, .source_port = htons(40000), .protocol = IPPROTO_TCP};
		struct flow_key translated;

		if (flow_hash_share(&secret, &outside, htons((uint16_t)port)) !=
		    flow_hash_share(&secret, &inside, there.source_port))
			continue;
		found++;
		there.destination = ip_from_v4((uint32_t)random_next(&random));
		there.destination_port = (uint16_t)random_next(&random);
		translated = there;
		translated.source = outside;
		translated.source_port = htons((uint16_t)port);
		translated = flow_key_reverse(&translated, 7);
		assert_int_equal(flow_hash(&secret, &there).shard,
				 flow_hash(&secret, &translated).shard);
	}
	// One in 64, more or less.
	assert_in_range(found, 700, 1400);
}

// Where the difference to another end is in the key's flags, it is in that one's shard.
static void test_shift(void **state)
{
	struct random random = {random_seed()};
	struct flow_hash_secret secret = make_secret(&random);

	for (unsigned int round = 0; round < 20000; round++) {
		struct flow_key key, other;
		uint16_t shift;

		random_fill(&random, &key, sizeof(key));
		key.flags = 0;
		other = key;
		random_fill(&random, &other.destination, sizeof(other.destination));
		shift = flow_hash_share(&secret, &key.destination, key.destination_port) ^
			flow_hash_share(&secret, &other.destination, key.destination_port);
		other.flags = (uint8_t)(shift << FLOW_KEY_SHIFT_BITS);
		assert_int_equal(flow_hash(&secret, &key).shard, flow_hash(&secret, &other).shard);
		other = flow_key_reverse(&other, 7);
		assert_int_equal(flow_hash(&secret, &key).shard, flow_hash(&secret, &other).shard);
	}
}

// Everything in the key counts.
static void test_every_bit(void **state)
{
	struct random random = {random_seed()};
	struct flow_hash_secret secret = make_secret(&random);
	struct flow_key key;

	random_fill(&random, &key, sizeof(key));
	for (unsigned int bit = 0; bit < sizeof(key) * 8; bit++) {
		struct flow_key other = key;
		struct flow_hash a = flow_hash(&secret, &key), b;

		((uint8_t *)&other)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		b = flow_hash(&secret, &other);
		check_case(a.bucket != b.bucket || a.signature != b.signature, "bit %u\n", bit);
	}
}

enum pattern {
	PATTERN_PORTS,	   // one client, many source ports
	PATTERN_CLIENTS,   // many clients of one server and port
	PATTERN_PAIRS,	   // every host with every other
	PATTERN_CLIENTS6,  // the same on IPv6, in the interface identifier
	PATTERN_SUBNETS6,  // the same on IPv6, in the prefix
	PATTERN_PROTOCOLS, // nothing differs but network and protocol
	PATTERN_SAME_ENDS, // the port is the same on both sides, hosts count up together
	PATTERN_COUNT,
};

static struct flow_key make_key(enum pattern pattern, uint32_t i)
{
	struct flow_key key = {
		.source = ip_from_v4(htonl(0x0a000001)),
		.destination = ip_from_v4(htonl(0x0a000002)),
		.source_port = htons(40000),
		.destination_port = htons(443),
		.network = 1,
		.protocol = IPPROTO_TCP,
	};

	switch (pattern) {
	case PATTERN_PORTS:
		key.source_port = htons((uint16_t)i);
		key.destination_port = htons((uint16_t)(443 + (i >> 16)));
		break;
	case PATTERN_CLIENTS:
		key.source = ip_from_v4(htonl(0x0a100000 + i));
		break;
	case PATTERN_PAIRS:
		key.source = ip_from_v4(htonl(0x0a100000 + i % 256));
		key.destination = ip_from_v4(htonl(0x0a100000 + i / 256));
		break;
	case PATTERN_CLIENTS6:
	case PATTERN_SUBNETS6:
		key.source = (struct ip_address){.bytes = {0xfd}};
		key.destination = (struct ip_address){.bytes = {0xfd, [15] = 1}};
		key.source.words[pattern == PATTERN_CLIENTS6 ? 3 : 1] = htonl(i + 2);
		break;
	case PATTERN_PROTOCOLS:
		key.network = (uint16_t)(i >> 8);
		key.protocol = (uint8_t)i;
		break;
	case PATTERN_SAME_ENDS:
		key.source = ip_from_v4(htonl(0x0a100000 + i));
		key.destination = ip_from_v4(htonl(0x0a200000 + i));
		key.source_port = key.destination_port;
		break;
	default:
		break;
	}
	return key;
}

// Chi squared over `cells` counts, as standard deviations from what chance would give.
static double deviation(const uint32_t *counts, uint32_t cells, uint32_t total)
{
	double expected = (double)total / cells, sum = 0;

	for (uint32_t i = 0; i < cells; i++)
		sum += (counts[i] - expected) * (counts[i] - expected) / expected;
	return (sum - (cells - 1)) / sqrt(2.0 * (cells - 1));
}

static void test_spread(void **state)
{
	enum {
		KEYS = 65536,
		BUCKETS = 1024,
		SIGNATURES = 1024
	};
	// Not from the clock: chance itself would fail one run in some thousands.
	struct random random = {1};

	for (unsigned int round = 0; round < 20; round++) {
		struct flow_hash_secret secret = make_secret(&random);

		for (unsigned int pattern = 0; pattern < PATTERN_COUNT; pattern++) {
			static uint32_t shards[FLOW_SHARDS], buckets[BUCKETS],
				signatures[SIGNATURES], places[BUCKETS * FLOW_SHARDS];
			uint32_t most = 0;
			double shard, bucket, signature;

			memset(shards, 0, sizeof(shards));
			memset(buckets, 0, sizeof(buckets));
			memset(signatures, 0, sizeof(signatures));
			memset(places, 0, sizeof(places));
			for (uint32_t i = 0; i < KEYS; i++) {
				struct flow_key key = make_key(pattern, i);
				struct flow_hash hash = flow_hash(&secret, &key);
				uint32_t index = (uint32_t)((uint64_t)hash.bucket * BUCKETS >> 32);
				uint32_t *place = &places[hash.shard * BUCKETS + index];

				shards[hash.shard]++;
				buckets[index]++;
				signatures[hash.signature % SIGNATURES]++;
				if (++*place > most)
					most = *place;
			}
			shard = deviation(shards, FLOW_SHARDS, KEYS);
			bucket = deviation(buckets, BUCKETS, KEYS);
			signature = deviation(signatures, SIGNATURES, KEYS);
			// A key's ends alone make the shard.
			check_case(pattern == PATTERN_PROTOCOLS || shard < 8,
				   "pattern %u: shards %.1f\n", pattern, shard);
			check_case(bucket < 8 && signature < 8,
				   "pattern %u: buckets %.1f, signatures %.1f\n", pattern, bucket,
				   signature);
			// One key a place on average: no bucket is crowded.
			check_case(pattern == PATTERN_PROTOCOLS || most <= 12,
				   "pattern %u: %u in one place\n", pattern, most);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symmetric_shard), cmocka_unit_test(test_translated_end),
		cmocka_unit_test(test_shift),		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

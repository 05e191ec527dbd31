// A translated packet is, to the last byte, the one that the other side would have sent.

#include "test.h"

#include <arpa/inet.h>

#include "frame.h"
#include "packet/translate.h"

struct side {
	const char *address[2]; // IPv4, IPv6
	uint16_t port;
};

// What a packet has before and behind the translation.
struct ends {
	struct side source, destination;
};

enum shape {
	SHAPE_TCP,
	SHAPE_UDP,
	SHAPE_UDP_WITHOUT_CHECKSUM, // IPv4
	SHAPE_ECHO,
	SHAPE_ECHO_REPLY,
	SHAPE_OPTIONS, // TCP behind IPv4 options or IPv6 extension headers
	SHAPE_OTHER,
	SHAPE_FIRST_FRAGMENT,
	SHAPE_LATER_FRAGMENT,
	SHAPES,
};

static struct ends random_ends(struct random *random)
{
	static const char *const addresses[][2] = {
		{"10.1.0.11", "fd00:1::11"},
		{"10.2.0.12", "fd00:2::12"},
		{"192.0.2.1", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"},
		{"255.254.253.252", "fd00::"},
	};
	const char *const *source = addresses[random_below(random, 4)];
	const char *const *destination = addresses[random_below(random, 4)];

	return (struct ends){
		.source = {{source[0], source[1]}, (uint16_t)random_next(random)},
		.destination = {{destination[0], destination[1]}, (uint16_t)random_next(random)},
	};
}

static void make(struct frame *frame, const struct ends *ends, enum shape shape, bool v6,
		 uint8_t ttl, uint32_t size)
{
	const struct side *source = &ends->source, *destination = &ends->destination;
	bool fragment = shape == SHAPE_FIRST_FRAGMENT || shape == SHAPE_LATER_FRAGMENT;

	frame_ethernet(frame, "02:00:00:00:00:02", "02:00:00:00:00:01", 0);
	frame_ip(frame, source->address[v6], destination->address[v6], ttl,
		 shape == SHAPE_OPTIONS && !v6 ? 8 : 0);
	if (shape == SHAPE_OPTIONS && v6)
		frame_extension(frame, 60, 16);
	if (fragment)
		frame_fragment(frame, shape == SHAPE_LATER_FRAGMENT ? 1480 : 0, true);
	switch (shape) {
	case SHAPE_UDP:
	case SHAPE_UDP_WITHOUT_CHECKSUM:
	case SHAPE_FIRST_FRAGMENT:
		frame_udp(frame, source->port, destination->port);
		break;
	case SHAPE_ECHO:
		frame_icmp(frame, v6 ? 128 : 8, 0, (uint32_t)source->port << 16 | 7);
		break;
	case SHAPE_ECHO_REPLY:
		frame_icmp(frame, v6 ? 129 : 0, 0, (uint32_t)destination->port << 16 | 7);
		break;
	case SHAPE_OTHER:
	case SHAPE_LATER_FRAGMENT:
		frame_protocol(frame, 47);
		break;
	default:
		frame_tcp(frame, source->port, destination->port, TCP_ACK);
		break;
	}
	frame_payload(frame, size);
	frame_finish(frame);
	if (shape == SHAPE_UDP_WITHOUT_CHECKSUM)
		memset(frame->data + frame->l4 + 6, 0, 2);
}

// The key of what answers to the packet.
static struct flow_key back_of(const struct ends *ends, const struct packet *packet,
			       enum shape shape, bool v6)
{
	struct flow_key key = packet->key;

	key.source = address(ends->source.address[v6]);
	key.destination = address(ends->destination.address[v6]);
	// Of queries only the identifier can be another one.
	if (shape == SHAPE_ECHO) {
		key.source_port = htons(ends->source.port);
	} else if (shape == SHAPE_ECHO_REPLY) {
		key.destination_port = htons(ends->destination.port);
	} else if (shape != SHAPE_OTHER) {
		key.source_port = htons(ends->source.port);
		key.destination_port = htons(ends->destination.port);
	}
	return flow_key_reverse(&key, 0);
}

static void test_as_sent_by_the_other_side(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct frame frame, wanted;

	for (uint32_t round = 0; round < 20000; round++) {
		enum shape shape = random_below(&random, SHAPES);
		bool v6 = shape != SHAPE_UDP_WITHOUT_CHECKSUM && random_below(&random, 2);
		struct ends from = random_ends(&random), to = random_ends(&random);
		uint32_t size = 8 * random_below(&random, 20), hops = random_below(&random, 2);
		struct packet packet;
		struct flow_key back;

		if (shape != SHAPE_FIRST_FRAGMENT && shape != SHAPE_LATER_FRAGMENT)
			size += random_below(&random, 8);
		make(&frame, &from, shape, v6, 64, size);
		assert_int_equal(packet_parse(frame.data, frame.size, frame.size, &packet),
				 DROP_NONE);
		if (shape == SHAPE_FIRST_FRAGMENT)
			packet.l4_offset = (uint16_t)frame.l4;
		else if (shape == SHAPE_LATER_FRAGMENT)
			packet.l4_offset = 0;
		if (packet.kind == PACKET_FRAGMENT)
			packet.key.protocol = IPPROTO_UDP;
		back = back_of(&to, &packet, shape, v6);
		if (packet_is_plain(&packet)) {
			make(&wanted, &to, shape, v6, (uint8_t)(64 - hops), size);
			packet_rewrite_plain(frame.data, &packet,
					     &(struct rewrite){.back = &back,
							       .hops = (uint8_t)hops,
							       .mark = REWRITE_NO_MARK});
		} else {
			make(&wanted, &to, shape, v6, 64, size);
			packet_translate(frame.data, frame.size, &packet, &back, false);
		}
		check_case(frame.size == wanted.size &&
				   memcmp(frame.data, wanted.data, frame.size) == 0,
			   "seed %#lx, round %u, shape %u, v6 %d\n", seed, round, shape, v6);
	}
}

// Both ways of rewriting a plain packet.
static void test_plain_as_any(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct frame frame, other;

	for (uint32_t round = 0; round < 5000; round++) {
		enum shape shape = random_below(&random, SHAPE_ECHO);
		bool v6 = shape != SHAPE_UDP_WITHOUT_CHECKSUM && random_below(&random, 2);
		struct ends from = random_ends(&random), to = random_ends(&random);
		bool unfinished = random_below(&random, 2);
		struct packet packet;
		struct flow_key back;

		make(&frame, &from, shape, v6, 64, random_below(&random, 100));
		other = frame;
		assert_int_equal(packet_parse(frame.data, frame.size, frame.size, &packet),
				 DROP_NONE);
		back = back_of(&to, &packet, shape, v6);
		assert_true(packet_is_plain(&packet));
		packet_rewrite_plain(frame.data, &packet,
				     &(struct rewrite){.back = &back,
						       .unfinished = unfinished,
						       .mark = REWRITE_NO_MARK});
		packet_translate(other.data, other.size, &packet, &back, unfinished);
		check_case(memcmp(frame.data, other.data, frame.size) == 0, "seed %#lx\n", seed);
	}
}

// One hop and a mark, with and without a translation, as one after the other.
static void test_plain_all_at_once(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};
	struct frame frame, other;

	for (uint32_t round = 0; round < 5000; round++) {
		enum shape shape = random_below(&random, SHAPE_ECHO);
		bool v6 = shape != SHAPE_UDP_WITHOUT_CHECKSUM && random_below(&random, 2);
		bool translated = random_below(&random, 2), routed = random_below(&random, 2);
		struct ends from = random_ends(&random), to = random_ends(&random);
		uint8_t mark = (uint8_t)random_below(&random, 64);
		struct packet packet;
		struct flow_key back;

		make(&frame, &from, shape, v6, 64, random_below(&random, 100));
		ip_set_traffic_class(frame.data + frame.l3, !v6,
				     (uint8_t)random_below(&random, 256));
		other = frame;
		assert_int_equal(packet_parse(frame.data, frame.size, frame.size, &packet),
				 DROP_NONE);
		back = back_of(&to, &packet, shape, v6);
		packet_rewrite_plain(frame.data, &packet,
				     &(struct rewrite){.back = translated ? &back : NULL,
						       .hops = routed,
						       .mark = mark});
		if (translated)
			packet_translate(other.data, other.size, &packet, &back, false);
		if (routed && v6)
			other.data[packet.l3_offset + 7]--;
		else if (routed)
			ipv4_decrement_ttl(other.data + packet.l3_offset);
		ip_set_dscp(other.data + packet.l3_offset, !v6, mark);
		check_case(memcmp(frame.data, other.data, frame.size) == 0, "seed %#lx\n", seed);
	}
}

// An error quotes what its receiver has sent, and comes from the address that it was sent to.
static void test_errors(void **state)
{
	uint64_t seed = random_seed();
	struct random random = {seed};

	for (uint32_t round = 0; round < 5000; round++) {
		static const enum shape shapes[] = {SHAPE_TCP,	      SHAPE_UDP,     SHAPE_ECHO,
						    SHAPE_ECHO_REPLY, SHAPE_OPTIONS, SHAPE_OTHER};
		enum shape shape = shapes[random_below(&random, 6)];
		struct ends sent = random_ends(&random), left = random_ends(&random);
		bool v6 = random_below(&random, 2);
		uint32_t cut = random_below(&random, 2) ? 2000 : v6 ? 40 + 24 : 20 + 16;
		struct frame quote_sent, quote_left, frame, wanted;
		struct packet packet, quoted;
		struct flow_key back;

		make(&quote_sent, &sent, shape, v6, 5, 40);
		make(&quote_left, &left, shape, v6, 5, 40);
		assert_int_equal(
			packet_parse(quote_sent.data, quote_sent.size, quote_sent.size, &quoted),
			DROP_NONE);
		// The identifier is all that is translated of a query.
		back = quoted.key;
		frame_ethernet(&frame, "02:00:00:00:00:02", "02:00:00:00:00:01", 0);
		frame_ip(&frame, left.destination.address[v6], left.source.address[v6], 64, 0);
		frame_icmp(&frame, v6 ? 1 : 3, 1, 0);
		frame_quote(&frame, &quote_left, cut);
		frame_finish(&frame);
		frame_ethernet(&wanted, "02:00:00:00:00:02", "02:00:00:00:00:01", 0);
		frame_ip(&wanted, sent.destination.address[v6], sent.source.address[v6], 64, 0);
		frame_icmp(&wanted, v6 ? 1 : 3, 1, 0);
		frame_quote(&wanted, &quote_sent, cut);
		frame_finish(&wanted);
		assert_int_equal(packet_parse(frame.data, frame.size, frame.size, &packet),
				 DROP_NONE);
		assert_int_equal(packet.kind, PACKET_ICMP_ERROR);
		packet_translate(frame.data, frame.size, &packet, &back, false);
		check_case(frame.size == wanted.size &&
				   memcmp(frame.data, wanted.data, frame.size) == 0,
			   "seed %#lx, round %u, shape %u, v6 %d\n", seed, round, shape, v6);
	}
}

// A router between both sides says it: its address is not translated, if the connection's is not.
static void test_error_of_a_router(void **state)
{
	struct ends sent = {{{"10.1.0.11", "fd00:1::11"}, 1000}, {{"10.2.0.12", "fd00:2::12"}, 80}};
	struct ends left = sent;
	struct frame quote_sent, quote_left, frame, wanted;
	struct packet packet, quoted;

	left.source = (struct side){{"192.0.2.1", "2001:db8::1"}, 5000};
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const char *router = v6 ? "2001:db8:9::9" : "203.0.113.9";

		make(&quote_sent, &sent, SHAPE_UDP, v6, 1, 20);
		make(&quote_left, &left, SHAPE_UDP, v6, 1, 20);
		packet_parse(quote_sent.data, quote_sent.size, quote_sent.size, &quoted);
		frame_ethernet(&frame, "02:00:00:00:00:02", "02:00:00:00:00:01", 0);
		frame_ip(&frame, router, left.source.address[v6], 64, 0);
		frame_icmp(&frame, v6 ? 3 : 11, 0, 0);
		frame_quote(&frame, &quote_left, 2000);
		frame_finish(&frame);
		frame_ethernet(&wanted, "02:00:00:00:00:02", "02:00:00:00:00:01", 0);
		frame_ip(&wanted, router, sent.source.address[v6], 64, 0);
		frame_icmp(&wanted, v6 ? 3 : 11, 0, 0);
		frame_quote(&wanted, &quote_sent, 2000);
		frame_finish(&wanted);
		packet_parse(frame.data, frame.size, frame.size, &packet);
		packet_translate(frame.data, frame.size, &packet, &quoted.key, false);
		assert_memory_equal(frame.data, wanted.data, wanted.size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_sent_by_the_other_side),
		cmocka_unit_test(test_plain_as_any),
		cmocka_unit_test(test_plain_all_at_once),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_error_of_a_router),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

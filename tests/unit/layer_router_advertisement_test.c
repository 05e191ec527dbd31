// Router advertisements: what they say of a network, and when they are due.

#include "test.h"

#include "layer/router_advertisement/router_advertisement.h"
#include "layer_fixture.h"

static const uint8_t *option_find(const uint8_t *message, uint32_t size, uint8_t type,
				  unsigned int which)
{
	for (uint32_t at = 16; at < size; at += message[at + 1] * 8u) {
		assert_true(message[at + 1] != 0 && at + message[at + 1] * 8u <= size);
		if (message[at] == type && which-- == 0)
			return message + at;
	}
	return NULL;
}

static struct router_advertisement network_make(void)
{
	struct router_advertisement network = {
		.present = true, .mac = mac(GATEWAY_BLUE), .mtu = 1400, .router = true};

	network.prefixes[0] = (struct ip_prefix){.address = address("fd00:1::"), .length = 64};
	network.prefixes[1] = (struct ip_prefix){.address = address("fd00:2::"), .length = 80};
	network.prefix_count = 2;
	network.dns[0] = address("fd00:1::53");
	network.dns_count = 1;
	network.routes[0] = (struct ip_prefix){.address = address("fd00:77::"), .length = 48};
	network.routes[1] = (struct ip_prefix){.address = address("fd00:78::1"), .length = 128};
	network.route_count = 2;
	memcpy(network.search, "\7example\3org", 13);
	network.search_size = 13;
	return network;
}

static void test_message(void **state)
{
	struct router_advertisement network = network_make();
	struct router_offer offer = {.network = &network, .managed = true, .autonomous = 1};
	uint8_t message[ADVERTISEMENT_MAX];
	uint32_t size = router_advertisement_write(&offer, NULL, message);

	assert_int_equal(message[0], 134);
	assert_int_equal(message[4], 64);
	assert_int_equal(message[5], 0x80);
	assert_int_equal(message[6] << 8 | message[7], 1800);
	assert_memory_equal(option_find(message, size, 1, 0) + 2, &network.mac, 6);
	assert_memory_equal(option_find(message, size, 5, 0), "\5\1\0\0\0\0\5\x78", 8);
	assert_memory_equal(option_find(message, size, 3, 0),
			    "\3\4\x40\xc0\0\1\x51\x80\0\0\x38\x40", 12);
	assert_memory_equal(option_find(message, size, 3, 1), "\3\4\x50\x80", 4);
	assert_memory_equal(option_find(message, size, 25, 0), "\x19\3\0\0\0\0\7\x08\xfd", 9);
	assert_memory_equal(option_find(message, size, 31, 0), "\x1f\3\0\0\0\0\7\x08\7example", 16);
	assert_int_equal(option_find(message, size, 24, 0)[1], 2);
	assert_int_equal(option_find(message, size, 24, 1)[1], 3);
	// Who is no router tells of no routes either.
	network.router = false;
	size = router_advertisement_write(&offer, NULL, message);
	assert_int_equal(message[6] << 8 | message[7], 0);
	assert_null(option_find(message, size, 24, 0));
}

static void test_too_much(void **state)
{
	struct router_advertisement network = network_make();
	struct router_offer offer = {.network = &network};
	struct router_withdrawal past = {.prefix_count = ADVERTISED_PREFIXES,
					 .dns_count = ADVERTISED_DNS};
	uint8_t message[ADVERTISEMENT_MAX + 1];
	uint32_t size;

	network.prefix_count = ADVERTISED_PREFIXES;
	network.dns_count = ADVERTISED_DNS;
	network.route_count = ADVERTISED_ROUTES;
	network.search_size = ADVERTISED_SEARCH;
	message[ADVERTISEMENT_MAX] = 0x5a;
	size = router_advertisement_write(&offer, &past, message);
	assert_true(size <= ADVERTISEMENT_MAX && size % 8 == 0);
	assert_int_equal(message[ADVERTISEMENT_MAX], 0x5a);
	assert_non_null(option_find(message, size, 3, ADVERTISED_PREFIXES - 1));
	assert_non_null(option_find(message, size, 25, 0));
}

static bool turn(struct router_schedule *schedule, const struct router_offer *offer, uint32_t now)
{
	if (!router_schedule_look(schedule, offer, true, now) ||
	    !router_schedule_take(schedule, now))
		return false;
	router_schedule_sent(schedule, offer, now, 12345);
	return true;
}

// The first come soon, later ones at the interval; never two within three seconds.
static void test_schedule(void **state)
{
	struct router_advertisement network = network_make();
	struct router_offer offer = {.network = &network, .hash = 1};
	struct router_schedule schedule = {.hash = 0};
	uint32_t times[8], count = 0;

	assert_false(router_schedule_look(&schedule, &offer, false, 999));
	for (uint32_t now = 1000; count < 8 && now < 10000; now++)
		if (turn(&schedule, &offer, now))
			times[count++] = now;
	assert_int_equal(count, 8);
	assert_int_equal(times[0], 1000);
	assert_int_equal(times[1], 1016);
	assert_int_equal(times[2], 1032);
	for (unsigned int i = 3; i < 8; i++)
		assert_in_range(times[i] - times[i - 1], 200, 600);
	// Down and up again: at once, but not too soon.
	assert_false(router_schedule_look(&schedule, &offer, false, times[7]));
	assert_false(turn(&schedule, &offer, times[7] + 1));
	assert_false(turn(&schedule, &offer, times[7] + 2));
	assert_true(turn(&schedule, &offer, times[7] + 3));
}

static void test_rate(void **state)
{
	struct router_schedule schedule = {.hash = 0};

	assert_true(router_schedule_take(&schedule, 1000));
	assert_false(router_schedule_take(&schedule, 1000));
	assert_false(router_schedule_take(&schedule, 1002));
	assert_int_equal(schedule.due, 1003);
	// A worker whose second has not ended yet.
	assert_false(router_schedule_take(&schedule, 999));
	assert_true(router_schedule_take(&schedule, 1003));
	assert_false(router_schedule_take(&schedule, 1002));
}

static void test_withdrawal(void **state)
{
	struct router_advertisement network = network_make(), changed = network_make();
	struct router_offer offer = {.network = &network, .hash = 1};
	struct router_offer next = {.network = &changed, .hash = 2};
	struct router_schedule schedule = {.hash = 0};
	uint32_t now = 1000, sent = 0;
	uint8_t message[ADVERTISEMENT_MAX];
	const uint8_t *option;
	uint32_t size;

	assert_true(turn(&schedule, &offer, now++));
	changed.prefixes[0].address = address("fd00:9::");
	changed.dns[0] = address("fd00:9::53");
	assert_false(turn(&schedule, &next, now++));
	assert_int_equal(schedule.past.prefix_count, 1);
	assert_int_equal(schedule.past.dns_count, 1);
	size = router_advertisement_write(&next, &schedule.past, message);
	option = option_find(message, size, 3, 2);
	assert_memory_equal(option, "\3\4\x40\xc0\0\0\0\0\0\0\0\0\0\0\0\0\xfd\0\0\1", 20);
	option = option_find(message, size, 25, 1);
	assert_memory_equal(option, "\x19\3\0\0\0\0\0\0", 8);
	// Three times, then all is said.
	while (schedule.past.prefix_count && now < 2000)
		sent += turn(&schedule, &next, now++);
	assert_int_equal(sent, 3);
	// What comes back is withdrawn no more.
	assert_false(turn(&schedule, &offer, now));
	next.hash = 3;
	turn(&schedule, &next, now + 1);
	assert_int_equal(schedule.past.prefix_count, 0);
}

// A network whose last IPv6 subnet goes: all is withdrawn, and then there is silence. One that
// never had any says nothing.
static void test_end(void **state)
{
	struct router_advertisement network = network_make(), empty = {.mtu = 1400};
	struct router_offer offer = {.network = &network, .hash = 1};
	struct router_offer none = {.network = &empty, .hash = 2};
	struct router_schedule schedule = {.hash = 0};
	uint32_t sent = 0, now = 1000;

	for (; now < 2000; now++)
		assert_false(turn(&schedule, &none, now));
	assert_true(turn(&schedule, &offer, now));
	while (now++ < 5000)
		if (turn(&schedule, &none, now))
			sent++;
	assert_int_equal(sent, 3);
	assert_int_equal(schedule.past.prefix_count, 0);
	assert_true(turn(&schedule, &offer, now));
}

static void test_solicitations(void **state)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct frame frame;
		struct packet packet;
		uint8_t *option;
		static const enum drop_reason expected[] = {DROP_NONE, DROP_ND_SPOOFED,
							    DROP_ND_MALFORMED, DROP_NONE};

		frame_ethernet(&frame, "33:33:00:00:00:02", "52:54:00:00:00:01", 0);
		frame_ip(&frame, i == 2 ? "::" : "fe80::1", "ff02::2", 255, 0);
		frame_icmp(&frame, 133, 0, 0);
		if (i != 3) {
			option = frame_append(&frame, 8);
			memcpy(option, "\1\1\x52\x54\0\0\0\1", 8);
			if (i == 1)
				option[7] = 2;
		}
		frame_finish(&frame);
		assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
		assert_int_equal(router_solicitation_read(frame.data, &packet), expected[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),	      cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_schedule),      cmocka_unit_test(test_rate),
		cmocka_unit_test(test_withdrawal),    cmocka_unit_test(test_end),
		cmocka_unit_test(test_solicitations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

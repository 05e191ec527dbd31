// Addresses that several ports may use: who owns them, how often that changes, and what ARP says.

#include "test.h"

#include "layer/address_resolution/address_resolution.h"
#include "layer_fixture.h"

#define NODES                                                                   \
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0}\n"      \
	"---\nkind: Node\nname: b\nvtep: 192.0.2.2/24\nuplink: {netdev: up0}\n" \
	"---\nkind: Vrf\nname: t1\n"                                            \
	"---\nkind: Network\nname: blue\nvni: 5001\nvrf: t1\nsubnets:\n"        \
	"- {cidr: 10.1.0.0/24, gateway: 10.1.0.1}\n"                            \
	"---\nkind: Network\nname: red\nvni: 5002\nvrf: t1\nsubnets:\n"         \
	"- {cidr: 10.2.0.0/24, gateway: 10.2.0.1}\n"
#define PORT(name, node, network, number, allowed)                           \
	"---\nkind: Port\nname: " name "\nnode: " node "\nnetwork: " network \
	"\nmac: '52:54:00:00:00:" number "'\nallowedAddresses: [" allowed    \
	"]\ndevice: {tap: {name: " name "}}\n"

static const char first[] = NODES PORT("a1", "a", "blue", "01", "10.1.0.100/32, 10.1.0.101/32")
	PORT("a2", "a", "blue", "02", "10.1.0.100/32, 10.1.0.0/24")
		PORT("b1", "b", "blue", "03", "10.1.0.100/32")
			PORT("c1", "b", "red", "04", "10.9.0.0/16");
static const char without_a1[] =
	NODES PORT("a1", "a", "blue", "01", "") PORT("a2", "a", "blue", "02", "10.1.0.100/32")
		PORT("b1", "b", "blue", "03", "10.1.0.100/32");
static const char only_b1[] = NODES PORT("b1", "b", "blue", "03", "10.1.0.100/32");

static const struct endpoint *owner_of(const struct layer_fixture *fixture, const char *text)
{
	struct ip_address wanted = address(text);
	uint16_t domain =
		fixture->tables->networks[fixture_network(fixture->tables, "blue")].domain;

	return tables_endpoint(fixture->tables,
			       tables_find_address(fixture->tables, domain, &wanted));
}

static enum address_move move(const struct layer_fixture *fixture, const char *port, uint32_t now,
			      bool look)
{
	const struct endpoint *endpoint = fixture_endpoint(fixture->tables, port);

	return address_owner_set(fixture->tables->shared[0].owner,
				 address_owner_port(endpoint->network, &endpoint->mac), now, look);
}

static void test_owner(void **state)
{
	struct layer_fixture fixture;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, first);
	// One port alone names it; the other only a prefix that holds it.
	assert_ptr_equal(owner_of(&fixture, "10.1.0.101"), fixture_endpoint(fixture.tables, "a1"));
	assert_int_equal(fixture.tables->shared_count, 1);
	assert_int_equal(fixture.tables->shared[0].candidate_count, 3);
	assert_int_equal(fixture.tables->shared[0].node_count, 1);
	assert_null(owner_of(&fixture, "10.1.0.100"));
	assert_int_equal(move(&fixture, "a1", 10, true), ADDRESS_MOVED);
	assert_null(owner_of(&fixture, "10.1.0.100"));
	assert_int_equal(move(&fixture, "a1", 10, false), ADDRESS_MOVED);
	assert_int_equal(move(&fixture, "a1", 10, false), ADDRESS_STAYS);
	assert_ptr_equal(owner_of(&fixture, "10.1.0.100"), fixture_endpoint(fixture.tables, "a1"));
	// Kept, as long as the port may have it.
	fixture_apply(&fixture, first);
	assert_ptr_equal(owner_of(&fixture, "10.1.0.100"), fixture_endpoint(fixture.tables, "a1"));
	fixture_apply(&fixture, without_a1);
	assert_null(owner_of(&fixture, "10.1.0.100"));
	assert_int_equal(move(&fixture, "b1", 11, false), ADDRESS_MOVED);
	assert_ptr_equal(owner_of(&fixture, "10.1.0.100"), fixture_endpoint(fixture.tables, "b1"));
	// A port that may not have it: nobody, even if it were set.
	assert_int_equal(move(&fixture, "a1", 12, false), ADDRESS_MOVED);
	assert_null(owner_of(&fixture, "10.1.0.100"));
	fixture_apply(&fixture, only_b1);
	assert_ptr_equal(owner_of(&fixture, "10.1.0.100"), fixture_endpoint(fixture.tables, "b1"));
	assert_int_equal(fixture.tables->shared_count, 0);
	fixture_close(&fixture);
}

static void test_limits(void **state)
{
	struct layer_fixture fixture;
	second_count count = 0;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, first);
	assert_int_equal(move(&fixture, "a1", 10, false), ADDRESS_MOVED);
	assert_int_equal(move(&fixture, "a2", 10, false), ADDRESS_MOVED);
	assert_int_equal(move(&fixture, "a1", 10, true), ADDRESS_MOVES_TOO_OFTEN);
	assert_int_equal(move(&fixture, "a1", 10, false), ADDRESS_MOVES_TOO_OFTEN);
	assert_ptr_equal(owner_of(&fixture, "10.1.0.100"), fixture_endpoint(fixture.tables, "a2"));
	assert_int_equal(move(&fixture, "a1", 11, false), ADDRESS_MOVED);
	for (unsigned int second = 0; second < 3; second++)
		for (unsigned int i = 0; i < 20; i++) {
			assert_int_equal(second_count_take(&count, second, 7, true), i < 7);
			assert_int_equal(second_count_take(&count, second, 7, false), i < 7);
		}
	fixture_close(&fixture);
}

static struct address_owner *get_owner(struct address_owners *owners, uint32_t number)
{
	struct ip_address wanted = ip_from_v4(htonl(0x0a000000 + number));

	return address_owners_get(owners, 7, &wanted);
}

// Addresses that nobody shares any more make room for others; what is in force stays.
static void test_places(void **state)
{
	struct address_owners owners;

	assert_true(address_owners_open(&owners));
	for (uint32_t round = 0; round < 3; round++) {
		address_owners_begin(&owners);
		atomic_store(&get_owner(&owners, 0)->port, 1);
		for (uint32_t i = 1; i < ADDRESS_OWNERS_MAX / 2; i++)
			assert_non_null(get_owner(&owners, round << 16 | i));
		address_owners_settle(&owners);
	}
	address_owners_begin(&owners);
	assert_int_equal(get_owner(&owners, 0)->port, 1);
	atomic_store(&get_owner(&owners, 2 << 16 | 5)->port, 2);
	address_owners_settle(&owners);
	// Nothing comes of this one.
	address_owners_begin(&owners);
	for (uint32_t i = 0; i < ADDRESS_OWNERS_MAX - 2; i++)
		assert_int_equal(get_owner(&owners, 3 << 16 | i)->port, 0);
	assert_null(get_owner(&owners, 4 << 16));
	address_owners_abandon(&owners);
	address_owners_abandon(&owners);
	address_owners_begin(&owners);
	assert_int_equal(get_owner(&owners, 0)->port, 1);
	assert_int_equal(get_owner(&owners, 2 << 16 | 5)->port, 2);
	assert_int_equal(get_owner(&owners, 3 << 16)->port, 0);
	address_owners_close(&owners);
}

static enum resolution ask(const struct layer_fixture *fixture, const char *sender,
			   const char *target, struct buffer *buffer,
			   struct address_resolution *message)
{
	const struct endpoint *source = fixture_endpoint(fixture->tables, "a1");
	enum drop_reason reason;
	struct packet packet;
	struct frame frame;

	frame_ethernet(&frame, "ff:ff:ff:ff:ff:ff", "52:54:00:00:00:01", 0);
	frame_arp(&frame, 1, "52:54:00:00:00:01", sender, "00:00:00:00:00:00", target);
	assert_int_equal(frame_parse(&frame, &packet), DROP_NONE);
	buffer_put(buffer, frame.data, frame.size);
	return resolution_from_port(fixture->tables, &fixture->tables->networks[source->network],
				    source, &buffer->mbuf, &packet, message, &reason);
}

static void test_questions(void **state)
{
	struct address_resolution message;
	struct layer_fixture fixture;
	struct mac_address b1 = mac("52:54:00:00:00:03");
	struct buffer buffer;

	fixture_open(&fixture, "a");
	fixture_apply(&fixture, first);
	assert_int_equal(ask(&fixture, "10.1.0.101", "10.1.0.100", &buffer, &message),
			 RESOLUTION_ASK);
	assert_true(message.genuine);
	assert_int_equal(move(&fixture, "b1", 10, false), ADDRESS_MOVED);
	assert_int_equal(ask(&fixture, "10.1.0.101", "10.1.0.100", &buffer, &message),
			 RESOLUTION_ANSWERED);
	assert_memory_equal(rte_pktmbuf_mtod_offset(&buffer.mbuf, uint8_t *, 22), &b1, 6);
	// A probe by one that may have it; and what is spoofed.
	assert_int_equal(ask(&fixture, "0.0.0.0", "10.1.0.100", &buffer, &message), RESOLUTION_ASK);
	assert_int_equal(ask(&fixture, "10.1.0.55", "10.1.0.100", &buffer, &message),
			 RESOLUTION_DROP);
	assert_false(message.genuine);
	fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

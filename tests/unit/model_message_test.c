// Copies of messages in one block, and in what two messages differ.

#include "test.h"

#include "model/document.h"
#include "model/message_compact.h"
#include "model/message_difference.h"
#include "model/object.h"

static const char documents[] =
	"kind: Node\nname: a\nvtep: 192.0.2.1/24\nuplink: {netdev: up0, mtu: 9000}\n---\n"
	"kind: Vrf\nname: t1\n---\n"
	"kind: Network\nname: blue\nvni: 5001\nvrf: t1\nmtu: 1400\n"
	"subnets:\n- {cidr: 10.1.0.0/24, gateway: 10.1.0.1, dns: [10.1.0.2, 10.1.0.3]}\n"
	"- {cidr: 'fd00:1::/64', gateway: 'fd00:1::1'}\n"
	"dhcp: {domain: example.org, domainSearch: [a.example, b.example], boot: {server: s}}\n"
	"connectionTracking: {midStreamPickup: true, idleTimes: {unreplied: 7}}\n---\n"
	"kind: SecurityGroup\nname: web\nrules:\n"
	"- {direction: ingress, protocol: tcp, ports: 80-81, remote: {cidr: 0.0.0.0/0}}\n"
	"- {direction: ingress, protocol: icmp, icmpType: 0, remote: {group: web}}\n"
	"- {direction: egress}\n---\n"
	"kind: SecurityGroup\nname: none\n---\n"
	"kind: Port\nname: web-1\nnode: a\nnetwork: blue\nmac: '52:54:00:00:00:01'\n"
	"addresses: [10.1.0.11, 'fd00:1::11']\nsecurityGroups: [web, none]\n"
	"device: {vhostUser: {path: /run/a.sock, mode: server, queues: 2}}\n";

static struct document *documents_read(void)
{
	struct document *document = document_new();

	document_parse(document, "documents", documents, sizeof(documents) - 1);
	if (document->error_count)
		fail_msg("%s", document->errors[0].text);
	assert_int_equal(document->count, 6);
	return document;
}

// Copies the message, frees it by `end`, and compares what can be had of the copy.
static void check_copy(ProtobufCMessage *message, void (*end)(ProtobufCMessage *message))
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *before = malloc(size + 1), *after = malloc(size + 1);
	char *block = message_compact(message, 16);
	const ProtobufCMessage *copy = (const ProtobufCMessage *)(block + 16);

	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(block[i], 0);
	assert_true(message_equal(message, copy));
	protobuf_c_message_pack(message, before);
	end(message);
	assert_true(protobuf_c_message_check(copy));
	assert_int_equal(protobuf_c_message_get_packed_size(copy), size);
	protobuf_c_message_pack(copy, after);
	assert_memory_equal(before, after, size);
	free(before);
	free(after);
	free(block);
}

static void end_unpacked(ProtobufCMessage *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

static void test_copies(void **state)
{
	struct document *document = documents_read();

	for (size_t i = 0; i < document->count; i++) {
		Sluice__V1__Object *object = document->objects[i].object;
		Sluice__V1__Object *unpacked = object_copy(object);

		document->objects[i].object = NULL;
		// As the decoder makes it, and as it comes from the wire.
		check_copy(&object->base, end_unpacked);
		check_copy(&unpacked->base, end_unpacked);
	}
	document_free(document);
}

static void test_unknown_fields(void **state)
{
	// A name; field 99, a number; field 98, bytes.
	static const uint8_t data[] = {0x0a, 1, 'x', 0x98, 0x06, 5, 0x92, 0x06, 2, 'a', 'b'};
	Sluice__V1__Vrf *vrf = sluice__v1__vrf__unpack(NULL, sizeof(data), data);
	Sluice__V1__Vrf *other = sluice__v1__vrf__unpack(NULL, sizeof(data) - 5, data);

	assert_int_equal(vrf->base.n_unknown_fields, 2);
	assert_false(message_equal(&vrf->base, &other->base));
	end_unpacked(&other->base);
	check_copy(&vrf->base, end_unpacked);
}

static void test_differences(void **state)
{
	struct document *document = documents_read();
	Sluice__V1__Object *object = document->objects[5].object;
	Sluice__V1__Object *other = object_copy(object);
	const ProtobufCMessage *a = object_message(object), *b = object_message(other);
	char text[100], tight[24];

	assert_true(object_equal(object, other));
	assert_string_equal(message_difference(a, b, text, sizeof(text)), "");
	other->port->addresses[1][0] = 'e';
	assert_string_equal(message_difference(a, b, text, sizeof(text)), "addresses");
	other->port->n_security_groups--;
	other->port->device->vhost_user->queues = 3;
	other->port->mac[0] = '6';
	assert_false(object_equal(object, other));
	assert_string_equal(message_difference(a, b, text, sizeof(text)),
			    "mac,addresses,securityGroups,device");
	assert_string_equal(message_difference(a, b, tight, sizeof(tight)), "mac,addresses,…");
	other->port->n_security_groups++;
	object_free(other);
	// A member of a oneof is not the other one with the same text, and none is not an empty
	// one.
	other = document->objects[3].object;
	object = object_copy(other);
	object->security_group->rules[0]->remote->remote_case = SLUICE__V1__REMOTE__REMOTE_GROUP;
	assert_string_equal(message_difference(object_message(object), object_message(other), text,
					       sizeof(text)),
			    "rules");
	object_free(object);
	object = object_copy(other);
	object->security_group->rules[1]->has_icmp_type_case = 0;
	assert_false(object_equal(object, other));
	object_free(object);
	document_free(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

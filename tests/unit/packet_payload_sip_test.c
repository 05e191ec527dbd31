// Addresses and ports in SIP messages and session descriptions.

#include "test.h"

#include "packet/payload/sip.h"

static const char invite[] =
	"INVITE sip:bob@203.0.113.7:5062;transport=udp SIP/2.0\r\n"
	"Via: SIP/2.0/UDP 10.1.0.11:5060;branch=z9hG4bK10.1.0.11;rport=5060;received=10.1.0.11\r\n"
	"v: SIP/2.0/UDP [fd00:1::11]:5070;branch=z9hG4bK2\r\n"
	"From: \"10.1.0.11\" <sip:alice@10.1.0.11>;tag=10.1.0.11\r\n"
	"To: <sip:10.1.0.11@example.org>\r\n"
	"Call-ID: 77@10.1.0.11\r\n"
	"CONTACT : <sip:alice@10.1.0.11:5060;maddr=10.1.0.11>, <sip:10.1.0.11>\r\n"
	"Content-Type: application/sdp\r\n"
	"Content-Length: 265\r\n"
	"\r\n"
	"v=0\r\n"
	"o=alice 1 1 IN IP4 10.1.0.11\r\n"
	"s=10.1.0.11\r\n"
	"c=IN IP4 10.1.0.11\r\n"
	"t=0 0\r\n"
	"m=audio 49170 RTP/AVP 0\r\n"
	"a=rtcp:49180 IN IP4 10.1.0.11\r\n"
	"m=video 0 RTP/AVP 31\r\n"
	"m=video 51372 RTP/AVP 31\r\n"
	"c=IN IP6 fd00:1::11\r\n"
	"a=rtcp:51374\r\n"
	"m=audio 49172/2 RTP/AVP 0\r\n"
	"c=IN IP4 224.2.1.1/127\r\n";

static const struct {
	enum sip_kind kind;
	const char *text;
	const char *address;
	uint16_t port;
} found[] = {
	{SIP_HOST, "203.0.113.7:5062", "203.0.113.7", 5062},
	{SIP_HOST, "10.1.0.11:5060", "10.1.0.11", 5060},
	{SIP_RPORT, "5060", NULL, 5060},
	{SIP_HOST, "10.1.0.11", "10.1.0.11", 0},
	{SIP_HOST, "[fd00:1::11]:5070", "fd00:1::11", 5070},
	{SIP_HOST, "10.1.0.11", "10.1.0.11", 0},
	{SIP_HOST, "10.1.0.11:5060", "10.1.0.11", 5060},
	{SIP_HOST, "10.1.0.11", "10.1.0.11", 0},
	{SIP_HOST, "10.1.0.11", "10.1.0.11", 0},
	{SDP_ORIGIN, "IP4 10.1.0.11", "10.1.0.11", 0},
	{SDP_CONNECTION, "IP4 10.1.0.11", "10.1.0.11", 0},
	{SDP_MEDIA, "49170", "10.1.0.11", 49170},
	{SDP_RTCP, "49180 IN IP4 10.1.0.11", "10.1.0.11", 49180},
	{SDP_MEDIA, "0", "10.1.0.11", 0},
	{SDP_MEDIA, "51372", "fd00:1::11", 51372},
	{SDP_CONNECTION, "IP6 fd00:1::11", "fd00:1::11", 0},
	{SDP_RTCP, "51374", "fd00:1::11", 51374},
};

// In memory of just its size, so that whoever reads behind it is seen.
static bool read_text(const char *text, struct sip_message *message)
{
	uint32_t size = (uint32_t)strlen(text);
	uint8_t *copy = malloc(size ? size : 1);
	bool done;

	memcpy(copy, text, size);
	done = sip_read(copy, size, message);
	free(copy);
	return done;
}

static void test_what_is_found(void **state)
{
	struct sip_message message;
	struct ip_address address;

	assert_true(read_text(invite, &message));
	assert_true(message.is_request);
	for (unsigned int i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		const struct sip_reference *reference = &message.references[i];

		check_case(i < message.count, "no reference %u\n", i);
		check_case(reference->kind == found[i].kind &&
				   reference->size == strlen(found[i].text) &&
				   !memcmp(invite + reference->at, found[i].text, reference->size),
			   "reference %u: kind %u '%.*s'\n", i, reference->kind, reference->size,
			   invite + reference->at);
		assert_int_equal(reference->port, found[i].port);
		if (found[i].address) {
			assert_true(ip_parse(found[i].address, &address));
			check_case(ip_equal(&reference->address, &address), "reference %u\n", i);
		}
	}
	assert_int_equal(message.count, sizeof(found) / sizeof(found[0]));
	assert_int_equal(message.body_size, strlen(strstr(invite, "\r\n\r\n")) - 4);
}

// As a translator does: one address and port for another.
static void replace(struct sip_message *message, const char *from, const char *to, uint16_t port)
{
	struct ip_address address, other;

	assert_true(ip_parse(from, &address) && ip_parse(to, &other));
	for (unsigned int i = 0; i < message->count; i++) {
		struct sip_reference *reference = &message->references[i];

		if (reference->kind != SIP_RPORT && !ip_equal(&reference->address, &address))
			continue;
		// A medium without a port is refused.
		if (reference->kind == SDP_MEDIA && !reference->port)
			continue;
		reference->replaced = true;
		reference->new_address = other;
		reference->new_port = port;
	}
}

static const char translated[] =
	"INVITE sip:bob@203.0.113.7:5062;transport=udp SIP/2.0\r\n"
	"Via: SIP/2.0/UDP "
	"203.0.113.200:1024;branch=z9hG4bK10.1.0.11;rport=1024;received=203.0.113.200:1024\r\n"
	"v: SIP/2.0/UDP [fd00:1::11]:5070;branch=z9hG4bK2\r\n"
	"From: \"10.1.0.11\" <sip:alice@203.0.113.200:1024>;tag=10.1.0.11\r\n"
	"To: <sip:10.1.0.11@example.org>\r\n"
	"Call-ID: 77@10.1.0.11\r\n"
	"CONTACT : <sip:alice@203.0.113.200:1024;maddr=203.0.113.200:1024>, "
	"<sip:203.0.113.200:1024>\r\n"
	"Content-Type: application/sdp\r\n"
	"Content-Length: 275\r\n"
	"\r\n"
	"v=0\r\n"
	"o=alice 1 1 IN IP4 203.0.113.200\r\n"
	"s=10.1.0.11\r\n"
	"c=IN IP4 203.0.113.200\r\n"
	"t=0 0\r\n"
	"m=audio 1024 RTP/AVP 0\r\n"
	"a=rtcp:1024 IN IP4 203.0.113.200\r\n"
	"m=video 0 RTP/AVP 31\r\n"
	"m=video 51372 RTP/AVP 31\r\n"
	"c=IN IP6 fd00:1::11\r\n"
	"a=rtcp:51374\r\n"
	"m=audio 49172/2 RTP/AVP 0\r\n"
	"c=IN IP4 224.2.1.1/127\r\n";

static struct payload_edits edits;

static void written(const char *text, const struct sip_message *message, const char *wanted)
{
	uint32_t size = (uint32_t)strlen(text);
	uint8_t out[2 * PAYLOAD_MAX];
	int32_t length;

	edits.count = edits.used = 0;
	assert_true(sip_write(message, &edits));
	length = payload_edits_apply(&edits, (const uint8_t *)text, size, out, sizeof(out) - 1);
	assert_true(length >= 0);
	out[length] = 0;
	assert_string_equal((char *)out, wanted);
}

static void test_replaced(void **state)
{
	struct sip_message message;

	assert_true(read_text(invite, &message));
	replace(&message, "10.1.0.11", "203.0.113.200", 1024);
	written(invite, &message, translated);
}

static void test_nothing_replaced(void **state)
{
	struct sip_message message;

	assert_true(read_text(invite, &message));
	written(invite, &message, invite);
	assert_int_equal(edits.count, 0);
}

static void test_other_family(void **state)
{
	static const char text[] = "SIP/2.0 200 OK\r\n"
				   "Contact: <sip:[fd00:1::11]>\r\n"
				   "l: 46\r\n"
				   "c: application/sdp;charset=UTF-8\r\n\r\n"
				   "o=- 1 1 IN IP6 fd00:1::11\r\nc=IN IP6 fd00:1::11 ";
	static const char wanted[] = "SIP/2.0 200 OK\r\n"
				     "Contact: <sip:192.0.2.1:7>\r\n"
				     "l: 45\r\n"
				     "c: application/sdp;charset=UTF-8\r\n\r\n"
				     "o=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP6 fd00:1::11 ";
	struct sip_message message;

	assert_true(read_text(text, &message));
	assert_false(message.is_request);
	replace(&message, "fd00:1::11", "192.0.2.1", 7);
	written(text, &message, wanted);
	// The usual port need not be said.
	assert_true(read_text("SIP/2.0 200 OK\r\nm: <sip:10.1.0.11>\r\n\r\n", &message));
	replace(&message, "10.1.0.11", "fd00::1", SIP_PORT);
	written("SIP/2.0 200 OK\r\nm: <sip:10.1.0.11>\r\n\r\n", &message,
		"SIP/2.0 200 OK\r\nm: <sip:[fd00::1]>\r\n\r\n");
}

// Text that only looks like an address.
static void test_no_addresses(void **state)
{
	static const char *const values[] = {
		"<sip:10.1.0.11.example.org>",
		"<sip:a10.1.0.11>",
		"<sip:10.1.0.11@example.org>",
		"<sip:10.1.0.11:5060@example.org>",
		"<sip:10.1.0.11:secret@example.org>",
		"<sip:1.10.1.0.11>",
		"<sip:10.1.0.11.1>",
		"<sip:10.1.0>",
		"<sip:10.1.0.256>",
		"<sip:[fd00::1>",
		"<sip:[::ffff:10.1.0.11]>",
		"<sip:[fe80::10.1.0.11%25eth0]>",
		"<sip:x>;tag=10.1.0.11",
		"\"at 10.1.0.11 \\\" 10.1.0.11\" <sip:x>",
		"10.1.0.11-b",
		"",
		"<sip:[",
		"10.1.0.11:5060:1",
		"[fd00::1]10.1.0.11",
		"[fd00::1]:510.1.0.11",
		"[?][fd00::1]",
	};
	char text[256];

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct sip_message message;

		snprintf(text, sizeof(text), "SIP/2.0 200 OK\r\nFrom: %s\r\n\r\n", values[i]);
		check_case(read_text(text, &message), "%s\n", text);
		check_case(message.count == 0, "%s\n", text);
	}
}

static void test_no_messages(void **state)
{
	static const char *const texts[] = {
		"",
		"\r\n",
		"\r\n\r\n",
		"INVITE sip:bob@example.org SIP/2.0\r\n",
		"INVITE sip:bob@example.org SIP/2.0\r\nFrom: <sip:10.1.0.11>\r\n",
		"INVITE sip:bob@example.org SIP/3.0\r\n\r\n",
		"INVITE SIP/2.0\r\n\r\n",
		" SIP/2.0\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"SIP/2.0 200 OK\r\nContent-Length: 1\r\n\r\n",
		"SIP/2.0 200 OK\r\nContent-Length: 99999\r\n\r\n",
		"SIP/2.0 200 OK\r\nContent-Length: -1\r\n\r\n",
		"SIP/2.0 200 OK\r\nContent-Length: 0\r\nl: 0\r\n\r\n",
		"SIP/2.0 200 OK\r\nFrom: \"unfinished <sip:10.1.0.11>\r\n\r\n",
		"\x00\x00\x00\x00",
	};
	struct sip_message message;

	for (unsigned int i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check_case(!read_text(texts[i], &message), "%s\n", texts[i]);
}

// More than there is room for: untouched as a whole.
static void test_too_many(void **state)
{
	char text[4200] = "SIP/2.0 200 OK\r\nContact: ";
	struct sip_message message;

	for (unsigned int i = 0; i < SIP_REFERENCES_MAX; i++)
		strcat(text, "<sip:10.1.0.11>,");
	strcat(text, "\r\n");
	memcpy(text + strlen(text), "\r\n", 3);
	assert_true(read_text(text, &message));
	assert_int_equal(message.count, SIP_REFERENCES_MAX);
	replace(&message, "10.1.0.11", "203.0.113.200", 1024);
	edits.count = edits.used = 0;
	assert_true(sip_write(&message, &edits));
	strcpy(text + strlen(text) - 2, "t: 10.1.0.11\r\n\r\n");
	assert_false(read_text(text, &message));
	// And longer than is looked at.
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "SIP/2.0 ", 8);
	memcpy(text + 4100, "\r\n\r\n", 5);
	assert_false(read_text(text, &message));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_found),	 cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_nothing_replaced), cmocka_unit_test(test_other_family),
		cmocka_unit_test(test_no_addresses),	 cmocka_unit_test(test_no_messages),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

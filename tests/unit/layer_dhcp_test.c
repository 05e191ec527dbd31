// DHCP: messages read at the edge of memory, options written into all places, answers by state.

#include "test.h"

#include <arpa/inet.h>

#include "frame.h"
#include "layer/dhcp/dhcp.h"

#define MAC_CLIENT "52:54:00:00:00:01"

static uint32_t v4(const char *text)
{
	return address(text).words[3];
}

// A message with its options, as bytes behind the cookie.
static uint32_t message_make(uint8_t *data, const char *options, uint32_t size)
{
	struct mac_address client = mac(MAC_CLIENT);

	memset(data, 0, DHCP_HEADER_SIZE);
	data[0] = data[1] = 1;
	data[2] = 6;
	memcpy(data + 4, "\1\2\3\4", 4);
	memcpy(data + 28, &client, 6);
	memcpy(data + 236, "c\x82Sc", 4);
	memcpy(data + DHCP_HEADER_SIZE, options, size);
	return DHCP_HEADER_SIZE + size;
}

#define MAKE(data, options) message_make(data, options, sizeof(options) - 1)

static void test_read(void **state)
{
	uint8_t data[1024];
	struct dhcp_message message;
	uint32_t size =
		MAKE(data, "\x35\1\3\0\0\x32\4\x0a\1\0\x0b\x36\4\x0a\1\0\1\x37\3\1\3\6"
			   "\x39\2\5\xdc\x3d\3\1xy\x5d\4\0\7\0\x10\x50\0\x4d\4iPXE\xff\x35\1\x63");

	assert_true(dhcp_read(guard_put(data, size), size, &message));
	assert_int_equal(message.type, DHCP_REQUEST);
	assert_true(message.has_address && message.address == v4("10.1.0.11"));
	assert_true(message.has_server && message.server == v4("10.1.0.1"));
	assert_int_equal(message.parameters.size, 3);
	assert_int_equal(message.max_size, 1500);
	assert_int_equal(message.client_identifier.size, 3);
	assert_int_equal(message.architecture, 7);
	assert_true(message.rapid_commit && message.ipxe && message.request);
	// Whatever it is cut to, nothing is read behind it.
	for (uint32_t cut = 0; cut < size; cut++)
		dhcp_read(guard_put(data, cut), cut, &message);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *options;
		uint32_t size;
	} wrong[] = {
		{"\x35", 1},	     {"\x35\1", 2},	      {"\x35\2\1\1", 4},
		{"\x32\3\1\1\1", 5}, {"\x36\5\1\1\1\1\1", 7}, {"\x39\1\1", 3},
		{"\x34\1\4", 3},     {"\x34\1\0", 3},	      {"\x3d\1\1", 3},
		{"\x5d\3\1\1\1", 5}, {"\x37\x80\1", 3},
	};
	uint8_t data[1024];
	struct dhcp_message message;

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		uint32_t size = message_make(data, wrong[i].options, wrong[i].size);

		check_case(!dhcp_read(guard_put(data, size), size, &message), "case %u\n", i);
	}
}

// The end of a longer line: first in the options, then in the file's and the server's fields.
static void test_write(void **state)
{
	struct dhcp_writer writer;
	uint8_t message[1024] = {0}, value[400];
	struct dhcp_message again;
	uint32_t size;

	memset(value, 0x11, sizeof(value));
	dhcp_write_begin(&writer, message, 300);
	assert_true(dhcp_write(&writer, 200, value, 40));
	assert_true(dhcp_write(&writer, 201, value, 100)); // no room: the boot file's
	assert_true(dhcp_write(&writer, 202, value, 50));  // the server's name's
	assert_false(dhcp_write(&writer, 203, value, 100));
	assert_true(dhcp_write(&writer, 204, value, 10));
	message[0] = 2;
	memcpy(message + 236, "c\x82Sc", 4);
	size = dhcp_write_end(&writer);
	assert_int_equal(size, 300);
	assert_true(dhcp_read(message, size, &again));
	assert_memory_equal(message + 108, "\xc9\x64\x11", 3);
	assert_int_equal(message[108 + 102], 255);
	assert_memory_equal(message + 44, "\xca\x32\x11", 3);
	// Where the boot file has its field, it is left alone; what is long is split.
	memset(message, 0, sizeof(message));
	memcpy(message + 108, "file", 4);
	dhcp_write_begin(&writer, message, 900);
	assert_true(dhcp_write(&writer, 121, value, 400));
	assert_memory_equal(message + 240, "\x79\xff\x11", 3);
	assert_memory_equal(message + 240 + 257, "\x79\x91\x11", 3);
	assert_string_equal((const char *)message + 108, "file");
	dhcp_write_begin(&writer, message, 300);
	assert_false(dhcp_write(&writer, 121, value, 116));
	assert_true(dhcp_write(&writer, 121, value, 115));
	assert_false(dhcp_write(&writer, 121, value, 1));
}

struct answer_case {
	const char *options;
	uint32_t size;
	const char *client; // ciaddr
	enum drop_reason reason;
	uint8_t type; // of the answer, 0: none
};

#define OPTIONS(text) text, sizeof(text) - 1

static const struct answer_case answers[] = {
	{OPTIONS("\x35\1\1"), NULL, DROP_NONE, DHCP_OFFER},
	{OPTIONS("\x35\1\1\x50\0"), NULL, DROP_NONE, DHCP_ACK},
	{OPTIONS("\x35\1\3\x32\4\x0a\1\0\x0b\x36\4\x0a\1\0\1"), NULL, DROP_NONE, DHCP_ACK},
	{OPTIONS("\x35\1\3\x32\4\x0a\1\0\x0c\x36\4\x0a\1\0\1"), NULL, DROP_NONE, DHCP_NAK},
	{OPTIONS("\x35\1\3\x32\4\x0a\1\0\x0b\x36\4\x0a\1\0\2"), NULL, DROP_DHCP_UNANSWERED, 0},
	{OPTIONS("\x35\1\3\x32\4\x0a\1\0\x0b"), NULL, DROP_NONE, DHCP_ACK},
	{OPTIONS("\x35\1\3\x32\4\x0a\1\0\x0c"), NULL, DROP_NONE, DHCP_NAK},
	{OPTIONS("\x35\1\3"), "10.1.0.11", DROP_NONE, DHCP_ACK},
	{OPTIONS("\x35\1\3"), "10.1.0.12", DROP_NONE, DHCP_NAK},
	{OPTIONS("\x35\1\3"), NULL, DROP_DHCP_MALFORMED, 0},
	{OPTIONS("\x35\1\4\x32\4\x0a\1\0\x0b"), NULL, DROP_NONE, 0},
	{OPTIONS("\x35\1\7"), "10.1.0.11", DROP_NONE, 0},
	{OPTIONS("\x35\1\x8"), "10.1.0.11", DROP_NONE, DHCP_ACK},
	{OPTIONS("\x35\1\2"), NULL, DROP_DHCP_SPOOFED, 0},
	{OPTIONS("\x35\1\5"), NULL, DROP_DHCP_SPOOFED, 0},
	{OPTIONS("\x35\1\6"), NULL, DROP_DHCP_SPOOFED, 0},
	{OPTIONS("\x35\1\x0a"), NULL, DROP_DHCP_UNANSWERED, 0},
	{OPTIONS(""), NULL, DROP_DHCP_UNANSWERED, 0}, // BOOTP
};

static struct dhcp_offer offer_make(struct dhcp_subnet *subnet, struct boot *boot)
{
	*subnet = (struct dhcp_subnet){
		.server = v4("10.1.0.1"), .mask = v4("255.255.255.0"), .lease = 100, .mtu = 1450};
	memset(boot, 0, sizeof(*boot));
	return (struct dhcp_offer){.subnet = subnet,
				   .address = v4("10.1.0.11"),
				   .mac = mac(MAC_CLIENT),
				   .host_name = "web-1",
				   .boot = boot};
}

static void test_answers(void **state)
{
	struct dhcp_subnet subnet;
	struct boot boot;
	struct dhcp_offer offer = offer_make(&subnet, &boot);

	for (unsigned int i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		const struct answer_case *this = &answers[i];
		uint8_t data[1024], reply[DHCP_MESSAGE_MAX];
		uint32_t size = message_make(data, this->options, this->size);
		struct dhcp_message message, again;
		struct dhcp_answer answer;
		enum drop_reason reason;

		if (this->client)
			memcpy(data + 12, &(uint32_t){v4(this->client)}, 4);
		assert_true(dhcp_read(data, size, &message));
		reason = dhcp_answer(&offer, &message, reply, &answer);
		check_case(reason == this->reason, "case %u: %s\n", i, drop_reason_name(reason));
		check_case(!answer.size == !this->type, "case %u\n", i);
		if (!answer.size)
			continue;
		assert_true(dhcp_read(reply, answer.size, &again));
		check_case(again.type == this->type, "case %u: %u\n", i, again.type);
		assert_memory_equal(reply + 4, "\1\2\3\4", 4);
		assert_true(again.server == subnet.server);
		// The address is told where one is given, and to nobody who only wants to know.
		check_case(!memcmp(reply + 16, "\x0a\1\0\x0b", 4) ==
				   (this->type != DHCP_NAK && message.type != DHCP_INFORM),
			   "case %u\n", i);
		assert_true(again.type != DHCP_NAK || answer.broadcast);
		// A service that is off answers nobody, but spoofing stays what it is.
		offer.subnet = NULL;
		assert_int_equal(dhcp_answer(&offer, &message, reply, &answer),
				 DROP_DHCP_UNANSWERED);
		offer.subnet = &subnet;
	}
}

static void test_boot(void **state)
{
	struct boot boot = {.file = "bios", .efi_file = "efi"};
	static const uint16_t efi[] = {2, 6, 7, 9, 10, 11, 16, 19, 25, 27, 39};
	static const uint16_t others[] = {0, 5, 12, 14, 20, 21, 24, 31, 41, ARCHITECTURE_NONE};

	for (unsigned int i = 0; i < sizeof(efi) / sizeof(efi[0]); i++)
		assert_string_equal(boot_file(&boot, efi[i], false), "efi");
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_string_equal(boot_file(&boot, others[i], false), "bios");
	assert_string_equal(boot_file(&boot, 11, true), "efi");
	strcpy(boot.ipxe_file, "menu");
	assert_string_equal(boot_file(&boot, 7, true), "menu");
	boot.efi_file[0] = 0;
	assert_string_equal(boot_file(&boot, 7, false), "bios");
	strcpy(boot.url, "tftp://x");
	assert_string_equal(boot_url(&boot, true), "tftp://x");
	strcpy(boot.ipxe_file, "http://menu");
	assert_string_equal(boot_url(&boot, true), "http://menu");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),  cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_write), cmocka_unit_test(test_answers),
		cmocka_unit_test(test_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// The line that `sluice capture` prints for a packet: of broken and cut packets too.

#include "test.h"

#include "cli/packet_summary.h"

#define ETHERNET "\x52\x54\0\0\0\2\x52\x54\0\0\0\1"
#define IPV4(protocol, length)                                             \
	"\x08\0\x45\0\0" length "\0\0\0\0\x40" protocol "\0\0\x0a\1\0\x0b" \
	"\x0a\1\0\x0c"

static void is(const char *bytes, size_t size, const char *expected)
{
	char text[PACKET_SUMMARY_SIZE];
	uint8_t *copy = malloc(size + 1);

	memcpy(copy, bytes, size);
	// A copy of just this size, so that whoever reads behind it is seen.
	copy = realloc(copy, size ? size : 1);
	packet_summary(copy, size, size, text);
	assert_string_equal(text, expected);
	free(copy);
}

#define IS(bytes, expected) is(bytes, sizeof(bytes) - 1, expected)

static void test_protocols(void **state)
{
	IS(ETHERNET IPV4("\x11", "\x1e") "\0\x50\0\x51\0\x0a\0\0hi",
	   "IP 10.1.0.11.80 > 10.1.0.12.81: UDP, length 2");
	// Padding is no payload.
	IS(ETHERNET IPV4("\x11", "\x1e") "\0\x50\0\x51\0\x0a\0\0hi\0\0\0\0\0",
	   "IP 10.1.0.11.80 > 10.1.0.12.81: UDP, length 2");
	IS(ETHERNET IPV4("\x06", "\x28") "\0\x50\0\x51\0\0\0\5\0\0\0\7\x50\x02\0\x09\0\0\0\0",
	   "IP 10.1.0.11.80 > 10.1.0.12.81: Flags [S], seq 5, win 9, length 0");
	IS(ETHERNET IPV4("\x01", "\x1c") "\x08\0\0\0\0\3\0\4",
	   "IP 10.1.0.11 > 10.1.0.12: ICMP echo request, id 3, seq 4, length 8");
	IS(ETHERNET IPV4("\x01", "\x1c") "\x03\4\0\0\0\0\5\x78",
	   "IP 10.1.0.11 > 10.1.0.12: ICMP destination unreachable, code 4, mtu 1400, length 8");
	IS(ETHERNET "\x81\0\0\x64" IPV4("\x2f", "\x15") "x",
	   "vlan 100, IP 10.1.0.11 > 10.1.0.12: protocol 47, length 1");
	IS(ETHERNET "\x08\6\0\1\x08\0\6\4\0\2\x52\x54\0\0\0\1\x0a\1\0\1\0\0\0\0\0\0\x0a\1\0\2",
	   "ARP, Reply 10.1.0.1 is-at 52:54:00:00:00:01, length 28");
	IS(ETHERNET "\x88\xb5xyz", "ethertype 0x88b5, length 3");
}

static void test_tunnel(void **state)
{
	IS(ETHERNET IPV4("\x11", "\x5a") "\xc0\0\x12\xb5\0\x46\0\0\x08\0\0\0\0\x13\x89\0" ETHERNET
		   IPV4("\x11", "\x1e") "\0\x50\0\x51\0\x0a\0\0hi",
	   "IP 10.1.0.11.49152 > 10.1.0.12.4789: VXLAN, vni 5001: IP 10.1.0.11.80 > "
	   "10.1.0.12.81: UDP, length 2");
}

static void test_cut(void **state)
{
	IS("", "[|truncated]");
	IS(ETHERNET "\x08\0\x45", "[|truncated]");
	IS(ETHERNET IPV4("\x06", "\x28") "\0\x50\0\x51\0",
	   "IP 10.1.0.11.80 > 10.1.0.12.81: [|truncated]");
	IS(ETHERNET IPV4("\x06", "\x28") "\0\x50", "IP 10.1.0.11 > 10.1.0.12: [|truncated]");
}

// Whatever it is: nothing is read that is not there, and the line ends.
static void test_any(void **state)
{
	static const char *const types[] = {"\x08\0", "\x86\xdd", "\x08\6", "\x81\0"};
	struct random random = {3};

	for (unsigned int i = 0; i < 20000; i++) {
		size_t size = random_below(&random, 200);
		uint8_t *frame = malloc(size + 1);
		char text[PACKET_SUMMARY_SIZE];

		random_fill(&random, frame, size);
		if (size > 24) {
			memcpy(frame + 12, types[random_below(&random, 4)], 2);
			frame[14] = random_below(&random, 2) ? 0x45 : 0x60;
			frame[20] = frame[23] =
				(uint8_t[]){6, 17, 1, 58, 0, 44}[random_below(&random, 6)];
		}
		frame = realloc(frame, size ? size : 1);
		packet_summary(frame, size, size + random_below(&random, 100), text);
		assert_true(strlen(text) > 0 && !strchr(text, '\n'));
		free(frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

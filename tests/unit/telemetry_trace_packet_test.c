// The packet expression of `sluice trace`: what is read, and the error line for what can't be.

#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/error.h"
#include "packet/header.h"
#include "packet/packet.h"
#include "telemetry/telemetry.h"

static const struct {
	const char *text;
	uint8_t protocol;
	const char *source, *destination;
	uint16_t source_port, destination_port;
} right[] = {
	{"tcp 10.1.0.11:1234 > 10.1.0.12:80", 6, "10.1.0.11", "10.1.0.12", 1234, 80},
	{"tcp 10.1.0.11:1234>10.1.0.12:80", 6, "10.1.0.11", "10.1.0.12", 1234, 80},
	{"  tcp\t10.1.0.11:0  >\n10.1.0.12:65535  ", 6, "10.1.0.11", "10.1.0.12", 0, 65535},
	{"udp [fd00:1::11]:53 > [fd00:1::12]:5353", 17, "fd00:1::11", "fd00:1::12", 53, 5353},
	{"sctp 10.1.0.11:1 > 10.1.0.12:2", 132, "10.1.0.11", "10.1.0.12", 1, 2},
	{"icmp 10.1.0.11 > 10.1.0.12", 1, "10.1.0.11", "10.1.0.12", 0, ICMP_ECHO_REQUEST << 8},
	{"icmp fd00:1::11 > fd00:1::12", 58, "fd00:1::11", "fd00:1::12", 0,
	 ICMP6_ECHO_REQUEST << 8},
	{"icmpv6 [fd00:1::11] > fd00:1::12", 58, "fd00:1::11", "fd00:1::12", 0,
	 ICMP6_ECHO_REQUEST << 8},
	{"47 10.1.0.11 > 10.1.0.12", 47, "10.1.0.11", "10.1.0.12", 0, 0},
};

static void test_right(void **state)
{
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		struct ip_address source, destination;
		struct packet packet;
		struct error err;

		check_case(trace_packet_parse(right[i].text, &packet, &err) == 0, "%s: %s\n",
			   right[i].text, err.text);
		assert_true(ip_parse(right[i].source, &source) &&
			    ip_parse(right[i].destination, &destination));
		assert_true(ip_equal(&packet.key.source, &source) &&
			    ip_equal(&packet.source, &source));
		assert_true(ip_equal(&packet.key.destination, &destination) &&
			    ip_equal(&packet.destination, &destination));
		assert_int_equal(packet.key.protocol, right[i].protocol);
		assert_int_equal(ntohs(packet.key.source_port), right[i].source_port);
		assert_int_equal(ntohs(packet.key.destination_port), right[i].destination_port);
		assert_int_equal(packet.tcp_flags, right[i].protocol == 6 ? TCP_SYN : 0);
		assert_int_equal(packet.ttl, 64);
	}
}

#define EXAMPLE ", as in 'tcp 10.1.0.11:1234 > 10.1.0.12:80'"

static const struct {
	const char *text, *error;
} wrong[] = {
	{"", "the packet is missing" EXAMPLE},
	{" ", "the packet is missing" EXAMPLE},
	{">", "the packet is missing" EXAMPLE},
	{"ip", "'ip' is no protocol: tcp, udp, sctp, icmp or a number"},
	{"TCP 10.1.0.1:1 > 10.1.0.2:2", "'TCP' is no protocol: tcp, udp, sctp, icmp or a number"},
	{"256 10.1.0.1 > 10.1.0.2", "'256' is no protocol: tcp, udp, sctp, icmp or a number"},
	{"-1 10.1.0.1 > 10.1.0.2", "'-1' is no protocol: tcp, udp, sctp, icmp or a number"},
	{"tcp", "the source is missing" EXAMPLE},
	{"tcp > 10.1.0.2:2", "the source is missing" EXAMPLE},
	{"tcp 10.1.0.1:1", "'>' is missing behind the source"},
	{"tcp 10.1.0.1:1 10.1.0.2:2", "'>' is missing behind the source"},
	{"tcp 10.1.0.1:1 >", "the destination is missing"},
	{"tcp 10.1.0.1:1 > > 10.1.0.2:2", "the destination is missing"},
	{"tcp 10.1.0.1 > 10.1.0.2:2", "'10.1.0.1': a port is missing"},
	{"tcp 10.1.0.1: > 10.1.0.2:2", "'' is no port"},
	{"tcp 10.1.0.1:65536 > 10.1.0.2:2", "'65536' is no port"},
	{"tcp 10.1.0.1:99999999999999999999 > 10.1.0.2:2", "'99999999999999999999' is no port"},
	{"tcp 10.1.0.1:-1 > 10.1.0.2:2", "'-1' is no port"},
	{"tcp 10.1.0.1:+1 > 10.1.0.2:2", "'+1' is no port"},
	{"tcp 10.1.0.1:80x > 10.1.0.2:2", "'80x' is no port"},
	{"tcp :80 > 10.1.0.2:2", "'' is no address"},
	{"tcp 10.1.0.300:80 > 10.1.0.2:2", "'10.1.0.300' is no address"},
	{"tcp web-1:80 > 10.1.0.2:2", "'web-1' is no address"},
	{"tcp fd00::1:80 > [fd00::2]:80",
	 "'fd00::1:80': an IPv6 address with a port is [ADDRESS]:PORT"},
	{"tcp [fd00::1:80 > [fd00::2]:80",
	 "'[fd00::1:80': an IPv6 address with a port is [ADDRESS]:PORT"},
	{"tcp [fd00::1]80 > [fd00::2]:80",
	 "'[fd00::1]80': an IPv6 address with a port is [ADDRESS]:PORT"},
	{"tcp [fd00::1] > [fd00::2]:80", "'fd00::1': a port is missing"},
	{"tcp []:1 > [fd00::2]:80", "'' is no address"},
	{"icmp 10.1.0.1:8 > 10.1.0.2", "'10.1.0.1:8': this protocol has no ports"},
	{"icmp [fd00::1]:8 > fd00::2", "'fd00::1': this protocol has no ports"},
	{"icmp ::ffff:10.1.0.1 > 10.1.0.2", "'::ffff:10.1.0.1' is no address"},
	{"icmp 10.1.0.1 > fd00::2", "source and destination are of different address families"},
	{"icmp 10.1.0.1 > 10.1.0.2 more", "'more' is too much behind the destination"},
	{"icmp 10.1.0.1 > 10.1.0.2 >", "'>' is too much behind the destination"},
};

static void test_wrong(void **state)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct packet packet;
		struct error err = {""};

		check_case(trace_packet_parse(wrong[i].text, &packet, &err) == -1,
			   "'%s' was taken\n", wrong[i].text);
		check_case(strcmp(err.text, wrong[i].error) == 0, "'%s': %s\n", wrong[i].text,
			   err.text);
	}
}

// Words longer than any can be, at every place: an error, of what was given only.
static void test_long_words(void **state)
{
	static const char *const starts[] = {"", "tcp ", "tcp 10.1.0.1:1 > ",
					     "tcp 10.1.0.1:1 > 10.1.0.2:2 "};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		for (size_t size = 70; size < 2000; size += size < 90 ? 1 : 300) {
			char text[2100];
			size_t start = strlen(starts[i]);
			struct packet packet;
			struct error err = {""};

			memcpy(text, starts[i], start);
			memset(text + start, 'x', size);
			text[start + size] = 0;
			assert_int_equal(trace_packet_parse(text, &packet, &err), -1);
			assert_true(strlen(err.text) > 0 && strlen(err.text) < 160);
		}
}

// Any text at all.
static void test_random(void **state)
{
	static const char letters[] = "tcpudicmv6 0123456789.:>[]fe\t";
	struct random random = {random_seed()};

	for (unsigned int round = 0; round < 100000; round++) {
		uint32_t size = random_below(&random, 100);
		char text[128];
		struct packet packet;
		struct error err = {""};

		for (uint32_t i = 0; i < size; i++)
			text[i] = letters[random_below(&random, sizeof(letters) - 1)];
		text[size] = 0;
		if (trace_packet_parse(text, &packet, &err) < 0)
			assert_true(strlen(err.text) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

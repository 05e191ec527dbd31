// What FTP's control connection says of data connections to come.

#include "test.h"

#include "packet/payload/ftp.h"

struct ftp_case {
	const char *text;
	const char *address; // NULL: there is none in it
	uint16_t port;
	// With fd00::5 or 203.0.113.200, port 65535, by the other address's family.
	const char *replaced;
};

static const struct ftp_case client[] = {
	{"PORT 10,1,0,11,4,1\r\n", "10.1.0.11", 1025, "PORT 203,0,113,200,255,255\r\n"},
	{"port 10,1,0,11,255,255\n", "10.1.0.11", 65535, "port 203,0,113,200,255,255\n"},
	{"NOOP\r\nPORT 1,2,3,4,0,20\r\nLIST\r\n", "1.2.3.4", 20,
	 "NOOP\r\nPORT 203,0,113,200,255,255\r\nLIST\r\n"},
	{"EPRT |1|10.1.0.11|6275|\r\n", "10.1.0.11", 6275, "EPRT |1|203.0.113.200|65535|\r\n"},
	{"eprt !2!fd00:1::11!5282!\r\n", "fd00:1::11", 5282, "EPRT !2!fd00::5!65535!\r\n"},
	{"PORT 10,1,0,11,4\r\n"},
	{"PORT 10,1,0,11,4,1,1\r\n"},
	{"PORT 10,1,0,256,4,1\r\n"},
	{"PORT 10,1,0,11,0,0\r\n"},
	{"PORT 10,1,0,11,4,1x\r\n"},
	{"PORT 10,1,0,11,4,1"},
	{"PORT 10,,0,11,4,1\r\n"},
	{"PORT\r\n"},
	{"PORT \r\n"},
	{" PORT 10,1,0,11,4,1\r\n"},
	{"XPORT 10,1,0,11,4,1\r\n"},
	{"EPRT |1|fd00:1::11|5282|\r\n"},
	{"EPRT |2|10.1.0.11|5282|\r\n"},
	{"EPRT |3|10.1.0.11|5282|\r\n"},
	{"EPRT |1|10.1.0.11|0|\r\n"},
	{"EPRT |1|10.1.0.11|65536|\r\n"},
	{"EPRT |1|10.1.0.11|5282\r\n"},
	{"EPRT |1|10.1.0.11!5282|\r\n"},
	{"EPRT |2|::ffff:10.1.0.11|5282|\r\n"},
	{"EPRT 111110.1.0.111528211\r\n"},
	{"EPRT "
	 "|2|fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff|1|\r\n"},
	{"227 Entering Passive Mode (10,1,0,11,4,1)\r\n"},
	{""},
	{"\r\n"},
	{"\n\n\n"},
};

static const struct ftp_case server[] = {
	{"227 Entering Passive Mode (10,1,0,11,4,1).\r\n", "10.1.0.11", 1025,
	 "227 Entering Passive Mode (203,0,113,200,255,255).\r\n"},
	{"227 =10,1,0,11,4,1\r\n", "10.1.0.11", 1025, "227 =203,0,113,200,255,255\r\n"},
	{"229 Entering Extended Passive Mode (|||6446|)\r\n", "::", 6446,
	 "229 Entering Extended Passive Mode (|||65535|)\r\n"},
	{"229 ok (!!!1!)\r\n", "::", 1, "229 ok (!!!65535!)\r\n"},
	{"227 Entering Passive Mode (10,1,0,11,4)\r\n"},
	{"227-Entering Passive Mode (10,1,0,11,4,1)\r\n"},
	{"227 Entering Passive Mode\r\n"},
	{"229 Entering Extended Passive Mode (|||6446)\r\n"},
	{"229 Entering Extended Passive Mode (||6446|)\r\n"},
	{"229 Entering Extended Passive Mode (|1|10.1.0.11|6446|)\r\n"},
	{"229 Entering Extended Passive Mode (|||0|)\r\n"},
	{"229 Entering Extended Passive Mode (|||65536|)\r\n"},
	{"229 Entering Extended Passive Mode (|||6446|\r\n"},
	{"229 Entering Extended Passive Mode (\r\n"},
	{"220 (10,1,0,11,4,1)\r\n"},
	{"PORT 10,1,0,11,4,1\r\n"},
};

static struct payload_edits edits;

static void try_case(const struct ftp_case *what, bool from_client)
{
	uint32_t size = (uint32_t)strlen(what->text), from = 0;
	struct ftp_endpoint endpoint;
	struct ip_address address, other;
	// No byte behind it may be read.
	uint8_t *text = malloc(size ? size : 1), out[256];
	bool found;

	memcpy(text, what->text, size);
	found = ftp_find(text, size, &from, from_client, &endpoint);
	check_case(found == (what->address != NULL), "%s\n", what->text);
	if (found) {
		assert_true(ip_parse(what->address, &address));
		check_case(ip_equal(&endpoint.address, &address), "%s\n", what->text);
		assert_int_equal(endpoint.port, what->port);
		assert_true(ip_parse(strchr(what->address, ':') && endpoint.port != 6446
					     ? "fd00::5"
					     : "203.0.113.200",
				     &other));
		edits.count = edits.used = 0;
		check_case(ftp_replace(&endpoint, &other, 65535, &edits), "%s\n", what->text);
		assert_int_equal(payload_edits_apply(&edits, text, size, out, sizeof(out)),
				 strlen(what->replaced));
		assert_memory_equal(out, what->replaced, strlen(what->replaced));
		assert_false(ftp_find(text, size, &from, from_client, &endpoint));
	}
	free(text);
}

static void test_client(void **state)
{
	for (unsigned int i = 0; i < sizeof(client) / sizeof(client[0]); i++)
		try_case(&client[i], true);
}

static void test_server(void **state)
{
	for (unsigned int i = 0; i < sizeof(server) / sizeof(server[0]); i++)
		try_case(&server[i], false);
}

static void test_several(void **state)
{
	static const char text[] =
		"PORT 1,2,3,4,0,1\r\nPORT 1,2,3,4\r\nPORT 1,2,3,4,0,2\r\nPORT 1,";
	struct ftp_endpoint endpoint;
	uint32_t from = 0;

	for (uint16_t port = 1; port < 3; port++) {
		assert_true(
			ftp_find((const uint8_t *)text, sizeof(text) - 1, &from, true, &endpoint));
		assert_int_equal(endpoint.port, port);
	}
	assert_false(ftp_find((const uint8_t *)text, sizeof(text) - 1, &from, true, &endpoint));
	from = 1000;
	assert_false(ftp_find((const uint8_t *)text, sizeof(text) - 1, &from, true, &endpoint));
}

// RFC 6384: a client with IPv6 alone, a server with IPv4 alone.
static void test_other_family(void **state)
{
	static const char text[] = "EPRT |2|fd00::1|5282|\r\n", wanted[] = "PORT 192,0,2,1,1,2\r\n";
	static const char four[] = "PORT 192,0,2,1,1,2\r\n";
	struct ftp_endpoint endpoint;
	struct ip_address address;
	uint32_t from = 0;
	uint8_t out[64];

	assert_true(ip_parse("192.0.2.1", &address));
	assert_true(ftp_find((const uint8_t *)text, sizeof(text) - 1, &from, true, &endpoint));
	edits.count = edits.used = 0;
	assert_true(ftp_replace(&endpoint, &address, 258, &edits));
	assert_int_equal(payload_edits_apply(&edits, (const uint8_t *)text, sizeof(text) - 1, out,
					     sizeof(out)),
			 sizeof(wanted) - 1);
	assert_memory_equal(out, wanted, sizeof(wanted) - 1);
	// The other way round there is no form for it.
	from = 0;
	assert_true(ftp_find((const uint8_t *)four, sizeof(four) - 1, &from, true, &endpoint));
	assert_true(ip_parse("fd00::1", &address));
	assert_false(ftp_replace(&endpoint, &address, 258, &edits));
}

static void test_cut(void **state)
{
	static const struct {
		const char *text;
		bool client, server;
	} cases[] = {
		{"", false, false},
		{"EPRT |1|10.1.0.11|6446|\r\n", false, false},
		{"EPRT |1|10.1", true, false},
		{"NOOP\r\nport", true, false},
		{"EPR", true, false},
		// That may be anything still.
		{"EP", false, false},
		{"EPSV", false, false},
		{"PORTAL", false, false},
		{"NOOP", false, false},
		{"227 Entering", false, true},
		{"220 hello\r\n229", false, true},
		{"2299", false, false},
		{"226 done", false, false},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t size = (uint32_t)strlen(cases[i].text);
		uint8_t *text = malloc(size ? size : 1);

		memcpy(text, cases[i].text, size);
		check_case(ftp_is_cut(text, size, true) == cases[i].client, "%s\n", cases[i].text);
		check_case(ftp_is_cut(text, size, false) == cases[i].server, "%s\n", cases[i].text);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),	cmocka_unit_test(test_server),
		cmocka_unit_test(test_several), cmocka_unit_test(test_other_family),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

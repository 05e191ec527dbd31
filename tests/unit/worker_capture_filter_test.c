// The filter of captures, beside libpcap's own: the same program on the same bytes says the same,
// wherever the bytes lie.

#include "test.h"

#include <pcap/pcap.h>
#include <rte_mbuf.h>

#include "worker/capture_filter.h"

#define FRAME_MAX 2048

// A packet in two buffers.
struct chain {
	struct rte_mbuf first, second;
	uint8_t bytes[2][FRAME_MAX];
};

static struct rte_mbuf *chain_make(struct chain *chain, const uint8_t *frame, uint32_t length,
				   uint32_t head)
{
	memset(&chain->first, 0, sizeof(chain->first));
	memset(&chain->second, 0, sizeof(chain->second));
	memcpy(chain->bytes[0], frame, head);
	memcpy(chain->bytes[1], frame + head, length - head);
	chain->first.buf_addr = chain->bytes[0];
	chain->first.data_len = (uint16_t)head;
	chain->first.pkt_len = length;
	chain->first.next = &chain->second;
	chain->first.nb_segs = 2;
	chain->second.buf_addr = chain->bytes[1];
	chain->second.data_len = (uint16_t)(length - head);
	return &chain->first;
}

static void same(const struct bpf_program *program, const uint8_t *frame, uint32_t length)
{
	static struct chain chain;
	struct pcap_pkthdr header = {.caplen = length, .len = length};
	bool expected = pcap_offline_filter(program, &header, frame);
	const uint32_t heads[] = {length, length / 2, length < 15 ? 0 : 15, 0};
	uint32_t at;

	assert_null(capture_filter_check((const struct sock_filter *)(void *)program->bf_insns,
					 program->bf_len, &at));
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		assert_int_equal(
			capture_filter_run((const struct sock_filter *)(void *)program->bf_insns,
					   chain_make(&chain, frame, length, heads[i])),
			expected);
}

static const char *const expressions[] = {
	"",
	"tcp",
	"udp port 80",
	"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
	"ip6 and not icmp6",
	"host 10.1.0.11 or host fd00:1::11",
	"net 10.0.0.0/8 and src port 1000",
	"portrange 10-2000",
	"greater 100 and less 1000",
	"ether src 52:54:00:00:00:01 or broadcast",
	"ip[2:2] > 100 and ip[6:2] & 0x1fff = 0",
	"(ip[8] - 1) * 3 / 2 % 7 != 4 and ether[0] >> 2 << 1 ^ 5 > 3",
	"ether[len - 1] = 0",
	"vlan 100 and udp",
	"udp[len] = 1",
	"icmp[icmptype] = icmp-echo",
	"arp",
	"ether proto 0x88b5",
	"host fd00::1 or host fd00::2 or host fd00::3 or host fd00::4 or host fd00::5 or host "
	"fd00::6 or host fd00::7 or host fd00::8",
};

// Frames of which some match.
static uint32_t frame_random(struct random *random, uint8_t *frame)
{
	static const uint8_t heads[][14] = {
		{0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x08, 0x00},
		{0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x86, 0xdd},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0, 0, 1, 0x08, 0x06},
		{0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 0x81, 0x00},
	};
	static const uint8_t protocols[] = {6, 17, 1, 58, 132};
	static const uint16_t ports[] = {80, 1000, 7, 40000};
	uint32_t length = random_below(random, 4) ? 14 + random_below(random, 1400)
						  : random_below(random, 80);
	uint8_t *ip = frame + 14, *l4;

	random_fill(random, frame, FRAME_MAX);
	memcpy(frame, heads[random_below(random, 4)], 14);
	if (frame[12] == 0x81) {
		memcpy(frame + 14, (uint8_t[]){0, 100, 8, 0}, 4);
		ip += 4;
	}
	l4 = ip + 40;
	if (ip[-1] == 0) {
		ip[0] = 0x45;
		ip[6] = ip[7] = 0;
		ip[9] = protocols[random_below(random, 5)];
		memcpy(ip + 12, (uint8_t[]){10, 1, 0, (uint8_t)(10 + random_below(random, 3))}, 4);
		l4 = ip + 20;
	} else {
		ip[0] = 0x60;
		ip[6] = protocols[random_below(random, 5)];
	}
	for (unsigned int i = 0; i < 2; i++) {
		uint16_t port = ports[random_below(random, 4)];

		l4[i * 2] = (uint8_t)(port >> 8);
		l4[i * 2 + 1] = (uint8_t)port;
	}
	return length;
}

static void test_beside_libpcap(void **state)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 262144);
	struct random random = {1};
	uint8_t frame[FRAME_MAX];

	for (size_t i = 0; i < sizeof(expressions) / sizeof(*expressions); i++) {
		struct bpf_program program;

		if (pcap_compile(pcap, &program, expressions[i], 1, PCAP_NETMASK_UNKNOWN) < 0)
			fail_msg("%s: %s", expressions[i], pcap_geterr(pcap));
		for (unsigned int j = 0; j < 300; j++) {
			uint32_t length = frame_random(&random, frame);

			same(&program, frame, length);
		}
		pcap_freecode(&program);
	}
	pcap_close(pcap);
}

static const char *wrong(const struct sock_filter *program, uint32_t count)
{
	uint32_t at;

	return capture_filter_check(program, count, &at);
}

static void test_what_cant_be_run(void **state)
{
	static const struct sock_filter end = BPF_STMT(BPF_RET | BPF_K, 1);
	const struct sock_filter bad[] = {
		BPF_STMT(BPF_LD | BPF_MEM, 16),
		BPF_STMT(BPF_LDX | BPF_MEM, 16),
		BPF_STMT(BPF_ST, 16),
		BPF_STMT(BPF_STX, UINT32_MAX),
		BPF_STMT(BPF_JMP | BPF_JA, 1),
		BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 255),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 0),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
		BPF_STMT(BPF_ALU | 0xb0, 1),
		BPF_STMT(BPF_LD | BPF_MSH | BPF_B, 1),
		BPF_STMT(BPF_MISC | 0x10, 0),
		BPF_STMT(0x1000 | BPF_RET, 0),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const struct sock_filter program[] = {bad[i], end};

		assert_non_null(wrong(program, 2));
	}
	assert_null(wrong(&end, 1));
	assert_non_null(wrong(&end, 0));
	// Behind the last instruction there is none.
	assert_non_null(wrong(&(struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 1), 1));
}

// What libpcap's compiler never makes.
static void test_ends_of_programs(void **state)
{
	static struct chain chain;
	static const uint8_t frame[20];
	struct rte_mbuf *mbuf = chain_make(&chain, frame, 20, 10);
	const struct sock_filter divides[] = {
		BPF_STMT(BPF_LDX | BPF_IMM, 0),
		BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	const struct sock_filter shifts[] = {
		BPF_STMT(BPF_LD | BPF_IMM, 1),
		BPF_STMT(BPF_LDX | BPF_IMM, 40),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	const struct sock_filter far[] = {
		BPF_STMT(BPF_LDX | BPF_IMM, UINT32_MAX),
		BPF_STMT(BPF_LD | BPF_B | BPF_IND, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 1),
	};
	const struct sock_filter memory[] = {
		BPF_STMT(BPF_LD | BPF_LEN, 0),	 BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LDX | BPF_MEM, 3),	 BPF_STMT(BPF_LD | BPF_IMM, 0),
		BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 20, 0, 1),
		BPF_STMT(BPF_RET | BPF_A, 0),	 BPF_STMT(BPF_RET | BPF_K, 0),
	};

	assert_null(wrong(divides, 3));
	assert_false(capture_filter_run(divides, mbuf));
	assert_null(wrong(shifts, 4));
	assert_false(capture_filter_run(shifts, mbuf));
	assert_null(wrong(far, 3));
	assert_false(capture_filter_run(far, mbuf));
	assert_null(wrong(memory, 8));
	assert_true(capture_filter_run(memory, mbuf));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside_libpcap),
		cmocka_unit_test(test_what_cant_be_run),
		cmocka_unit_test(test_ends_of_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

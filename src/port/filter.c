// Filter programs, put together instruction by instruction: a compiler for BPF is not needed.

#include "port/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "port/claims.h"

#define ETHERTYPE    12
#define IPV4_DST     30
#define ARP_TARGET   38
#define IPV6_NEXT    20
#define IPV6_DST     38
#define ND_TYPE	     54
#define ND_TARGET    62
#define PROGRAM_SIZE 256
#define NO_CONDITION UINT16_MAX
// Since 6.6; bookworm's headers are older.
#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define TCX_NEXT    (-1)

static void rule_add(struct filter_rule *rule, uint16_t offset, uint8_t size, uint32_t value)
{
	rule->conditions[rule->condition_count++] = (struct filter_condition){offset, size, value};
}

static void rule_add_address(struct filter_rule *rule, uint16_t offset, const uint8_t bytes[16])
{
	uint32_t word;
	int i;

	for (i = 0; i < 4; i++) {
		memcpy(&word, bytes + i * 4, sizeof(word));
		rule_add(rule, (uint16_t)(offset + i * 4), 4, ntohl(word));
	}
}

void filter_init(struct filter *filter, const struct ip_address *vtep, const struct claims *claims)
{
	uint8_t solicited[16] = {0xff, 0x02, [11] = 1, [12] = 0xff};
	struct filter_rule *rule = filter->rules;

	memset(filter, 0, sizeof(*filter));
	if (!vtep)
		return;
	filter->claims = claims;
	filter->rule_count = 2;
	if (ip_is_v4(vtep)) {
		rule_add(rule, ETHERTYPE, 2, 0x0800);
		rule_add(rule, IPV4_DST, 4, ntohl(vtep->words[3]));
		rule++;
		rule_add(rule, ETHERTYPE, 2, 0x0806);
		rule_add(rule, ARP_TARGET, 4, ntohl(vtep->words[3]));
		return;
	}
	rule_add(rule, ETHERTYPE, 2, 0x86dd);
	rule_add_address(rule, IPV6_DST, vtep->bytes);
	rule++;
	// Other addresses, the kernel's among them, may share the multicast group.
	memcpy(solicited + 13, vtep->bytes + 13, 3);
	rule_add(rule, ETHERTYPE, 2, 0x86dd);
	rule_add_address(rule, IPV6_DST, solicited);
	rule_add(rule, IPV6_NEXT, 1, 58);
	rule_add(rule, ND_TYPE, 1, 135);
	rule_add_address(rule, ND_TARGET, vtep->bytes);
}

uint16_t filter_classic(const struct filter *filter, struct sock_filter program[])
{
	const struct filter_condition *condition;
	const struct filter_rule *rule;
	uint16_t length = 0, i, j;

	// A tag that the kernel took out of the frame.
	program[length++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT));
	program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
	program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	for (i = 0; i < filter->rule_count; i++) {
		rule = &filter->rules[i];
		for (j = 0; j < rule->condition_count; j++) {
			condition = &rule->conditions[j];
			program[length++] = (struct sock_filter)BPF_STMT(
				BPF_LD | BPF_ABS |
					(condition->size == 4	? BPF_W
					 : condition->size == 2 ? BPF_H
								: BPF_B),
				condition->offset);
			// To the next rule: over this rule's other conditions and its return.
			program[length++] = (struct sock_filter)BPF_JUMP(
				BPF_JMP | BPF_JEQ | BPF_K, condition->value, 0,
				(uint8_t)((rule->condition_count - 1 - j) * 2 + 1));
		}
		program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	}
	program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
	return length;
}

struct assembler {
	struct bpf_insn code[PROGRAM_SIZE];
	uint16_t length;
};

static uint16_t emit(struct assembler *assembler, uint8_t code, uint8_t to, uint8_t from,
		     int16_t offset, int32_t value)
{
	assembler->code[assembler->length] = (struct bpf_insn){
		.code = code, .dst_reg = to, .src_reg = from, .off = offset, .imm = value};
	return assembler->length++;
}

static void jump_here(struct assembler *assembler, uint16_t jump)
{
	assembler->code[jump].off = (int16_t)(assembler->length - jump - 1);
}

// The value as it stands in memory, read as a number of this machine.
static int32_t memory_value(const struct filter_condition *condition)
{
	if (condition->size == 4)
		return (int32_t)htonl(condition->value);
	if (condition->size == 2)
		return htons((uint16_t)condition->value);
	return (int32_t)condition->value;
}

// Tests the packet between r2 and r3 against one rule. Records the jumps that are taken if it
// fails.
static uint16_t rule_emit(struct assembler *assembler, const struct filter_rule *rule,
			  uint16_t failed[])
{
	const struct filter_condition *condition;
	uint16_t count = 0, end = 0, i;

	for (i = 0; i < rule->condition_count; i++) {
		condition = &rule->conditions[i];
		if (condition->offset + condition->size > end)
			end = (uint16_t)(condition->offset + condition->size);
	}
	emit(assembler, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_2, 0, 0);
	emit(assembler, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_4, 0, 0, end);
	failed[count++] = emit(assembler, BPF_JMP | BPF_JGT | BPF_X, BPF_REG_4, BPF_REG_3, 0, 0);
	for (i = 0; i < rule->condition_count; i++) {
		condition = &rule->conditions[i];
		emit(assembler,
		     (uint8_t)(BPF_LDX | BPF_MEM |
			       (condition->size == 4   ? BPF_W
				: condition->size == 2 ? BPF_H
						       : BPF_B)),
		     BPF_REG_5, BPF_REG_2, (int16_t)condition->offset, 0);
		failed[count++] = emit(assembler, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_5, 0, 0,
				       memory_value(condition));
	}
	return count;
}

// Code that goes on behind it for Sluice's packets, and returns `other` for the rest.
static void match_emit(struct assembler *assembler, const struct filter *filter, int32_t other)
{
	uint16_t matched[FILTER_RULES_MAX], failed[FILTER_CONDITIONS_MAX + 1], count, i, j;

	for (i = 0; i < filter->rule_count; i++) {
		count = rule_emit(assembler, &filter->rules[i], failed);
		matched[i] = emit(assembler, BPF_JMP | BPF_JA, 0, 0, 0, 0);
		for (j = 0; j < count; j++)
			jump_here(assembler, failed[j]);
	}
	if (filter->rule_count == 0)
		return;
	emit(assembler, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, other);
	emit(assembler, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (i = 0; i < filter->rule_count; i++)
		jump_here(assembler, matched[i]);
}

static int program_load(enum bpf_prog_type type, enum bpf_attach_type attach,
			const struct assembler *assembler, struct error *err)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach);
	int fd;

	fd = bpf_prog_load(type, "sluice", "Apache-2.0", assembler->code, assembler->length,
			   &options);
	if (fd < 0) {
		errno = -fd;
		return error_errno(err, "BPF program");
	}
	return fd;
}

// Reads as the classic program does: beyond the frame's end is not Sluice's.
int filter_load_socket(const struct filter *filter, struct error *err)
{
	struct assembler assembler = {.length = 0};
	uint16_t failed[FILTER_CONDITIONS_MAX], tagged, i, j;

	if (filter->claims)
		return claims_load_socket(filter->claims, err);
	// r6: context, a struct __sk_buff; r0: what is read, in this machine's byte order.
	emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_6,
	     offsetof(struct __sk_buff, vlan_present), 0);
	tagged = emit(&assembler, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_0, 0, 0, 0);
	for (i = 0; i < filter->rule_count; i++) {
		const struct filter_rule *rule = &filter->rules[i];

		for (j = 0; j < rule->condition_count; j++) {
			const struct filter_condition *condition = &rule->conditions[j];

			emit(&assembler,
			     (uint8_t)(BPF_LD | BPF_ABS |
				       (condition->size == 4   ? BPF_W
					: condition->size == 2 ? BPF_H
							       : BPF_B)),
			     0, 0, 0, condition->offset);
			failed[j] = emit(&assembler, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_0, 0, 0,
					 (int32_t)condition->value);
		}
		emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, -1);
		emit(&assembler, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		for (j = 0; j < rule->condition_count; j++)
			jump_here(&assembler, failed[j]);
	}
	jump_here(&assembler, tagged);
	emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	emit(&assembler, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return program_load(BPF_PROG_TYPE_SOCKET_FILTER, 0, &assembler, err);
}

int filter_load_xdp(const struct filter *filter, int map_fd, struct error *err)
{
	struct assembler assembler = {.length = 0};

	if (filter->claims)
		return claims_load_xdp(filter->claims, map_fd, err);
	// r6: context, a struct xdp_md; r2, r3: beginning and end of the frame.
	emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6,
	     offsetof(struct xdp_md, data), 0);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_6,
	     offsetof(struct xdp_md, data_end), 0);
	match_emit(&assembler, filter, XDP_PASS);
	emit(&assembler, BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd);
	emit(&assembler, 0, 0, 0, 0, 0);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6,
	     offsetof(struct xdp_md, rx_queue_index), 0);
	// A workload's packet never passes to the kernel, not even from a queue without a socket.
	emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0,
	     filter->rule_count ? XDP_PASS : XDP_DROP);
	emit(&assembler, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map);
	emit(&assembler, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return program_load(BPF_PROG_TYPE_XDP, BPF_XDP, &assembler, err);
}

static int attach(int program, unsigned int interface_index, uint32_t hook)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.link_create.prog_fd = (uint32_t)program;
	attributes.link_create.target_ifindex = interface_index;
	attributes.link_create.attach_type = hook;
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
}

int filter_attach_ingress(int program, unsigned int interface_index, struct error *err)
{
	int link = attach(program, interface_index, TCX_INGRESS);

	return link < 0 ? error_errno(err, "BPF program at ingress") : link;
}

int filter_attach_egress(int program, unsigned int interface_index, struct error *err)
{
	int link = attach(program, interface_index, TCX_EGRESS);

	return link < 0 ? error_errno(err, "BPF program at egress") : link;
}

static int guard_load(const struct filter *filter, struct error *err)
{
	struct assembler assembler = {.length = 0};

	if (filter->claims)
		return claims_load_guard(filter->claims, err);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1,
	     offsetof(struct __sk_buff, data), 0);
	emit(&assembler, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1,
	     offsetof(struct __sk_buff, data_end), 0);
	match_emit(&assembler, filter, TCX_NEXT);
	emit(&assembler, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, TC_ACT_SHOT);
	emit(&assembler, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return program_load(BPF_PROG_TYPE_SCHED_CLS, 0, &assembler, err);
}

int filter_keep_from_kernel(const struct filter *filter, unsigned int interface_index,
			    struct error *err)
{
	int program = guard_load(filter, err), link;

	if (program < 0)
		return -1;
	link = filter_attach_ingress(program, interface_index, err);
	close(program);
	return link;
}

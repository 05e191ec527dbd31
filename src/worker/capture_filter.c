#include "worker/capture_filter.h"

#include <stddef.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

static bool load_is_known(uint16_t code)
{
	switch (code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_IMM:
	case BPF_LDX | BPF_MEM:
	case BPF_LDX | BPF_B | BPF_MSH:
		return true;
	default:
		return false;
	}
}

static const char *check_memory(const struct sock_filter *one)
{
	return one->k < BPF_MEMWORDS ? NULL : "there is no such memory";
}

static const char *check_arithmetic(const struct sock_filter *one)
{
	uint16_t operation = BPF_OP(one->code);

	if (one->code & ~(0xf0 | BPF_X | 7) || operation > BPF_XOR)
		return "unknown operation";
	if (BPF_SRC(one->code) == BPF_K) {
		if ((operation == BPF_DIV || operation == BPF_MOD) && one->k == 0)
			return "division by zero";
		if ((operation == BPF_LSH || operation == BPF_RSH) && one->k > 31)
			return "shift by more than 31 bits";
	}
	return NULL;
}

// `left`: instructions behind it.
static const char *check_jump(const struct sock_filter *one, uint32_t left)
{
	switch (BPF_OP(one->code)) {
	case BPF_JA:
		return one->code == (BPF_JMP | BPF_JA) && one->k < left ? NULL : "jump to nowhere";
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return !(one->code & ~(0xf0 | BPF_X | 7)) && one->jt < left && one->jf < left
			       ? NULL
			       : "jump to nowhere";
	default:
		return "unknown comparison";
	}
}

static const char *check_one(const struct sock_filter *one, uint32_t left)
{
	switch (BPF_CLASS(one->code)) {
	case BPF_LD:
	case BPF_LDX:
		if (!load_is_known(one->code))
			return "unknown load";
		return BPF_MODE(one->code) == BPF_MEM ? check_memory(one) : NULL;
	case BPF_ST:
	case BPF_STX:
		if (one->code != BPF_ST && one->code != BPF_STX)
			return "unknown store";
		return check_memory(one);
	case BPF_ALU:
		return check_arithmetic(one);
	case BPF_JMP:
		return check_jump(one, left);
	case BPF_RET:
		return one->code == (BPF_RET | BPF_K) || one->code == (BPF_RET | BPF_A)
			       ? NULL
			       : "unknown return";
	default:
		return one->code == (BPF_MISC | BPF_TAX) || one->code == (BPF_MISC | BPF_TXA)
			       ? NULL
			       : "unknown instruction";
	}
}

const char *capture_filter_check(const struct sock_filter *program, uint32_t count, uint32_t *at)
{
	*at = 0;
	if (count == 0)
		return "it is empty";
	if (count > CAPTURE_FILTER_MAX)
		return "it is too long";
	for (; *at < count; (*at)++) {
		const char *wrong = check_one(&program[*at], count - 1 - *at);

		if (wrong)
			return wrong;
	}
	// Jumps lead forward only, so this is reached at last.
	*at = count - 1;
	return BPF_CLASS(program[*at].code) == BPF_RET ? NULL : "it does not end";
}

// `size` bytes of the packet as a number. False: there are not so many.
static inline bool load(const struct rte_mbuf *mbuf, uint64_t offset, uint16_t code,
			uint32_t *value)
{
	uint32_t size = BPF_SIZE(code) == BPF_W ? 4 : BPF_SIZE(code) == BPF_H ? 2 : 1;
	uint8_t copy[4];
	const uint8_t *bytes;

	if (offset + size > mbuf->pkt_len)
		return false;
	bytes = rte_pktmbuf_read(mbuf, (uint32_t)offset, size, copy);
	if (size == 4)
		*value = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
			 (uint32_t)bytes[2] << 8 | bytes[3];
	else
		*value = size == 2 ? (uint32_t)bytes[0] << 8 | bytes[1] : bytes[0];
	return true;
}

// False: division by zero, which ends the program.
static inline bool compute(uint16_t operation, uint32_t *a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD:
		*a += b;
		break;
	case BPF_SUB:
		*a -= b;
		break;
	case BPF_MUL:
		*a *= b;
		break;
	case BPF_DIV:
		if (b == 0)
			return false;
		*a /= b;
		break;
	case BPF_MOD:
		if (b == 0)
			return false;
		*a %= b;
		break;
	case BPF_OR:
		*a |= b;
		break;
	case BPF_AND:
		*a &= b;
		break;
	case BPF_XOR:
		*a ^= b;
		break;
	case BPF_LSH:
		*a = b < 32 ? *a << b : 0;
		break;
	case BPF_RSH:
		*a = b < 32 ? *a >> b : 0;
		break;
	default: // BPF_NEG
		*a = 0 - *a;
		break;
	}
	return true;
}

static inline bool compare(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default: // BPF_JSET
		return a & b;
	}
}

bool capture_filter_run(const struct sock_filter *program, const struct rte_mbuf *mbuf)
{
	uint32_t a = 0, x = 0, value, memory[BPF_MEMWORDS] = {0};

	for (const struct sock_filter *one = program;; one++) {
		uint32_t operand = BPF_SRC(one->code) == BPF_X ? x : one->k;

		switch (BPF_CLASS(one->code)) {
		case BPF_LD:
			switch (BPF_MODE(one->code)) {
			case BPF_ABS:
				if (!load(mbuf, one->k, one->code, &a))
					return false;
				break;
			case BPF_IND:
				if (!load(mbuf, (uint64_t)one->k + x, one->code, &a))
					return false;
				break;
			case BPF_LEN:
				a = mbuf->pkt_len;
				break;
			case BPF_MEM:
				a = memory[one->k];
				break;
			default:
				a = one->k;
				break;
			}
			break;
		case BPF_LDX:
			switch (BPF_MODE(one->code)) {
			case BPF_MSH:
				if (!load(mbuf, one->k, BPF_B, &value))
					return false;
				x = (value & 15) * 4;
				break;
			case BPF_LEN:
				x = mbuf->pkt_len;
				break;
			case BPF_MEM:
				x = memory[one->k];
				break;
			default:
				x = one->k;
				break;
			}
			break;
		case BPF_ST:
			memory[one->k] = a;
			break;
		case BPF_STX:
			memory[one->k] = x;
			break;
		case BPF_ALU:
			if (!compute(BPF_OP(one->code), &a, operand))
				return false;
			break;
		case BPF_JMP:
			if (BPF_OP(one->code) == BPF_JA)
				one += one->k;
			else
				one += compare(BPF_OP(one->code), a, operand) ? one->jt : one->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(one->code) == BPF_A ? a : one->k;
		default:
			if (BPF_MISCOP(one->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		}
	}
}

#include "layer/nat/ports.h"

// Ports with the wrong share that are passed over, and shared ones that are tried, before it is
// given up: what a first packet may cost.
#define CHOICES_MAX 1024
#define SHARES_MAX  64

#define EVEN 0x5555555555555555

enum nat_protocol nat_protocol_of(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return NAT_TCP;
	case IPPROTO_UDP:
		return NAT_UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return NAT_ICMP;
	case IPPROTO_SCTP:
		return NAT_SCTP;
	default:
		return NAT_WITHOUT_PORTS;
	}
}

static inline uint16_t owner_of(const struct nat_ports *ports, uint32_t block)
{
	return atomic_load_explicit(&ports->owner[block], memory_order_relaxed);
}

static inline uint32_t shift_of(const struct nat_ports *ports)
{
	return atomic_load_explicit(&ports->block_shift, memory_order_relaxed);
}

static inline uint32_t first_block(uint32_t shift)
{
	return (NAT_PORT_FIRST + (1u << shift) - 1) >> shift;
}

static inline uint32_t end_block(uint32_t shift)
{
	return NAT_PORTS >> shift;
}

uint32_t nat_ports_blocks(const struct nat_ports *ports)
{
	uint32_t shift = shift_of(ports);

	return end_block(shift) - first_block(shift);
}

static bool suits(const struct nat_wish *wish, uint32_t port)
{
	uint16_t share = flow_hash_share(wish->secret, &wish->address, htons((uint16_t)port));

	return ((share ^ wish->share) & wish->share_mask) == 0;
}

static bool is_free(const struct nat_wish *wish, uint32_t port)
{
	return !wish->is_free ||
	       wish->is_free(wish->context, &wish->address, htons((uint16_t)port));
}

// The first port of a word of 64 that suits, from bit `from` on and then from the beginning.
static uint32_t choose_in_word(const struct nat_ports *ports, const struct nat_wish *wish,
			       uint32_t word, uint32_t from, uint64_t among, uint32_t *choices)
{
	uint64_t left =
		~atomic_load_explicit(&ports->taken[wish->protocol][word], memory_order_relaxed) &
		among;

	for (unsigned int half = 0; half < 2; half++) {
		uint64_t behind = ~UINT64_C(0) << from;

		for (uint64_t bits = left & (half ? ~behind : behind); bits && *choices;
		     bits &= bits - 1) {
			uint32_t port = word * 64 + (uint32_t)__builtin_ctzll(bits);

			--*choices;
			if (suits(wish, port) && is_free(wish, port))
				return port;
		}
	}
	return 0;
}

static uint32_t choose_in_block(const struct nat_ports *ports, const struct nat_wish *wish,
				uint32_t block, uint64_t among, uint32_t *choices)
{
	uint32_t words = 1u << (wish->block_shift - 6);
	uint32_t start = (uint32_t)(wish->seed >> 6), from = (uint32_t)wish->seed % 64;

	for (uint32_t i = 0; i < words && *choices; i++) {
		uint32_t word = block * words + (start + i) % words;
		uint32_t port = choose_in_word(ports, wish, word, from, among, choices);

		if (port)
			return port;
	}
	return 0;
}

// In the owner's blocks: first where it found one last.
static uint32_t choose_owned(const struct nat_ports *ports, const struct nat_wish *wish,
			     uint64_t among, uint32_t *choices)
{
	uint32_t hint = atomic_load_explicit(&ports->hint[wish->owner & 255], memory_order_relaxed);
	uint32_t port = 0;

	if (hint < end_block(wish->block_shift) && owner_of(ports, hint) == wish->owner)
		port = choose_in_block(ports, wish, hint, among, choices);
	for (uint32_t i = first_block(wish->block_shift);
	     !port && i < end_block(wish->block_shift) && *choices; i++)
		if (i != hint && owner_of(ports, i) == wish->owner)
			port = choose_in_block(ports, wish, i, among, choices);
	return port;
}

static uint32_t choose_new_block(const struct nat_ports *ports, const struct nat_wish *wish,
				 uint64_t among, uint32_t *choices)
{
	uint32_t first = first_block(wish->block_shift),
		 count = end_block(wish->block_shift) - first;
	uint32_t start = (uint32_t)(wish->seed >> 32);
	uint32_t port = 0;

	if (!wish->blocks_left)
		return 0;
	for (uint32_t i = 0; !port && i < count && *choices; i++) {
		uint32_t block = first + (start + i) % count;

		if (!owner_of(ports, block))
			port = choose_in_block(ports, wish, block, among, choices);
	}
	return port;
}

static bool is_taken(const struct nat_ports *ports, enum nat_protocol protocol, uint32_t port)
{
	return atomic_load_explicit(&ports->taken[protocol][port / 64], memory_order_relaxed) >>
		       port % 64 &
	       1;
}

// Port preservation, where it costs nothing.
static bool can_preserve(const struct nat_ports *ports, const struct nat_wish *wish)
{
	uint32_t port = wish->preferred, block = port >> wish->block_shift;

	return block >= first_block(wish->block_shift) && owner_of(ports, block) == wish->owner &&
	       !is_taken(ports, wish->protocol, port) && suits(wish, port) && is_free(wish, port);
}

uint16_t nat_ports_choose(const struct nat_ports *ports, struct nat_wish *wish)
{
	uint32_t choices = CHOICES_MAX, port = 0;
	uint64_t parity = wish->preferred % 2 ? ~EVEN : EVEN;

	wish->block_shift = shift_of(ports);
	if (can_preserve(ports, wish))
		return wish->preferred;
	if (wish->protocol == NAT_UDP) {
		port = choose_owned(ports, wish, parity, &choices);
		if (!port)
			port = choose_new_block(ports, wish, parity, &choices);
		choices = CHOICES_MAX;
	}
	if (!port)
		port = choose_owned(ports, wish, ~UINT64_C(0), &choices);
	if (!port)
		port = choose_new_block(ports, wish, ~UINT64_C(0), &choices);
	return (uint16_t)port;
}

static bool owns_any(const struct nat_ports *ports, const struct nat_wish *wish)
{
	for (uint32_t i = first_block(wish->block_shift); i < end_block(wish->block_shift); i++)
		if (owner_of(ports, i) == wish->owner)
			return true;
	return false;
}

static uint32_t share(const struct nat_ports *ports, const struct nat_wish *wish)
{
	uint32_t first = first_block(wish->block_shift) << wish->block_shift,
		 count = NAT_PORTS - first;
	bool own = owns_any(ports, wish);
	uint32_t tries = SHARES_MAX, choices = CHOICES_MAX;
	uint32_t offset = (uint32_t)(wish->seed >> 16) % count, passed = 0;

	// Who may have no more has to do with what it has.
	if (!own && !wish->blocks_left)
		return 0;
	while (passed < count && tries && choices) {
		uint32_t port = first + (offset + passed) % count,
			 block = port >> wish->block_shift;

		if (own && owner_of(ports, block) != wish->owner) {
			// On to the next block.
			passed += (1u << wish->block_shift) -
				  (port & ((1u << wish->block_shift) - 1));
			continue;
		}
		passed++;
		choices--;
		if (!suits(wish, port))
			continue;
		tries--;
		if (is_free(wish, port))
			return port;
	}
	return 0;
}

uint16_t nat_ports_share(const struct nat_ports *ports, struct nat_wish *wish)
{
	wish->block_shift = shift_of(ports);
	return (uint16_t)share(ports, wish);
}

static struct nat_block block_of(const struct nat_ports *ports, uint32_t port)
{
	uint32_t shift = shift_of(ports);

	return (struct nat_block){
		.first = (uint16_t)(port >> shift << shift),
		.count = (uint16_t)(1u << shift),
	};
}

// Once none is taken, blocks are as they are wanted.
static void resize(struct nat_ports *ports)
{
	if (!ports->blocks_taken)
		atomic_store_explicit(&ports->block_shift, ports->wanted_shift,
				      memory_order_relaxed);
}

bool nat_ports_take(struct nat_ports *ports, enum nat_protocol protocol, uint16_t owner,
		    uint16_t port, struct nat_block *taken)
{
	_Atomic uint64_t *word = &ports->taken[protocol][port / 64];
	uint64_t bit = UINT64_C(1) << port % 64;
	uint32_t block, shift;
	bool done = false;

	*taken = (struct nat_block){.count = 0};
	rte_spinlock_lock(&ports->lock);
	shift = shift_of(ports);
	block = port >> shift;
	if (block >= first_block(shift) &&
	    (owner_of(ports, block) == owner || !owner_of(ports, block)) &&
	    !(atomic_load_explicit(word, memory_order_relaxed) & bit)) {
		if (!owner_of(ports, block)) {
			ports->blocks_taken++;
			*taken = block_of(ports, port);
		}
		atomic_store_explicit(&ports->owner[block], owner, memory_order_relaxed);
		atomic_store_explicit(&ports->hint[owner & 255], (uint16_t)block,
				      memory_order_relaxed);
		atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
		ports->used[block]++;
		done = true;
	}
	rte_spinlock_unlock(&ports->lock);
	return done;
}

void nat_ports_give(struct nat_ports *ports, enum nat_protocol protocol, uint16_t port,
		    struct nat_block *given)
{
	uint32_t block;

	*given = (struct nat_block){.count = 0};
	rte_spinlock_lock(&ports->lock);
	atomic_fetch_and_explicit(&ports->taken[protocol][port / 64], ~(UINT64_C(1) << port % 64),
				  memory_order_relaxed);
	block = port >> shift_of(ports);
	if (--ports->used[block] == 0) {
		*given = block_of(ports, port);
		atomic_store_explicit(&ports->owner[block], 0, memory_order_relaxed);
		ports->blocks_taken--;
		resize(ports);
	}
	rte_spinlock_unlock(&ports->lock);
}

void nat_ports_set_block(struct nat_ports *ports, uint32_t block)
{
	rte_spinlock_lock(&ports->lock);
	ports->wanted_shift = (uint32_t)__builtin_ctz(block);
	resize(ports);
	rte_spinlock_unlock(&ports->lock);
}

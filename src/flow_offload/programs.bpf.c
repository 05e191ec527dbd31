// Established connections between kernel interfaces of this node, forwarded in the kernel: a packet
// that Sluice would only look up, account and send on never leaves it. Whatever is unusual about a
// packet goes to Sluice, as without these programs.
//
// A received packet comes first to the packet sockets and then to the ingress hook (tcx). So the
// program at Sluice's socket decides and accounts, and tells the one at the hook, which runs next
// on this CPU for the same packet.
//
// frame.bpf.h    what is read of a frame
// change.bpf.h   what is changed of it: routing, outer headers of tunnels

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "port/segments_max.h"

// Behind what they need.
#include "change.bpf.h"
#include "frame.bpf.h"

#define TO_SLUICE   0xffffffffu // all of it
#define FORWARDED   0
#define TCX_NEXT    (-1)
#define RAISE_TRIES 16
#define IP_SIZE_MAX 65535
// The kernel puts nothing before what is larger and not to be cut (net/core/filter.c,
// BPF_SKB_MAX_LEN).
#define WHOLE_SIZE_MAX 15000

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OFFLOAD_SLOTS * 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct offload_key);
	__type(value, __u32);
} offload_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OFFLOAD_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct offload_slot);
} offload_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct offload_state);
} offload_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OFFLOAD_PORTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct offload_counters);
} offload_ports SEC(".maps");

// The slot and direction for the packet that this CPU is receiving, plus 1. 0: it is Sluice's.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} offload_verdict SEC(".maps");

// By number of the next hop: when something was sent there, nanoseconds of CLOCK_MONOTONIC.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OFFLOAD_NEXT_HOPS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} offload_next_hops SEC(".maps");

// Which of the uplink's packets are Sluice's: one program for its socket (port/filter.h).
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} offload_filters SEC(".maps");

// Read by nobody. Who changes it waits for all programs that run (kernel/bpf/syscall.c,
// maybe_wait_bpf_programs).
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, __u32);
		});
} offload_barrier SEC(".maps");

static __always_inline bool macs_equal(const __u8 *a, const __u8 *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2])) == 0;
}

static __always_inline __u32 current(const __u32 *number)
{
	return *(const volatile __u32 *)number;
}

// Packets of one direction may come by several CPUs at a time. What one of them has seen must not
// be lost to another: the answer to it would be taken for wrong.
static __always_inline void raise(__u32 *number, __u32 value)
{
	__u32 seen = current(number);

	for (int i = 0; i < RAISE_TRIES; i++) {
		__u32 before;

		if ((__s32)(value - seen) <= 0)
			return;
		before = __sync_val_compare_and_swap(number, seen, value);
		if (before == seen)
			return;
		seen = before;
	}
}

// As flow_window_pass does it (flow/window.h).
static __always_inline bool window_pass(struct offload_direction *own,
					const struct offload_direction *other,
					const struct segment *segment)
{
	__u32 end = current(&own->end), ack = current(&own->ack);
	__u32 other_end = current(&other->end), other_ack = current(&other->ack);
	__u32 largest = current(&own->window), size = largest << (own->scale & 15);
	__u32 other_size = current(&other->window) << (other->scale & 15);
	__u32 oldest = end - other_size - 1;
	__s64 span = (__s32)(other_ack - end) + 2ll * other_size + 1;

	if ((__u32)(segment->end - oldest) >
	    (span > 0 ? span : 0) + (__u32)(segment->end - segment->seq))
		return false;
	if (segment->ack - (ack - size) > other_end - ack + size)
		return false;
	raise(&own->end, segment->end);
	raise(&own->ack, segment->ack);
	raise(&own->window, segment->window);
	return true;
}

// Its element may already be another connection's.
static __always_inline bool keys_equal(const struct offload_key *a, const struct offload_key *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;
	__u32 differences = 0;

#pragma unroll
	for (unsigned int i = 0; i < sizeof(*a) / sizeof(*x); i++)
		differences |= x[i] ^ y[i];
	return differences == 0;
}

static __always_inline void port_count(__u32 in, __u32 bytes_in, __u32 out, __u32 bytes_out)
{
	struct offload_counters *counters = bpf_map_lookup_elem(&offload_ports, &in);

	if (counters) {
		__sync_fetch_and_add(&counters->rx_packets, 1);
		__sync_fetch_and_add(&counters->rx_bytes, bytes_in);
	}
	counters = bpf_map_lookup_elem(&offload_ports, &out);
	if (counters) {
		__sync_fetch_and_add(&counters->tx_packets, 1);
		__sync_fetch_and_add(&counters->tx_bytes, bytes_out);
	}
}

static __always_inline bool words_equal(const __u32 *a, const __u32 *b)
{
	return ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0;
}

// Did it come through the tunnel that it should? `base`: as it was read.
static __always_inline bool outer_equal(const struct outer *outer, __u32 base,
					const struct offload_direction *direction)
{
	const __u16 *a = (const __u16 *)outer->macs, *b = (const __u16 *)direction->outer_mac;

	if (base != direction->outer_in)
		return false;
	return !base || (words_equal(outer->source, direction->outer_source) &&
			 words_equal(outer->destination, direction->outer_destination) &&
			 ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2])) == 0);
}

// Marks of the underlay are for Sluice to pass on (tunnel_take_ecn).
static __always_inline bool ecn_stays(const struct view *view)
{
	return !(view->outer.ecn & ECN_ECT1) || view->outer.ecn == view->ecn;
}

// Will the kernel take these outer headers off, and put those on? What it thinks of a large send of
// datagrams can't be seen.
static __always_inline bool tunnels_possible(const struct __sk_buff *skb, const struct view *view,
					     const struct offload_direction *direction)
{
	__u32 size = skb->len + direction->outer_out;

	if (skb->gso_size && view->key.protocol != IPPROTO_TCP)
		return !direction->outer_in && !direction->outer_out;
	if (!direction->outer_out)
		return true;
	return skb->gso_size ? size - ETH_HLEN <= IP_SIZE_MAX : size <= WHOLE_SIZE_MAX;
}

static __always_inline void next_hop_use(const struct offload_direction *direction, __u64 now)
{
	__u32 number = direction->next_hop;
	__u64 *used = bpf_map_lookup_elem(&offload_next_hops, &number);

	if (used && *used != now)
		*used = now;
}

// The number of slot and direction, plus 1.
static __always_inline __u32 decide(struct __sk_buff *skb, bool tunnel)
{
	struct offload_direction *own, *other;
	struct offload_state *state;
	struct view view = {.size = 0};
	struct offload_slot *slot;
	__u32 zero = 0, base = 0, number, index, *found;

	if (tunnel) {
		base = read_outer(skb, &view);
		if (!base)
			return 0;
	}
	if (!read_frame(skb, base, &view))
		return 0;
	found = bpf_map_lookup_elem(&offload_keys, &view.key);
	if (!found)
		return 0;
	number = *found;
	index = number >> 1;
	slot = bpf_map_lookup_elem(&offload_slots, &index);
	state = bpf_map_lookup_elem(&offload_states, &zero);
	if (!slot || !state || slot->generation != current(&state->generation))
		return 0;
	own = &slot->direction[number & 1];
	other = &slot->direction[!(number & 1)];
	if (!ecn_stays(&view) || !keys_equal(&view.key, &own->key) ||
	    !outer_equal(&view.outer, base, own) || !macs_equal(view.macs, own->received) ||
	    view.size > own->mtu || view.ttl <= own->routed || !tunnels_possible(skb, &view, own) ||
	    (own->outer_out && slot->underlay != current(&state->underlay)) ||
	    (slot->check_window && !window_pass(own, other, &view.segment)))
		return 0;
	__sync_fetch_and_add(&own->packets, 1);
	__sync_fetch_and_add(&own->bytes, skb->len - base);
	own->seen = bpf_ktime_get_coarse_ns();
	if (own->outer_out)
		next_hop_use(own, own->seen);
	port_count(own->port_in, skb->len, own->port_out, skb->len - base + own->outer_out);
	return number + 1;
}

SEC("socket")
int offload_decide(struct __sk_buff *skb)
{
	__u32 zero = 0, *verdict = bpf_map_lookup_elem(&offload_verdict, &zero);

	if (!verdict)
		return TO_SLUICE;
	*verdict = decide(skb, false);
	return *verdict ? FORWARDED : TO_SLUICE;
}

// At the uplink, where most packets may be the host's.
SEC("socket")
int offload_decide_tunnel(struct __sk_buff *skb)
{
	__u32 zero = 0, *verdict = bpf_map_lookup_elem(&offload_verdict, &zero);

	if (verdict) {
		*verdict = decide(skb, true);
		if (*verdict)
			return FORWARDED;
	}
	bpf_tail_call(skb, &offload_filters, 0);
	return TO_SLUICE;
}

SEC("tc")
int offload_forward(struct __sk_buff *skb)
{
	__u32 zero = 0, index, *verdict = bpf_map_lookup_elem(&offload_verdict, &zero);
	struct offload_direction *direction;
	struct offload_slot *slot;

	if (!verdict || !*verdict)
		return TCX_NEXT;
	index = *verdict - 1;
	*verdict = 0;
	zero = index >> 1;
	slot = bpf_map_lookup_elem(&offload_slots, &zero);
	if (!slot)
		return TC_ACT_SHOT;
	direction = &slot->direction[index & 1];
	if ((direction->outer_in && !decapsulate(skb, direction)) ||
	    (direction->routed && !route(skb, direction)) ||
	    (direction->outer_out && !encapsulate(skb, direction)))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(direction->interface, 0);
}

// Does it have outer headers? On external networks large sends have none. One of datagrams to the
// same port has a checksum to be completed, which is never zero then, where a tunnel's is.
static __always_inline bool is_tunnel(struct __sk_buff *skb)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
	__u32 transport = ETH_HLEN + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	__u8 protocol, flags;
	__u16 port, checksum;

	if (!v4 && skb->protocol != bpf_htons(ETH_P_IPV6))
		return false;
	return bpf_skb_load_bytes(skb, ETH_HLEN + (v4 ? 9 : 6), &protocol, 1) == 0 &&
	       protocol == IPPROTO_UDP &&
	       bpf_skb_load_bytes(skb, transport + 2, &port, sizeof(port)) == 0 &&
	       port == bpf_htons(VXLAN_PORT) &&
	       bpf_skb_load_bytes(skb, transport + 6, &checksum, sizeof(checksum)) == 0 &&
	       !checksum &&
	       bpf_skb_load_bytes(skb, transport + sizeof(struct udphdr), &flags, 1) == 0 &&
	       flags == VXLAN_FLAG >> 24;
}

// At the uplink's egress hook, where most packets may be the host's: a large send in a tunnel that
// comes from Sluice's socket, whose virtio header can't say so.
SEC("tc")
int offload_tunnel_send(struct __sk_buff *skb)
{
	if (skb->mark != OFFLOAD_MARK)
		return TCX_NEXT;
	skb->mark = 0;
	return !skb->gso_size || !is_tunnel(skb) || encapsulate_again(skb) ? TCX_NEXT : TC_ACT_SHOT;
}

char terms[] SEC("license") = "Apache-2.0";

// Established connections between kernel interfaces of this node, forwarded in the kernel: a packet
// that Sluice would only look up, account and send on never leaves it. Whatever is unusual about a
// packet goes to Sluice, as without these programs.
//
// A received packet comes first to the packet sockets and then to the ingress hook (tcx). So the
// program at Sluice's socket decides and accounts, and tells the one at the hook, which runs next
// on this CPU for the same packet.

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

#define TO_SLUICE   0xffffffffu // all of it
#define FORWARDED   0
#define FRAGMENT    0x3fff
#define TCX_NEXT    (-1)
#define RAISE_TRIES 16
#define FLAGS_OTHER 0x27 // URG, RST, SYN, FIN

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

struct segment {
	__u32 seq, end, ack, window;
};

struct view {
	struct offload_key key;
	struct segment segment;
	__u8 macs[12];
	__u32 size; // of the IP packet, or of the largest that it is cut to
	__u8 ttl;
};

static __always_inline bool ipv4_checksum_valid(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)(sum + (sum >> 16)) == 0xffff;
}

// A large send, of so many bytes of payload behind `header` ones from the IP header on: not into
// more segments, nor smaller ones, than Sluice allows.
static __always_inline bool read_segments(const struct __sk_buff *skb, __u32 header, __u32 payload,
					  __u32 smallest, __u32 most, struct view *view)
{
	__u32 size = skb->gso_size;

	if (!size)
		return true;
	view->size = header + size;
	return size >= smallest && payload <= size * most;
}

// `room`: bytes from `offset` to the end of the IP packet.
static __always_inline bool read_tcp(struct __sk_buff *skb, __u32 offset, __u32 room,
				     struct view *view)
{
	struct tcphdr tcp;
	__u8 flags;

	if (room < sizeof(tcp) || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)) < 0)
		return false;
	flags = ((const __u8 *)&tcp)[13];
	if (!tcp.ack || (flags & FLAGS_OTHER) || tcp.doff < 5 || tcp.doff * 4u > room)
		return false;
	view->key.source_port = tcp.source;
	view->key.destination_port = tcp.dest;
	view->segment.seq = bpf_ntohl(tcp.seq);
	view->segment.end = view->segment.seq + room - tcp.doff * 4;
	view->segment.ack = bpf_ntohl(tcp.ack_seq);
	view->segment.window = bpf_ntohs(tcp.window);
	return read_segments(skb, offset - ETH_HLEN + tcp.doff * 4, room - tcp.doff * 4,
			     TCP_SEGMENT_MIN, TCP_SEGMENTS_MAX, view);
}

static __always_inline bool read_udp(struct __sk_buff *skb, __u32 offset, __u32 room,
				     struct view *view)
{
	struct udphdr udp;

	if (room < sizeof(udp) || bpf_skb_load_bytes(skb, offset, &udp, sizeof(udp)) < 0 ||
	    bpf_ntohs(udp.len) != room)
		return false;
	view->key.source_port = udp.source;
	view->key.destination_port = udp.dest;
	return read_segments(skb, offset - ETH_HLEN + sizeof(udp), room - sizeof(udp), 1,
			     UDP_SEGMENTS_MAX, view);
}

static __always_inline bool read_transport(struct __sk_buff *skb, __u32 offset, __u32 room,
					   struct view *view)
{
	if (view->key.protocol == IPPROTO_TCP)
		return read_tcp(skb, offset, room, view);
	if (view->key.protocol == IPPROTO_UDP)
		return read_udp(skb, offset, room, view);
	return false;
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, struct view *view)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 4 ||
	    ip.ihl != 5 || (ip.frag_off & bpf_htons(FRAGMENT)) || !ipv4_checksum_valid(&ip))
		return false;
	view->size = bpf_ntohs(ip.tot_len);
	// Neither cut off nor padded.
	if (view->size != skb->len - ETH_HLEN || view->size < sizeof(ip))
		return false;
	view->key.source[2] = view->key.destination[2] = bpf_htonl(0xffff);
	view->key.source[3] = ip.saddr;
	view->key.destination[3] = ip.daddr;
	view->key.protocol = ip.protocol;
	view->ttl = ip.ttl;
	return read_transport(skb, ETH_HLEN + sizeof(ip), view->size - sizeof(ip), view);
}

static __always_inline bool is_mapped(const struct in6_addr *address)
{
	const __u32 *words = address->in6_u.u6_addr32;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline bool read_ipv6(struct __sk_buff *skb, struct view *view)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.version != 6)
		return false;
	view->size = bpf_ntohs(ip.payload_len) + sizeof(ip);
	// A key with these addresses is one of IPv4.
	if (view->size != skb->len - ETH_HLEN || is_mapped(&ip.saddr) || is_mapped(&ip.daddr))
		return false;
	__builtin_memcpy(view->key.source, &ip.saddr, sizeof(view->key.source));
	__builtin_memcpy(view->key.destination, &ip.daddr, sizeof(view->key.destination));
	view->key.protocol = ip.nexthdr;
	view->ttl = ip.hop_limit;
	return read_transport(skb, ETH_HLEN + sizeof(ip), view->size - sizeof(ip), view);
}

// False: Sluice has to look at it.
static __always_inline bool read_frame(struct __sk_buff *skb, struct view *view)
{
	struct ethhdr ethernet;

	if (skb->vlan_present || bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)) < 0)
		return false;
	__builtin_memcpy(view->macs, ethernet.h_dest, ETH_ALEN);
	__builtin_memcpy(view->macs + ETH_ALEN, ethernet.h_source, ETH_ALEN);
	view->key.interface = skb->ifindex;
	if (ethernet.h_proto == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, view);
	if (ethernet.h_proto == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, view);
	return false;
}

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

static __always_inline void port_count(__u32 in, __u32 out, __u32 bytes)
{
	struct offload_counters *counters = bpf_map_lookup_elem(&offload_ports, &in);

	if (counters) {
		__sync_fetch_and_add(&counters->rx_packets, 1);
		__sync_fetch_and_add(&counters->rx_bytes, bytes);
	}
	counters = bpf_map_lookup_elem(&offload_ports, &out);
	if (counters) {
		__sync_fetch_and_add(&counters->tx_packets, 1);
		__sync_fetch_and_add(&counters->tx_bytes, bytes);
	}
}

// The number of slot and direction, plus 1.
static __always_inline __u32 decide(struct __sk_buff *skb)
{
	struct offload_direction *own, *other;
	struct offload_state *state;
	struct view view = {.size = 0};
	struct offload_slot *slot;
	__u32 zero = 0, number, index, *found;

	if (!read_frame(skb, &view))
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
	if (!keys_equal(&view.key, &own->key) || !macs_equal(view.macs, own->received) ||
	    view.size > own->mtu || view.ttl <= own->routed ||
	    (slot->check_window && !window_pass(own, other, &view.segment)))
		return 0;
	__sync_fetch_and_add(&own->packets, 1);
	__sync_fetch_and_add(&own->bytes, skb->len);
	own->seen = bpf_ktime_get_coarse_ns();
	port_count(own->port_in, own->port_out, skb->len);
	return number + 1;
}

SEC("socket")
int offload_decide(struct __sk_buff *skb)
{
	__u32 zero = 0, *verdict = bpf_map_lookup_elem(&offload_verdict, &zero);

	if (!verdict)
		return TO_SLUICE;
	*verdict = decide(skb);
	return *verdict ? FORWARDED : TO_SLUICE;
}

static __always_inline bool route_ipv4(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;
	__u32 sum;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	// RFC 1624
	sum = ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(sum + (sum >= 0xffff));
	ip->ttl--;
	return true;
}

static __always_inline bool route_ipv6(struct __sk_buff *skb)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	ip->hop_limit--;
	return true;
}

static __always_inline bool route(struct __sk_buff *skb, const struct offload_direction *direction)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
	struct ethhdr *ethernet;

	// The headers are shared with what the sender keeps to send it again.
	if (bpf_skb_pull_data(skb,
			      ETH_HLEN + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr))) < 0)
		return false;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(ethernet, direction->sent, sizeof(direction->sent));
	return v4 ? route_ipv4(skb) : route_ipv6(skb);
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
	if (direction->routed && !route(skb, direction))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(direction->interface, 0);
}

char terms[] SEC("license") = "Apache-2.0";

// Is a packet on the uplink Sluice's? It is where the map has its destination: of ARP and neighbour
// discovery the address that is asked for. The same for a packet socket, for the ingress hook,
// where it is kept from the kernel, and for XDP.

#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TCX_NEXT (-1)

#define ARP_SENDER 28
#define ARP_TARGET 38
#define IPV4_DST   30
#define IPV6_NEXT  20
#define IPV6_DST   38
#define ND_TYPE	   54
#define ND_TARGET  62
#define ICMPV6	   58
#define TAG_SIZE   4

// struct claim_key (claims.h)
struct key {
	__u32 length;
	__u16 vlan;
	__u16 spare;
	__u8 address[16];
};

#define KEY_BITS 160

// CLAIM_OURS
#define OURS 1

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, __u8);
} claims SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// A packet of either kind.
struct frame {
	struct __sk_buff *skb;
	struct xdp_md *xdp;
	__u32 shift; // a tag that is there before what follows
};

static __always_inline bool load(const struct frame *frame, __u32 offset, void *to, __u32 size)
{
	if (offset >= 12)
		offset += frame->shift;
	return frame->skb ? bpf_skb_load_bytes(frame->skb, offset, to, size) == 0
			  : bpf_xdp_load_bytes(frame->xdp, offset, to, size) == 0;
}

static __always_inline bool is_known(struct key *key)
{
	return bpf_map_lookup_elem(&claims, key);
}

static __always_inline bool is_ours(struct key *key)
{
	const __u8 *value = bpf_map_lookup_elem(&claims, key);

	return value && *value == OURS;
}

static __always_inline bool load_v4(const struct frame *frame, struct key *key, __u32 offset)
{
	key->address[10] = key->address[11] = 0xff;
	return load(frame, offset, key->address + 12, 4);
}

static __always_inline bool load_v6(const struct frame *frame, struct key *key)
{
	__u8 next, type;

	if (!load(frame, IPV6_DST, key->address, 16))
		return false;
	// A solicited-node address (RFC 4291 section 2.7.1): what is asked for counts, for others
	// may share it.
	if (key->address[0] == 0xff && key->address[1] == 2 && key->address[11] == 1 &&
	    key->address[12] == 0xff) {
		if (!load(frame, IPV6_NEXT, &next, 1) || next != ICMPV6 ||
		    !load(frame, ND_TYPE, &type, 1) || type != 135 ||
		    !load(frame, ND_TARGET, key->address, 16))
			return false;
	}
	return true;
}

// Somebody says to have an address of the map, one of ours or of who is watched: the sender of ARP,
// and of an advertisement to all nodes what it is about. The kernel may hear it, too.
static __always_inline bool is_about(struct frame *frame, __u16 vlan)
{
	struct key key = {.length = KEY_BITS, .vlan = vlan};
	__u8 next, type;
	__be16 protocol;

	if (!load(frame, 12, &protocol, sizeof(protocol)))
		return false;
	if (bpf_ntohs(protocol) == ETH_P_ARP)
		return load_v4(frame, &key, ARP_SENDER) && is_known(&key);
	return bpf_ntohs(protocol) == ETH_P_IPV6 && load(frame, IPV6_DST, key.address, 2) &&
	       key.address[0] == 0xff && load(frame, IPV6_NEXT, &next, 1) && next == ICMPV6 &&
	       load(frame, ND_TYPE, &type, 1) && type == 136 &&
	       load(frame, ND_TARGET, key.address, 16) && is_known(&key);
}

static __always_inline bool is_claimed(struct frame *frame, __u16 vlan)
{
	struct key key = {.length = KEY_BITS, .vlan = vlan};
	__be16 type;

	if (!load(frame, 12, &type, sizeof(type)))
		return false;
	switch (bpf_ntohs(type)) {
	case ETH_P_IP:
		return load_v4(frame, &key, IPV4_DST) && is_ours(&key);
	case ETH_P_ARP:
		return load_v4(frame, &key, ARP_TARGET) && is_ours(&key);
	case ETH_P_IPV6:
		return load_v6(frame, &key) && is_ours(&key);
	default:
		return false;
	}
}

// The kernel takes a tag out of the frame.
static __always_inline bool skb_is_claimed(struct __sk_buff *skb)
{
	struct frame frame = {.skb = skb};
	__u16 vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;

	return (vlan || !skb->vlan_present) && is_claimed(&frame, vlan);
}

static __always_inline bool skb_is_about(struct __sk_buff *skb)
{
	struct frame frame = {.skb = skb};
	__u16 vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;

	return (vlan || !skb->vlan_present) && is_about(&frame, vlan);
}

SEC("socket")
int claims_socket(struct __sk_buff *skb)
{
	return skb_is_claimed(skb) || skb_is_about(skb) ? -1 : 0;
}

SEC("tc")
int claims_guard(struct __sk_buff *skb)
{
	return skb_is_claimed(skb) ? TC_ACT_SHOT : TCX_NEXT;
}

SEC("xdp")
int claims_xdp(struct xdp_md *xdp)
{
	struct frame frame = {.xdp = xdp};
	__be16 type, tag = 0;

	if (bpf_xdp_load_bytes(xdp, 12, &type, sizeof(type)) != 0)
		return XDP_PASS;
	if (type == bpf_htons(ETH_P_8021Q)) {
		if (bpf_xdp_load_bytes(xdp, 14, &tag, sizeof(tag)) != 0 ||
		    !(bpf_ntohs(tag) & 0xfff))
			return XDP_PASS;
		frame.shift = TAG_SIZE;
	}
	if (!is_claimed(&frame, bpf_ntohs(tag) & 0xfff))
		return XDP_PASS;
	return (int)bpf_redirect_map(&sockets, xdp->rx_queue_index, XDP_PASS);
}

char claims_license[] SEC("license") = "Apache-2.0";

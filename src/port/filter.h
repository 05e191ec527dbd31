// Which packets of a shared interface are Sluice's, as programs for the kernel.
//
// On an uplink these are, where there is no map of addresses (claims.h): ARP that asks for the
// tunnel address or answers it; every IP packet to the tunnel address (tunnels, their fragments,
// ICMP errors about them); ND solicitations for it. Without VLAN tags. On a workload's interface
// every packet is Sluice's.

#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

#define FILTER_RULES_MAX      4
#define FILTER_CONDITIONS_MAX 11

// The bytes at `offset` of the frame, 1, 2 or 4 of them, as a number in network order.
struct filter_condition {
	uint16_t offset;
	uint8_t size;
	uint32_t value;
};

// A packet that fulfils all conditions of a rule is Sluice's. No rules: every packet is.
struct filter {
	const struct claims *claims; // by these instead; NULL: by the rules
	uint16_t rule_count;
	struct filter_rule {
		uint16_t condition_count;
		struct filter_condition conditions[FILTER_CONDITIONS_MAX];
	} rules[FILTER_RULES_MAX];
};

// `vtep` NULL: every packet. With `claims`, which have the tunnel address too, what they say; they
// may change.
void filter_init(struct filter *filter, const struct ip_address *vtep, const struct claims *claims);

// A program for SO_ATTACH_FILTER that passes Sluice's packets. `filter` must have rules.
#define FILTER_CLASSIC_SIZE 64
uint16_t filter_classic(const struct filter *filter, struct sock_filter program[]);

// Loads the same as a BPF program for a socket, to be called by another one. Returns its
// descriptor, or -1.
int filter_load_socket(const struct filter *filter, struct error *err);

// Loads an XDP program that gives Sluice's packets to the sockets of `map_fd` (a XSKMAP) and the
// rest to the kernel. Returns its descriptor, or -1.
int filter_load_xdp(const struct filter *filter, int map_fd, struct error *err);

// Attaches a program (type SCHED_CLS) at an interface's ingress or egress hook, behind those that
// are there. Returns a descriptor that holds it for as long as it is open, or -1 where the kernel
// (before 6.6) can't.
int filter_attach_ingress(int program, unsigned int interface_index, struct error *err);
int filter_attach_egress(int program, unsigned int interface_index, struct error *err);

// Loads and attaches a program that keeps Sluice's packets from the kernel's network stack, behind
// packet sockets. Returns a descriptor that holds it for as long as it is open, or -1 where the
// kernel (before 6.6) can't.
int filter_keep_from_kernel(const struct filter *filter, unsigned int interface_index,
			    struct error *err);

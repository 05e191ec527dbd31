// Which addresses on the uplink are Sluice's, as the kernel's programs look them up: a map from
// VLAN and prefix, changed while they run. Control thread.

#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/error.h"

#define CLAIMS_MAX 65536

// In the map, as its longest prefix match has it. All of it is there to be compared.
struct claim_key {
	uint32_t length; // in bits: of what follows
	uint16_t vlan;	 // 0: no tag
	uint16_t spare;
	uint8_t address[16];
};

#define CLAIM_KEY_BITS 32 // before the address

// The values: what is sent to it is Sluice's, and what somebody says to all about it is heard; or
// only that is heard, of routers and other nodes.
#define CLAIM_OURS  1
#define CLAIM_HEARD 2

struct claim {
	uint16_t vlan;
	uint8_t value;
	struct ip_prefix prefix;
};

struct claims;

// NULL: the kernel can't.
struct claims *claims_open(struct error *err);
void claims_close(struct claims *claims);

// Others than these go. False: there are too many, and the last ones are not there.
bool claims_set(struct claims *claims, const struct claim *list, uint32_t count);

// Programs that find Sluice's packets by the map: at a packet socket (passes them), at the ingress
// hook (keeps them from the kernel), for XDP (to the sockets of `sockets_fd`, the rest to the
// kernel). Return a descriptor, or -1.
int claims_load_socket(const struct claims *claims, struct error *err);
int claims_load_guard(const struct claims *claims, struct error *err);
int claims_load_xdp(const struct claims *claims, int sockets_fd, struct error *err);

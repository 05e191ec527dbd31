// Security groups as compiled: for each port with groups the rules of all of them in one array.

#pragma once

#include "base/lookup.h"
#include "flow/flow.h"

#define RULE_PROTOCOL_ANY  256
#define RULE_PROTOCOL_ICMP 257 // ICMP on IPv4, ICMPv6 on IPv6

enum rule_remote {
	RULE_REMOTE_ANY,
	RULE_REMOTE_PREFIX,
	RULE_REMOTE_GROUP,
};

struct rule {
	uint16_t protocol;
	uint16_t remote;     // enum rule_remote
	uint16_t first_port; // host byte order
	uint16_t last_port;  // 0: any
	int16_t icmp_type;   // -1: any
	int16_t icmp_code;
	struct flow_rule id;
	uint16_t remote_group;
	struct ip_prefix prefix;
};

// One policy a port: ingress rules, then egress rules.
struct policy {
	struct rule *rules[2]; // by enum policy_direction
	uint32_t count[2];
};

enum policy_direction {
	POLICY_INGRESS,
	POLICY_EGRESS,
};

// A prefix in allowedAddresses of a group's member.
struct member_prefix {
	uint16_t group;
	uint16_t domain;
	struct ip_prefix prefix;
};

struct security_group_tables {
	struct policy *policies;
	uint32_t policy_count;
	uint32_t *policy_of_port; // by port number: index + 1, or 0 where the port has no groups
	uint32_t port_count;
	struct lookup members; // by member_key: host addresses in allowedAddresses
	struct member_prefix *prefixes;
	uint32_t prefix_count;
	char (*names)[64]; // by group number
	uint32_t name_count;
};

static inline struct lookup_key member_key(uint16_t group, uint16_t domain,
					   const struct ip_address *address)
{
	return lookup_key_address((uint32_t)group << 16 | domain, address);
}

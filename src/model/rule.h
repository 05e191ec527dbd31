// The texts in a SecurityGroup's rules.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// What a connection can tell of: a group has at most so many rules, and a set so many groups.
#define RULES_MAX	    131072
#define SECURITY_GROUPS_MAX 32767

// `icmp` stands for ICMP on IPv4 and ICMPv6 on IPv6; so do the numbers 1 and 58 for one of them
// each.
#define RULE_PROTOCOL_ANY  -1
#define RULE_PROTOCOL_ICMP -2

// "" is any; otherwise tcp, udp, sctp, icmp or a number. The result is RULE_PROTOCOL_… or 0 to 255.
bool rule_protocol_parse(const char *text, int *protocol);

// "80" or "80-81"; "" is 0 to 65535.
bool rule_ports_parse(const char *text, uint16_t *first, uint16_t *last);

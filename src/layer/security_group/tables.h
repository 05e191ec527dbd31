// Security groups as compiled: the rules of each group that a port of this node is in. A port's
// policy is its list of groups, in the order of the object.

#pragma once

#include "layer/security_group/rule_set.h"
#include "layer/tables.h"

enum policy_direction {
	POLICY_INGRESS,
	POLICY_EGRESS,
};

// Shared by generations in which the group is the same.
struct group_rules {
	uint32_t references;	 // control thread
	struct rule_set sets[2]; // by enum policy_direction
};

struct security_group_tables {
	struct group_rules **rules; // by group number; NULL: no port of this node is in it
	char (*names)[TABLES_NAME_SIZE];
	uint32_t group_count;
};

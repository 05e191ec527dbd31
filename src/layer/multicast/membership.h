// IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810) in one form: what a workload says about the
// groups that it is in, and what Sluice asks and tells.

#pragma once

#include "packet/packet.h"

// One group of a report.
struct membership_record {
	struct ip_address group;
	// False: it leaves, or wants fewer sources than before and may have left; asking tells.
	bool member;
};

struct membership_message {
	bool query;
	// For membership_next.
	uint32_t offset;
	uint32_t left;
	bool v4;
	bool single; // the versions whose messages are about one group
	bool leave;
};

// Room for each message that is written here.
#define MEMBERSHIP_FRAME_MAX 96

// Seconds, and how often something that may get lost is said: RFC 3376 section 8, RFC 3810
// section 9.
#define MEMBERSHIP_ROBUSTNESS	     2
#define MEMBERSHIP_QUERY_INTERVAL    125
#define MEMBERSHIP_RESPONSE_INTERVAL 10
#define MEMBERSHIP_LIFETIME \
	(MEMBERSHIP_ROBUSTNESS * MEMBERSHIP_QUERY_INTERVAL + MEMBERSHIP_RESPONSE_INTERVAL)
#define MEMBERSHIP_LAST_QUERIES 2 // one a second

// Is the packet a query or report of any version?
bool membership_is(const struct packet *packet);

// Checks the whole message: lengths, checksum, groups; for MLD hop limit and source. DROP_NONE or
// DROP_MEMBERSHIP_MALFORMED.
enum drop_reason membership_read(const uint8_t *data, uint32_t available,
				 const struct packet *packet, struct membership_message *message);

// The next record of a message that was read; false behind the last one. Source lists are skipped:
// filters for sources count as membership of the group.
bool membership_next(const uint8_t *data, struct membership_message *message,
		     struct membership_record *record);

// Write a frame and return its length. A query is for `group`, or a general one where that is all
// zero (of the source's family); hosts answer within `seconds`. A report says of one group whether
// the sender is a member.
uint32_t membership_query_write(uint8_t frame[MEMBERSHIP_FRAME_MAX], const struct mac_address *mac,
				const struct ip_address *source, const struct ip_address *group,
				uint32_t seconds);
uint32_t membership_report_write(uint8_t frame[MEMBERSHIP_FRAME_MAX], const struct mac_address *mac,
				 const struct ip_address *source, const struct ip_address *group,
				 bool member);

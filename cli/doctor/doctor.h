// What `sluice doctor` looks at, and what it finds.

#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cli/command.h"

enum finding_grade {
	FINDING_OK,
	FINDING_WARNING,
	FINDING_PROBLEM,
};

struct finding {
	const char *check;
	enum finding_grade grade;
	char *text;
	const char *advice; // what to do; "" for nothing
};

struct doctor {
	const struct invocation *invocation;
	struct finding *findings;
	size_t count;
	// What the API said; NULL: nothing.
	Sluice__V1__VersionResponse *version;
	Sluice__V1__StatsResponse *stats;
	Sluice__V1__GetResponse *nodes, *networks, *ports;
	const Sluice__V1__Node *node; // this one's object; NULL: there is none
	// sluiced's process; 0: it is not on this machine, or not known.
	pid_t pid;
};

// `advice` is kept as it is.
void finding_add(struct doctor *doctor, const char *check, enum finding_grade grade,
		 const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));

// Each adds a finding or more. api.c fills in what the API says, and pid.
void doctor_api(struct doctor *doctor);
void doctor_api_free(struct doctor *doctor);
void doctor_store(struct doctor *doctor);
void doctor_memory(struct doctor *doctor);
void doctor_workers(struct doctor *doctor);
void doctor_kernel(struct doctor *doctor);
void doctor_clock(struct doctor *doctor);
void doctor_ports(struct doctor *doctor);
void doctor_uplink(struct doctor *doctor);
// The interface by which the uplink sends; NULL: it is none of the kernel's, or not known.
const char *doctor_uplink_netdev(const struct doctor *doctor);
void doctor_mtu(struct doctor *doctor);
// Asks other nodes by ARP or ND. Enters the network namespace of sluiced, so it comes last.
void doctor_reachability(struct doctor *doctor);

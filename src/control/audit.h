// What the parts of the audit share.

#pragma once

#include "control/control.h"
#include "layer/compare.h"

enum audit_area {
	AUDIT_TABLES,
	AUDIT_DEVICES,
	AUDIT_OFFLOAD,
	AUDIT_CONNECTIONS,
	AUDIT_AREAS,
};

// audit_devices.c: what is open against what the objects want, and whether the tables in force go
// by it. False: no memory.
bool audit_devices(const struct control *control, struct differences *differences);

// audit_offload.c: connections that the kernel forwards; what differs is put right as far as the
// next generation of the tables does not do it. Does a part of it; returns after how many
// milliseconds it is to be called again, -1: that was all. `*state` is NULL at first, and freed by
// the caller where it goes no further.
struct audit_offload;
int audit_offload(const struct control *control, struct audit_offload **state,
		  struct differences *differences);

// audit_charges.c: who is charged with how many connections; likewise.
struct audit_charges;
int audit_charges(const struct control *control, struct audit_charges **state,
		  struct differences *differences);
// NULL does nothing.
void audit_charges_free(struct audit_charges *state);

// What the parts of the audit share.

#pragma once

#include "control/control.h"
#include "layer/compare.h"

enum audit_area {
	AUDIT_TABLES,
	AUDIT_DEVICES,
	AUDIT_OFFLOAD,
	AUDIT_AREAS,
};

// audit_devices.c: what is open against what the objects want, and whether the tables in force go
// by it. False: no memory.
bool audit_devices(const struct control *control, struct differences *differences);

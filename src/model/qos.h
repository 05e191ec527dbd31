// Ranges of a QosPolicy's fields.

#pragma once

// Bits a second.
#define QOS_RATE_MIN 8000
#define QOS_RATE_MAX 400000000000
// Bytes.
#define QOS_BURST_MIN	      2000
#define QOS_BURST_SECONDS_MAX 60
#define QOS_DSCP_MAX	      63

// Ranges of a QosPolicy's fields.

#pragma once

// Bits a second.
#define QOS_RATE_MIN 8000
#define QOS_RATE_MAX 400000000000
// Bytes.
#define QOS_BURST_MIN	      2000
#define QOS_BURST_SECONDS_MAX 60
#define QOS_DSCP_MAX	      63
// Milliseconds for which packets wait; the most is less than worker/delay.h knows.
#define QOS_WAIT     50
#define QOS_WAIT_MAX 200

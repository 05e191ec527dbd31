// TCP connections packet by packet: what each one is taken for, and the state that it leaves
// behind.

#pragma once

#include "test.h"

#include <netinet/in.h>

#include "flow/state.h"

#define O     FLOW_ORIGINAL
#define R     FLOW_REPLY
#define SYN   TCP_SYN
#define ACK   TCP_ACK
#define PSH   TCP_PSH
#define FIN   TCP_FIN
#define RST   TCP_RST
#define S(x)  FLOW_STATE_##x
#define GOES  FLOW_GOES_ON
#define PASS  FLOW_PASSES
#define OUT   FLOW_OUTSIDE
#define AGAIN FLOW_REOPENS
#define RENEW FLOW_RENEWS
#define ENDS  FLOW_ENDS

struct step {
	enum flow_direction_index direction;
	uint8_t flags;
	// Counted from the sender's, and from the other side's initial sequence number.
	uint32_t seq, ack;
	uint32_t length; // of the payload
	uint16_t window;
	enum flow_progress progress;
	uint16_t state; // with the bits above it
	uint8_t scale;	// shift + 1
};

// Windows of 1000 octets without scaling.
#define HANDSHAKE                                                     \
	{O, SYN, 0, 0, 0, 1000, GOES, S(SYN_SENT)},                   \
		{R, SYN | ACK, 0, 1, 0, 1000, GOES, S(SYN_RECEIVED)}, \
	{                                                             \
		O, ACK, 1, 1, 0, 1000, GOES, S(ESTABLISHED)           \
	}

// 64 KiB windows, scaled by 2^4 and 2^7.
#define HANDSHAKE_SCALED                                                                \
	{O, SYN, 0, 0, 0, 1024, GOES, S(SYN_SENT) | FLOW_SCALED(O), 5},                 \
		{R, SYN | ACK, 0,    1,                                                 \
		 0, 2048,      GOES, S(SYN_RECEIVED) | FLOW_SCALED(O) | FLOW_SCALED(R), \
		 8},                                                                    \
	{                                                                               \
		O, ACK, 1, 1, 0, 64, GOES, S(ESTABLISHED)                               \
	}

// With these initial sequence numbers.
void play(const struct step *steps, size_t count, bool loose, uint32_t first, uint32_t second);
// With ones that wrap soon, and with ones that do not.
void play_all(const struct step *steps, size_t count, bool loose);

#define PLAY(steps)	  play_all(steps, sizeof(steps) / sizeof((steps)[0]), false)
#define PLAY_LOOSE(steps) play_all(steps, sizeof(steps) / sizeof((steps)[0]), true)

// Frames of a live upgrade (api/handover.proto) with descriptors beside them. Control threads of
// both processes; each call waits for the other process, at most so many seconds.

#pragma once

#include "base/error.h"
#include "handover.pb-c.h"

// Another one can't be talked to.
#define HANDOVER_FORMAT 1

#define FRAME_FDS_MAX 64
#define FRAME_SECONDS 10

struct upgrade_frame {
	Sluice__Handover__V1__Frame *content; // NULL: none
	uint32_t fd_count;
	int fds[FRAME_FDS_MAX];
};

int upgrade_frame_send(int channel, const Sluice__Handover__V1__Frame *content, const int *fds,
		       uint32_t fd_count, struct error *err);

// What was in `frame` is let go of first. -1 also where the other process has ended.
int upgrade_frame_receive(int channel, struct upgrade_frame *frame, unsigned int seconds,
			  struct error *err);

// The same, of this kind and no other.
int upgrade_frame_expect(int channel, struct upgrade_frame *frame,
			 Sluice__Handover__V1__Frame__ContentCase kind, unsigned int seconds,
			 struct error *err);

// A descriptor, which is the caller's now; -1: there is none any more.
int upgrade_frame_fd(struct upgrade_frame *frame);

// Closes descriptors that nobody took. All zero is fine.
void upgrade_frame_clear(struct upgrade_frame *frame);

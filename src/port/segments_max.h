// What a large send may become. The programs in the kernel (flow_offload/) hold to it too.

#pragma once

// A sender can't be allowed any number of segments: one packet costs as many as it is to become,
// and others wait meanwhile. The smallest of TCP is Linux's limit for an MSS (48) without options.
// A full send in segments of 256 bytes is more than any network asks for; of UDP there are as many
// as Linux sends at once.
#define TCP_SEGMENT_MIN	 32
#define TCP_SEGMENTS_MAX 256
#define UDP_SEGMENTS_MAX 128

// Writes captured packets as a file in the pcapng format (IETF draft-ietf-opsawg-pcapng), which
// Wireshark and tcpdump read. Each port and point is an interface of its own in it.

#pragma once

#include <stdint.h>
#include <stdio.h>

#include "sluice.pb-c.h"

struct pcapng;

// Begins a file. `snaplen`: what is captured of each packet.
struct pcapng *pcapng_new(FILE *file, uint32_t snaplen);
// Errors are the file's (ferror).
void pcapng_packet(struct pcapng *pcapng, const Sluice__V1__CapturedPacket *packet);
// Does not close the file.
void pcapng_free(struct pcapng *pcapng);

// `in`, `out` or `dropped`.
const char *capture_point_text(Sluice__V1__CapturePoint point);

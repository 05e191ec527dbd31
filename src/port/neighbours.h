// What a workload's kernel has asked for on an interface while nobody was at its other end.

#pragma once

// For an interface of the thread's network namespace that has just got its other end back: once the
// kernel sends there again, it forgets the neighbours of which it waits for an answer, so that it
// asks again with the next packet and not a second later (RFC 4861's and its own ARP's time for
// that). Returns at once; says nothing of failures, which leave it at that second.
void neighbours_ask_again(const char *interface);

// The program of a process that is to take this one's place: which one, and starting it. Control
// thread.

#pragma once

#include <limits.h>
#include <sys/types.h>

#include "base/error.h"

// The program that runs, or what was put in its place.
void upgrade_program_own(char path[PATH_MAX]);

// It runs with all that this process may do, so it must be the system's: a file of root's that
// nobody else can write. Returns a descriptor, or -1.
int upgrade_program_open(const char *path, struct error *err);

// Runs it with these arguments, and the socket's end of it in its environment (upgrade.h); the
// other end is the caller's in `*channel`, -1: none. Returns the process, or -1.
pid_t upgrade_program_start(int program, char *const *arguments, int *channel, struct error *err);

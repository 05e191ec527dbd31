// Where no service manager is told which process is the node after an upgrade, the first process
// stays, with next to no memory: whoever started it waits for it, and signals it.

#pragma once

#include <stdbool.h>

struct event_base;

// In the environment of a process that is to wait.
#define WAITER_ENVIRONMENT "SLUICE_WAITS"

// This process is only to wait from now on, for its children and theirs. Returns if it can't.
void waiter_become(char **argv);

// Is it to wait? Before anything else.
bool waiter_is_wanted(void);

// In a process that is waited for: it ends, as by SIGTERM, when the one that waits does.
void waiter_follow(struct event_base *base);

// Passes SIGTERM, SIGINT and SIGHUP on. Returns the exit status of the last child.
int waiter_run(void);

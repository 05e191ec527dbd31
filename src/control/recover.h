// What outlives the process: its connections (flow/keep.h), and beside them, in PATH.names, what
// the numbers in them mean. Control thread.

#pragma once

#include <stdint.h>

#include "base/error.h"

struct control;

// Before the engine is made. `path`: NULL: connections end with the process. `lock`: of the file,
// from the process that uses it; taken over; -1: none. -1: another process has them.
int recover_open(struct control *control, const char *path, int lock, struct error *err);
void recover_close(struct control *control);

// Who takes another process's place takes its connections, too, or leaves all to it. -1: they can't
// be had. `id`: of its table; 0: not known.
int recover_check_given(const struct control *control, uint64_t id, struct error *err);

// What of that can be done while the earlier process still forwards: nearly all. -1: they would not
// outlive this process.
int recover_prepare(struct control *control, struct error *err);

// Takes over the connections that an earlier process has left. With the objects' numbers, and
// before workers run.
void recover_connections(struct control *control);

// From now on the connections are in this process's table.
void recover_commit(struct control *control);

// Before tables are in force: from then on connections have their numbers.
void recover_write_names(struct control *control);

// Once a second: says where memory of the table has found no room in its file, and tries again what
// could not be written.
void recover_check(struct control *control);

// Small numbers for names, the same as long as the name is in use: what the data plane keeps
// instead of names. Numbers of ended names are given out again as late as possible. Control thread
// only.

#pragma once

#include <stdbool.h>
#include <stdint.h>

struct numbers {
	// Is a number without a name meant by something that has not ended yet? It is not given
	// out then. NULL: none is.
	bool (*is_meant)(const void *context, uint32_t number);
	const void *context;
	char **names; // by number; NULL where free
	bool *kept;   // seen since numbers_begin
	bool *given;  // new since numbers_begin
	bool changed; // there are names that numbers_file_write has not seen
	uint32_t first;
	uint32_t max;
	uint32_t next;
	uint32_t highest; // that was ever given
	uint32_t count;	  // in use
	// Open addressing, by the name's hash; holds numbers, 0 where empty. At most half full.
	uint32_t *slots;
	uint32_t mask;
};

// Numbers `first` to `max` are given, `first` at least 1. False without memory.
bool numbers_open(struct numbers *numbers, uint32_t first, uint32_t max);
void numbers_close(struct numbers *numbers);

// The name's number, new if need be; 0 where all are taken.
uint32_t numbers_get(struct numbers *numbers, const char *name);

// The name had this number in an earlier process. False: it can't have it, or there is no memory.
bool numbers_restore(struct numbers *numbers, uint32_t number, const char *name);

// Marks a number as used whose name is known to be the same.
void numbers_keep(struct numbers *numbers, uint32_t number);

// The name's number, or 0.
uint32_t numbers_find(const struct numbers *numbers, const char *name);

// Between the two calls, numbers_get marks names as used; numbers_end frees the numbers of all
// others.
void numbers_begin(struct numbers *numbers);
void numbers_end(struct numbers *numbers);

// Instead of numbers_end: nothing comes of it, the numbers that were new are free again.
void numbers_abandon(struct numbers *numbers);

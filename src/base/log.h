// The daemon's log: a line an event on standard error, for the control threads only (workers never
// log). The message is one of ours and constant; whatever varies or comes from outside is a field.
//
//   log_info("port opened", log_text("port", name), log_text("device", device));
//   2026-11-21T12:00:00.123Z info port opened port=web-1 device=web1

#pragma once

#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON, // an object a line
};

struct log_field {
	const char *key;
	const char *text; // NULL: it is the number
	uint64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){.key = key, .text = text ? text : ""};
}

static inline struct log_field log_number(const char *key, uint64_t number)
{
	return (struct log_field){.key = key, .number = number};
}

// Lines above this level are left out; LOG_LEVEL_INFO at start.
void log_set_level(enum log_level level);

// Text at start. Also finds out whether standard error is the systemd journal: it knows the time
// itself, and is told the level as it wants it (sd-daemon(3)). Before other threads are made.
void log_set_format(enum log_format format);

// Writes a line in one write. Any thread. A field with an empty text is left out, so that a caller
// need not ask. `fields`: the last one has no key; the first one has the message.
void log_write(enum log_level level, const struct log_field *fields);

#define log_event(level, message, ...)                                                           \
	log_write(level, (const struct log_field[]){log_text("message", message), ##__VA_ARGS__, \
						    (struct log_field){.key = NULL}})

#define log_error(...)	 log_event(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_event(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)

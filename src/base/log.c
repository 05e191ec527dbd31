#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log_line.h"

static enum log_level highest = LOG_LEVEL_INFO;
static enum log_format format = LOG_FORMAT_TEXT;
static bool journal;

void log_set_level(enum log_level level)
{
	highest = level;
}

// systemd says which stream it is: another one, as after 2> FILE, inherits the variable.
static bool is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat stream;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &stream) == 0 && stream.st_dev == device &&
	       stream.st_ino == inode;
}

void log_set_format(enum log_format wanted)
{
	format = wanted;
	journal = is_journal();
}

// RFC 3339, UTC, to the millisecond.
static void time_print(char *text, size_t size)
{
	struct timespec now;
	struct tm fields;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &fields);
	length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &fields);
	snprintf(text + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

void log_write(enum log_level level, const struct log_field *fields)
{
	char line[LOG_LINE_SIZE];
	char now[40];
	struct log_head head = {.level = level, .journal = journal};
	size_t length;

	if (level > highest)
		return;
	// Of a program that reads the messages, the time is part of them.
	if (!journal || format == LOG_FORMAT_JSON) {
		time_print(now, sizeof(now));
		head.time = now;
	}
	length = log_line(format, &head, fields, line);
	// A log that can't be written has nobody to tell.
	if (write(STDERR_FILENO, line, length) < 0)
		return;
}

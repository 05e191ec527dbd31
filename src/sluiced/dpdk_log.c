#include "sluiced/dpdk_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "base/log.h"

// What has come of a line; the stream's lock is held.
struct dpdk_line {
	char text[1024];
	size_t length;
};

static enum log_level level_of_dpdk(int level)
{
	if (level >= (int)RTE_LOG_DEBUG)
		return LOG_LEVEL_DEBUG;
	if (level >= (int)RTE_LOG_NOTICE)
		return LOG_LEVEL_INFO;
	return level == (int)RTE_LOG_WARNING ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR;
}

// Most lines begin with the part of DPDK that they are from, as "EAL: ".
static void line_end(struct dpdk_line *line)
{
	const char *text = line->text, *component = "";
	size_t length;

	line->text[line->length] = 0;
	line->length = 0;
	length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
	if (length && strncmp(text + length, ": ", 2) == 0) {
		line->text[length] = 0;
		component = text;
		text += length + 2;
	}
	if (*text)
		log_event(level_of_dpdk(rte_log_cur_msg_loglevel()), "from DPDK",
			  log_text("component", component), log_text("text", text));
}

static ssize_t on_write(void *cookie, const char *data, size_t size)
{
	struct dpdk_line *line = cookie;

	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n')
			line_end(line);
		else if (line->length < sizeof(line->text) - 1)
			line->text[line->length++] = data[i];
	}
	return (ssize_t)size;
}

static int on_close(void *cookie)
{
	free(cookie);
	return 0;
}

int dpdk_log_open(struct error *err)
{
	struct dpdk_line *line = calloc(1, sizeof(*line));
	FILE *stream =
		line ? fopencookie(line, "w",
				   (cookie_io_functions_t){.write = on_write, .close = on_close})
		     : NULL;

	if (!stream) {
		free(line);
		return error_set(err, "no memory for the log");
	}
	if (rte_openlog_stream(stream) < 0) {
		fclose(stream);
		return error_set(err, "no memory for the log");
	}
	return 0;
}

void dpdk_log_close(void)
{
	FILE *stream = rte_log_get_stream();

	// What is still said goes to standard error.
	rte_openlog_stream(stderr);
	if (stream != stderr)
		fclose(stream);
}

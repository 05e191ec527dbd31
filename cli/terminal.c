#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum {
	COLOR_AUTO,
	COLOR_ALWAYS,
	COLOR_NEVER
} color;

bool terminal_set_color(const char *when)
{
	if (strcmp(when, "auto") == 0)
		color = COLOR_AUTO;
	else if (strcmp(when, "always") == 0)
		color = COLOR_ALWAYS;
	else if (strcmp(when, "never") == 0)
		color = COLOR_NEVER;
	else
		return false;
	return true;
}

static bool file_has_colors(FILE *file)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (color != COLOR_AUTO)
		return color == COLOR_ALWAYS;
	// no-color.org: whatever it says, unless it is empty.
	if ((none && *none) || !terminal || strcmp(terminal, "dumb") == 0)
		return false;
	return isatty(fileno(file));
}

const char *style_begin(FILE *file, enum style style)
{
	static const char *const sequences[] = {
		[STYLE_PLAIN] = "\033[0m", [STYLE_HEADING] = "\033[1m",
		[STYLE_GOOD] = "\033[32m", [STYLE_WARNING] = "\033[33m",
		[STYLE_BAD] = "\033[31m",
	};

	return file_has_colors(file) ? sequences[style] : "";
}

const char *style_end(FILE *file)
{
	return style_begin(file, STYLE_PLAIN);
}

enum style style_of_state(const char *state)
{
	static const struct {
		const char *begin;
		enum style style;
	} states[] = {
		{"up", STYLE_GOOD},	    {"Active", STYLE_GOOD},	{"ok", STYLE_GOOD},
		{"Pending", STYLE_WARNING}, {"warning", STYLE_WARNING}, {"down", STYLE_WARNING},
		{"Failed", STYLE_BAD},	    {"problem", STYLE_BAD},
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		size_t length = strlen(states[i].begin);

		if (strncmp(state, states[i].begin, length) == 0 &&
		    (!state[length] || strchr(":, ", state[length])))
			return states[i].style;
	}
	return STYLE_PLAIN;
}

int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	int width;

	if (!isatty(STDOUT_FILENO))
		return 0;
	width = columns ? atoi(columns) : 0;
	if (width > 0 && width < 10000)
		return width;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

int text_width(void)
{
	int width = terminal_width();

	if (width == 0)
		return 80;
	return width < 40 ? 40 : width > 100 ? 100 : width;
}

void text_wrap(FILE *file, const char *text, int column)
{
	int width = text_width(), at = column;

	while (*text) {
		int length = (int)strcspn(text, " \n");

		if (at > column && at + 1 + length > width) {
			fprintf(file, "\n%*s", column, "");
			at = column;
		}
		at += fprintf(file, "%s%.*s", at > column ? " " : "", length, text);
		text += length;
		text += strspn(text, " ");
		if (*text == '\n') {
			text += strspn(text, "\n");
			if (!*text)
				break;
			fprintf(file, "\n\n%*s", column, "");
			at = column;
		}
	}
	fputc('\n', file);
}

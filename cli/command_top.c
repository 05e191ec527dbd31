// sluice top: rates of ports, workers, connections and drops, live or as text.

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/top.h"

#define LINE_MAX_WIDTH 500

struct watching {
	const struct invocation *invocation;
	struct rpc_client *client; // NULL: not connected
	Sluice__V1__StatsResponse *before, *now;
	double seconds; // between them
	double at;	// when `now` was asked for
	enum top_order order;
	bool reverse;
	size_t scroll;
	char trouble[600]; // why there is no new answer; empty: there is one
};

static double now_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Asks once. A broken connection is made anew the next time.
static bool ask(struct watching *watching)
{
	Sluice__V1__StatsRequest request = SLUICE__V1__STATS_REQUEST__INIT;
	ProtobufCMessage *response = NULL;
	struct rpc_status status = {0};
	struct error err;
	double at = now_seconds();

	if (!watching->client && client_open(watching->invocation, &watching->client, &err) < 0) {
		watching->client = NULL;
		snprintf(watching->trouble, sizeof(watching->trouble), "%s", err.text);
		return false;
	}
	if (rpc_client_call(watching->client, &sluice__v1__sluice__descriptor, "Stats",
			    &request.base, &response, &status) < 0) {
		snprintf(watching->trouble, sizeof(watching->trouble), "%.500s", status.message);
		rpc_status_clear(&status);
		rpc_client_close(watching->client);
		watching->client = NULL;
		return false;
	}
	rpc_status_clear(&status);
	watching->trouble[0] = 0;
	if (watching->before)
		sluice__v1__stats_response__free_unpacked(watching->before, NULL);
	watching->before = watching->now;
	watching->now = (Sluice__V1__StatsResponse *)response;
	watching->seconds = at - watching->at;
	watching->at = at;
	// Another process answers: nothing of the last answer holds.
	if (watching->before && watching->before->process && watching->now->process &&
	    watching->now->process->uptime_seconds < watching->before->process->uptime_seconds) {
		sluice__v1__stats_response__free_unpacked(watching->before, NULL);
		watching->before = NULL;
	}
	if (!watching->before && watching->now->process)
		watching->seconds = watching->now->process->uptime_seconds;
	return true;
}

static void watching_end(struct watching *watching)
{
	if (watching->before)
		sluice__v1__stats_response__free_unpacked(watching->before, NULL);
	if (watching->now)
		sluice__v1__stats_response__free_unpacked(watching->now, NULL);
	if (watching->client)
		rpc_client_close(watching->client);
}

static void make(const struct watching *watching, struct top *top)
{
	top_make(top, watching->before, watching->now, watching->seconds, watching->order,
		 watching->reverse);
}

static void batch_print(const struct watching *watching)
{
	char line[LINE_MAX_WIDTH + 1];
	struct top top;

	make(watching, &top);
	for (size_t i = 0; i < top_head_lines(&top); i++) {
		top_head(&top, i, line, LINE_MAX_WIDTH);
		puts(line);
	}
	putchar('\n');
	top_port_heading(watching->order, line, LINE_MAX_WIDTH);
	puts(line);
	for (size_t i = 0; i < top.port_count; i++) {
		top_port_line(&top.ports[i], line, LINE_MAX_WIDTH);
		puts(line);
	}
	fflush(stdout);
	top_clear(&top);
}

static int batch_run(struct watching *watching, double delay, unsigned long count)
{
	struct timespec pause = {
		.tv_sec = (time_t)delay,
		.tv_nsec = (long)((delay - (double)(time_t)delay) * 1e9),
	};

	for (unsigned long i = 0; !count || i < count; i++) {
		if (i) {
			nanosleep(&pause, NULL);
			putchar('\n');
		}
		if (!ask(watching))
			return failure("%s", watching->trouble);
		batch_print(watching);
		if (ferror(stdout))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void line_draw(int row, const char *text, attr_t style)
{
	attron(style);
	mvaddnstr(row, 0, text, COLS);
	attroff(style);
}

static void screen_draw(struct watching *watching)
{
	char line[LINE_MAX_WIDTH + 1];
	size_t width = COLS < LINE_MAX_WIDTH ? (size_t)COLS : LINE_MAX_WIDTH;
	struct top top = {0};
	int row = 0;

	erase();
	if (watching->now) {
		make(watching, &top);
		for (size_t i = 0; i < top_head_lines(&top) && row < LINES - 3; i++) {
			top_head(&top, i, line, width);
			line_draw(row++, line, A_NORMAL);
		}
		top_port_heading(watching->order, line, width);
		line_draw(row++, line, A_REVERSE);
		if (watching->scroll >= top.port_count)
			watching->scroll = top.port_count ? top.port_count - 1 : 0;
		for (size_t i = watching->scroll; i < top.port_count && row < LINES - 1; i++) {
			top_port_line(&top.ports[i], line, width);
			line_draw(row++, line, top.ports[i].drops > 0 ? A_BOLD : A_NORMAL);
		}
		top_clear(&top);
	}
	snprintf(line, width + 1, "%s%s", watching->trouble,
		 *watching->trouble ? "" : "b bits  p packets  d drops  n name  r reverse  q quit");
	if (!*watching->trouble && width > 70) {
		size_t length = strlen(line);

		snprintf(line + length, width + 1 - length, "  (by %s%s)",
			 top_order_names[watching->order], watching->reverse ? ", reversed" : "");
	}
	line_draw(LINES - 1, line, *watching->trouble ? A_BOLD : A_DIM);
	refresh();
}

// False: to be ended.
static bool key_take(struct watching *watching, int key)
{
	static const struct {
		char key;
		enum top_order order;
	} orders[] = {{'b', TOP_BITS}, {'p', TOP_PACKETS}, {'d', TOP_DROPS}, {'n', TOP_NAME}};

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
		if (key == orders[i].key)
			watching->order = orders[i].order;
	if (key == 'r')
		watching->reverse = !watching->reverse;
	else if (key == KEY_DOWN || key == 'j')
		watching->scroll++;
	else if ((key == KEY_UP || key == 'k') && watching->scroll)
		watching->scroll--;
	else if (key == KEY_NPAGE)
		watching->scroll += (size_t)LINES / 2;
	else if (key == KEY_PPAGE)
		watching->scroll -=
			watching->scroll < (size_t)LINES / 2 ? watching->scroll : (size_t)LINES / 2;
	else if (key == KEY_HOME)
		watching->scroll = 0;
	return key != 'q' && key != 3;
}

static int screen_run(struct watching *watching, double delay)
{
	SCREEN *screen;
	double next = 0;
	int key = ERR;

	// Ends here if nobody answers at all, with an ordinary line.
	if (!ask(watching))
		return failure("%s", watching->trouble);
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return failure("this terminal can't show it (TERM); try sluice top -b");
	// Ctrl-C comes as a key, so that the terminal is left as it was.
	raw();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	do {
		double now = now_seconds();

		if (now >= next) {
			if (next > 0)
				ask(watching);
			next = now_seconds() + delay;
		}
		// KEY_RESIZE, too, only means to draw anew.
		screen_draw(watching);
		now = now_seconds();
		timeout(next > now ? (int)((next - now) * 1000) + 1 : 0);
		key = getch();
	} while (key_take(watching, key));
	endwin();
	delscreen(screen);
	return EXIT_OK;
}

static bool order_read(const char *text, enum top_order *order)
{
	for (int i = 0; i < TOP_ORDER_COUNT; i++) {
		if (strcmp(text, top_order_names[i]) == 0) {
			*order = (enum top_order)i;
			return true;
		}
	}
	return false;
}

static int top_run(const struct command *command, const struct invocation *invocation)
{
	struct watching watching = {.invocation = invocation};
	const char *text;
	unsigned long count = 0;
	double delay = 1;
	char *end;
	int result;

	if (invocation->argument_count)
		return usage_error(command, "unexpected '%s'", invocation->arguments[0]);
	text = option_get(&invocation->options, "sort");
	if (text && !order_read(text, &watching.order))
		return usage_error(command, "--sort takes bits, packets, drops or name, not '%s'",
				   text);
	text = option_get(&invocation->options, "delay");
	if (text) {
		delay = strtod(text, &end);
		if (end == text || *end || !(delay >= 0.1 && delay <= 3600))
			return usage_error(command, "--delay takes 0.1 to 3600 seconds, not '%s'",
					   text);
	}
	text = option_get(&invocation->options, "iterations");
	if (text) {
		count = strtoul(text, &end, 10);
		if (*text < '0' || *text > '9' || *end || !count)
			return usage_error(command, "-n takes a number from 1 on, not '%s'", text);
	}
	watching.reverse = option_get(&invocation->options, "reverse");
	if (option_get(&invocation->options, "batch"))
		result = batch_run(&watching, delay, count);
	else if (count)
		result = usage_error(command, "-n goes with --batch");
	else if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		result = failure("top needs a terminal; elsewhere use sluice top -b");
	else
		result = screen_run(&watching, delay);
	watching_end(&watching);
	return result;
}

static const struct option_spec options[] = {
	{.name = "batch", .letter = 'b', .text = "as text, without keys, for files and pipes"},
	{.name = "iterations",
	 .letter = 'n',
	 .argument = "N",
	 .text = "with --batch: so many times; default: until interrupted"},
	{.name = "delay",
	 .letter = 'd',
	 .argument = "SECONDS",
	 .text = "between two looks, 0.1 to 3600; default 1"},
	{.name = "sort",
	 .argument = "COLUMN",
	 .text = "order of the ports: bits (default), packets, drops or name",
	 .completion = "bits packets drops name"},
	{.name = "reverse", .letter = 'r', .text = "the least first"},
	{0},
};

const struct command top_command = {
	.name = "top",
	.arguments = "[--batch [-n N]] [--delay SECONDS] [--sort COLUMN] [--reverse]",
	.summary = "Shows what ports and workers do at the moment",
	.about = "Rates are those since the last look; the first ones are averages since the "
		 "start. rx is what comes from the workload. Keys: b, p, d, n order the ports by "
		 "bits, packets, drops or name, r turns the order round, arrows and page keys "
		 "scroll, q ends.\n",
	.options = options,
	.examples = "  sluice top\n"
		    "  sluice top --sort drops\n"
		    "  sluice top --batch -n 2 | tail -n +10\n",
	.run = top_run,
};

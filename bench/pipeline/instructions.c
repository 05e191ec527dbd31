// Runs the program once more under valgrind's callgrind, which counts instructions: a figure that
// does not depend on what else the machine does.

#include <sys/wait.h>
#include <unistd.h>

#include "pipeline.h"

#define TURNS	      64
#define FUNCTIONS_MAX 32

// "1,234 (5.67%)  FILE:FUNCTION [OBJECT]" of callgrind_annotate.
static bool read_line(char *line, uint64_t *count, const char **function)
{
	char *at = line, *name;

	*count = 0;
	while (*at == ' ')
		at++;
	if (*at < '0' || *at > '9')
		return false;
	for (; (*at >= '0' && *at <= '9') || *at == ','; at++)
		if (*at != ',')
			*count = *count * 10 + (uint64_t)(*at - '0');
	at = strchr(at, ')');
	if (!at)
		return false;
	at++;
	at += strspn(at, " ");
	at[strcspn(at, " \n")] = '\0';
	name = strrchr(at, ':');
	*function = name ? name + 1 : at;
	return true;
}

struct function {
	char name[64];
	uint64_t count;
};

// One function has several lines: one for each file that something was inlined from.
static void add(struct function *functions, uint32_t *used, const char *name, uint64_t count)
{
	uint32_t i = 0;

	while (i < *used && strcmp(functions[i].name, name) != 0)
		i++;
	if (i == FUNCTIONS_MAX)
		return;
	if (i == *used)
		snprintf(functions[(*used)++].name, sizeof(functions[0].name), "%s", name);
	functions[i].count += count;
}

static int compare(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return x->count < y->count ? 1 : -(x->count > y->count);
}

// `each`: packets, or connections.
static void print(const char *file, const char *each, uint32_t total)
{
	struct function functions[FUNCTIONS_MAX] = {{.count = 0}};
	char command[512], line[4096];
	uint32_t used = 0;
	FILE *output;

	snprintf(command, sizeof(command), "callgrind_annotate --auto=no --threshold=99.9 %s",
		 file);
	output = popen(command, "r");
	require(output != NULL, "callgrind_annotate can't be run");
	printf("%12s  function\n", each);
	while (fgets(line, sizeof(line), output)) {
		const char *function;
		uint64_t count;

		if (read_line(line, &count, &function))
			add(functions, &used, function, count);
	}
	pclose(output);
	require(used > 0, "valgrind has counted nothing");
	qsort(functions, used, sizeof(functions[0]), compare);
	for (uint32_t i = 0; i < used; i++)
		printf("%12.1f  %s\n", (double)functions[i].count / total,
		       strcmp(functions[i].name, "PROGRAM") == 0 ? "all" : functions[i].name);
}

int instructions_run(const struct pipeline_options *options, char **argv)
{
	bool first = options->packets == PACKETS_FIRST;
	char file[] = "/tmp/pipeline-XXXXXX", out[64], turns[16];
	char *arguments[32] = {"valgrind",
			       "-q",
			       "--tool=callgrind",
			       out,
			       "--collect-atstart=no",
			       first ? "--toggle-collect=pipeline_first_turn"
				     : "--toggle-collect=pipeline_measured_turn",
			       "/proc/self/exe",
			       "--ordinary-pages",
			       "--turns",
			       turns};
	int count = 10, fd = mkstemp(file), status;
	char self[512] = {0};
	pid_t child;

	require(fd >= 0 && readlink("/proc/self/exe", self, sizeof(self) - 1) > 0, "no file");
	close(fd);
	snprintf(out, sizeof(out), "--callgrind-out-file=%s", file);
	snprintf(turns, sizeof(turns), "%u", TURNS);
	arguments[6] = self;
	for (char **argument = argv + 1; *argument && count < 31; argument++)
		if (strcmp(*argument, "--instructions") != 0)
			arguments[count++] = *argument;
	child = fork();
	if (child == 0) {
		execvp(arguments[0], arguments);
		_exit(127);
	}
	require(child > 0 && waitpid(child, &status, 0) == child && status == 0,
		"valgrind can't be run");
	print(file, first ? "a connection" : "a packet",
	      TURNS * (first ? PORT_BURST : TURN_PACKETS));
	unlink(file);
	return 0;
}

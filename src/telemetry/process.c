// What the process uses, from /proc/self.

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "telemetry/telemetry.h"

static double seconds(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		return 0;
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t count_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	if (!directory)
		return 0;
	while (readdir(directory))
		count++;
	closedir(directory);
	// Not `.`, `..` and the directory itself.
	return count > 3 ? count - 3 : 0;
}

// Threads, and the start in seconds since boot (proc(5): /proc/PID/stat, fields 20 and 22).
static void read_stat(uint32_t *threads, double *start)
{
	FILE *file = fopen("/proc/self/stat", "r");
	unsigned long long ticks = 0;
	char line[1024];
	char *rest;

	*threads = 0;
	*start = 0;
	if (!file)
		return;
	// The name in parentheses may hold anything.
	if (fgets(line, sizeof(line), file) && (rest = strrchr(line, ')')) &&
	    sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u %*d "
		   "%llu",
		   threads, &ticks) == 2)
		*start = (double)ticks / (double)sysconf(_SC_CLK_TCK);
	fclose(file);
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

Sluice__V1__ProcessStats *process_stats_collect(void)
{
	Sluice__V1__ProcessStats *stats = malloc(sizeof(*stats));
	struct rlimit files;
	double start;

	if (!stats)
		return NULL;
	sluice__v1__process_stats__init(stats);
	read_stat(&stats->threads, &start);
	stats->uptime_seconds = seconds(CLOCK_BOOTTIME) - start;
	stats->start_time = seconds(CLOCK_REALTIME) - stats->uptime_seconds;
	stats->cpu_seconds = seconds(CLOCK_PROCESS_CPUTIME_ID);
	stats->control_cpu_seconds = seconds(CLOCK_THREAD_CPUTIME_ID);
	stats->resident_bytes = resident_bytes();
	stats->open_files = count_files();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		stats->open_files_max =
			files.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)files.rlim_cur;
	return stats;
}

// What can be seen of sluiced's process: its store, its memory, its workers.

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/doctor/doctor.h"

#define FREE_MIN (64ull << 20)

// The value behind `key` in a file of lines KEY: VALUE; false where there is none.
static bool value_read(const char *path, const char *key, char *value, size_t size)
{
	char line[512];
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		size_t length = strlen(key);

		if (strncmp(line, key, length) != 0 || line[length] != ':')
			continue;
		found = true;
		line[strcspn(line, "\n")] = 0;
		snprintf(value, size, "%s", line + length + 1 + strspn(line + length + 1, " \t"));
	}
	if (file)
		fclose(file);
	return found;
}

// The open file that the process has its state in.
static bool store_find(const struct doctor *doctor, char *fd_path, size_t size, char *path,
		       size_t path_size)
{
	char directory[64];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(directory, sizeof(directory), "/proc/%d/fd", (int)doctor->pid);
	fds = opendir(directory);
	while (fds && !found && (entry = readdir(fds))) {
		snprintf(fd_path, size, "%s/%.32s", directory, entry->d_name);
		ssize_t length = readlink(fd_path, path, path_size - 1);
		if (length < 0)
			continue;
		path[length] = 0;
		found = strstr(path, ".db") && !strstr(path, "-wal") && !strstr(path, "-shm") &&
			path[0] == '/';
	}
	if (fds)
		closedir(fds);
	return found;
}

// What sluiced itself says of it. True: all is said.
static bool store_told(struct doctor *doctor)
{
	const Sluice__V1__StoreStats *store = doctor->stats ? doctor->stats->store : NULL;

	if (!store)
		return false;
	if (*store->set_aside)
		finding_add(doctor, "store", FINDING_WARNING,
			    "what was in force then is in the present one; look at what changed "
			    "last (sluice history), and move the file away",
			    "it was damaged, and set aside: %s", store->set_aside);
	if (!store->usable)
		finding_add(doctor, "store", FINDING_PROBLEM,
			    "until this is mended nothing can be changed; all else goes on",
			    "it can't be used: %s", store->problem);
	return !store->usable;
}

void doctor_store(struct doctor *doctor)
{
	char fd_path[128], path[512];
	struct statvfs space;

	if (store_told(doctor) || !doctor->pid)
		return;
	if (!store_find(doctor, fd_path, sizeof(fd_path), path, sizeof(path))) {
		finding_add(doctor, "store", FINDING_WARNING, "run sluice doctor as root",
			    "not known: the files of process %d can't be looked at",
			    (int)doctor->pid);
		return;
	}
	if (strstr(path, " (deleted)"))
		finding_add(doctor, "store", FINDING_PROBLEM,
			    "save the objects (sluice get KIND -o yaml), and restart sluiced: what "
			    "it stores now is lost when it ends",
			    "%s", path);
	else if (statvfs(fd_path, &space) < 0)
		finding_add(doctor, "store", FINDING_WARNING, "run sluice doctor as root", "%s: %s",
			    path, strerror(errno));
	else if (space.f_flag & ST_RDONLY)
		finding_add(doctor, "store", FINDING_PROBLEM,
			    "mount the file system writable; until then no change can be stored",
			    "%s is on a file system that is mounted read-only", path);
	else if ((unsigned long long)space.f_bavail * space.f_frsize < FREE_MIN)
		finding_add(doctor, "store", FINDING_PROBLEM, "make room there",
			    "%s: %llu MiB are free", path,
			    (unsigned long long)space.f_bavail * space.f_frsize >> 20);
	else
		finding_add(doctor, "store", FINDING_OK, "", "%s is writable, %llu MiB are free",
			    path, (unsigned long long)space.f_bavail * space.f_frsize >> 20);
}

void doctor_memory(struct doctor *doctor)
{
	char total[64] = "0", unused[64] = "0", size[64] = "?", used[64] = "0 kB", path[64];

	value_read("/proc/meminfo", "HugePages_Total", total, sizeof(total));
	value_read("/proc/meminfo", "HugePages_Free", unused, sizeof(unused));
	value_read("/proc/meminfo", "Hugepagesize", size, sizeof(size));
	snprintf(path, sizeof(path), "/proc/%d/status", (int)doctor->pid);
	if (doctor->pid && value_read(path, "HugetlbPages", used, sizeof(used)) && atol(used) > 0)
		finding_add(doctor, "huge pages", FINDING_OK, "",
			    "sluiced uses %ld MiB of huge pages", atol(used) >> 10);
	else if (atol(total) == 0)
		finding_add(doctor, "huge pages", FINDING_WARNING,
			    "reserve some before sluiced starts: sysctl vm.nr_hugepages=256 (of 2 "
			    "MiB: 512 MiB)",
			    "none are reserved: packet buffers are in ordinary pages, which costs "
			    "some speed");
	else if (doctor->pid)
		finding_add(
			doctor, "huge pages", FINDING_WARNING,
			"restart sluiced; where it then says in its log that there are too few, "
			"raise vm.nr_hugepages",
			"%s of %s (%s each) are free, but sluiced uses none", unused, total, size);
	else
		finding_add(doctor, "huge pages", FINDING_OK, "",
			    "%s of %s (%s each) are free on this machine", unused, total, size);
}

// Is `cpu` in a list as 1,3-5?
static bool cpu_listed(const char *list, long cpu)
{
	while (*list) {
		char *end;
		long first = strtol(list, &end, 10), last = first;

		if (end == list)
			return false;
		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (cpu >= first && cpu <= last)
			return true;
		list = end + strspn(end, ",\n ");
	}
	return false;
}

static void worker_check(struct doctor *doctor, const char *thread, const char *isolated,
			 size_t *count, size_t *moving, size_t *disturbed)
{
	char path[128], value[256] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", (int)doctor->pid, thread);
	if (!value_read(path, "Name", value, sizeof(value)) ||
	    strncmp(value, "sluice-worker", 13) != 0 ||
	    !value_read(path, "Cpus_allowed_list", value, sizeof(value)))
		return;
	++*count;
	if (strpbrk(value, ",-"))
		++*moving;
	else if (!cpu_listed(isolated, strtol(value, NULL, 10)))
		++*disturbed;
}

void doctor_workers(struct doctor *doctor)
{
	static const char advice[] =
		"for steady delays give workers CPUs of their own: start sluiced with --workers, "
		"and "
		"the kernel with isolcpus=, nohz_full= and rcu_nocbs= of the same CPUs";
	size_t count = 0, moving = 0, disturbed = 0;
	char isolated[256] = "", path[64];
	struct dirent *entry;
	FILE *file;
	DIR *tasks;

	if (!doctor->pid)
		return;
	file = fopen("/sys/devices/system/cpu/isolated", "re");
	if (file) {
		if (!fgets(isolated, sizeof(isolated), file))
			isolated[0] = 0;
		fclose(file);
	}
	snprintf(path, sizeof(path), "/proc/%d/task", (int)doctor->pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			worker_check(doctor, entry->d_name, isolated, &count, &moving, &disturbed);
	if (tasks)
		closedir(tasks);
	if (!count)
		finding_add(doctor, "workers", FINDING_WARNING, "run sluice doctor as root",
			    "not known: no workers of process %d are seen", (int)doctor->pid);
	else if (moving)
		finding_add(doctor, "workers", FINDING_WARNING, advice,
			    "%zu of %zu workers run on any CPU", moving, count);
	else if (disturbed)
		finding_add(doctor, "workers", FINDING_WARNING, advice,
			    "%zu of %zu workers share their CPU with other processes (it is not "
			    "isolated)",
			    disturbed, count);
	else
		finding_add(doctor, "workers", FINDING_OK, "",
			    "each of %zu workers has an isolated CPU", count);
}

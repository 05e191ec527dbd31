#include "sluiced/eal.h"

#include "control/upgrade/upgrade.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_log.h>

#include "port/dpdk_device.h"
#include "sluiced/iova.h"

// Beyond the packet buffers: rings, ports, the drivers' own.
#define EAL_MEMORY_EXTRA 64

// Set in the environment of a second try, after huge pages could not be had.
#define EAL_ORDINARY_PAGES "SLUICE_ORDINARY_PAGES"

// Each of CPU_SETSIZE is "1022,".
#define LCORES_SIZE (CPU_SETSIZE * 5 + 8)

static unsigned long free_huge_pages(void)
{
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");
	unsigned long pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

// EAL says why it gives up twice: through its log, which is ours, and on standard error, where it
// would stand between the lines of ours in no form of theirs.
static int init(int count, char **arguments)
{
	FILE *standard_error = stderr, *nothing = fopen("/dev/null", "we");
	int ret;

	if (nothing)
		stderr = nothing;
	ret = rte_eal_init(count, arguments);
	stderr = standard_error;
	if (nothing)
		fclose(nothing);
	return ret;
}

// One lcore, the control thread, on all of its CPUs. EAL's thread for interrupts stays on them,
// too, and would wait for a worker on a single one. No ranges: EAL takes one that begins at
// RTE_MAX_LCORE for its last CPU. False: the text is too short.
static bool lcores_write(const cpu_set_t *cpus, char *text, size_t size)
{
	FILE *file = fmemopen(text, size, "w");
	char before = '(';

	if (!file)
		return false;
	fprintf(file, "0@");
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, cpus)) {
			fprintf(file, "%c%zu", before, cpu);
			before = ',';
		}
	fprintf(file, ")");
	return fclose(file) == 0;
}

int eal_open(const struct engine_options *options, char **argv, struct error *err)
{
	uint32_t memory = options->packet_memory + EAL_MEMORY_EXTRA;
	// Huge pages if there are enough of them, else ordinary ones.
	bool ordinary = getenv(EAL_ORDINARY_PAGES) || free_huge_pages() * 2 < memory;
	char memory_text[16], lcores[LCORES_SIZE], iova[32];
	cpu_set_t cpus;
	char *arguments[] = {
		"sluiced",
		// An allow list of one device, which exists nowhere: none is looked at now, and
		// those that the configuration names can be later (after --no-pci they could not).
		"-a", "ffff:ff:1f.7", "--no-telemetry", iova, "--log-level=lib.*:error",
		"--log-level=*:error",
		// EAL's own thread is the control thread; workers are threads of our own.
		"--lcores", lcores, "-m", memory_text, "--in-memory", NULL, NULL};
	int count = (int)(sizeof(arguments) / sizeof(arguments[0])) - 2;

	snprintf(memory_text, sizeof(memory_text), "%u", memory);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ||
	    !lcores_write(&cpus, lcores, sizeof(lcores)))
		return error_set(err, "the CPUs of this process are not known: %s",
				 strerror(errno));
	snprintf(iova, sizeof(iova), "%s", iova_mode_option(!ordinary));
	if (ordinary) {
		// Of ordinary pages a packet buffer takes one for itself: DPDK lets none cross from
		// one to the next.
		snprintf(memory_text, sizeof(memory_text), "%u", memory * 2);
		// EAL takes no --in-memory together with --no-huge.
		arguments[count - 1] = "--no-shconf";
		arguments[count++] = "--no-huge";
	}
	if (init(count, arguments) < 0) {
		// Somebody else took the pages meanwhile. EAL can be initialised once in a process,
		// so there is a second try only in a new one.
		// What EAL holds open (a lock, too) must not go along; the socket to the process
		// whose place this one takes must.
		if (!ordinary && setenv(EAL_ORDINARY_PAGES, "1", 1) == 0 &&
		    close_range(getenv(UPGRADE_ENVIRONMENT) ? UPGRADE_PROGRAM + 1 : 3, ~0u,
				CLOSE_RANGE_CLOEXEC) == 0)
			execv("/proc/self/exe", argv);
		return error_set(err, "DPDK's environment can't be set up with %u MiB", memory);
	}
	return 0;
}

void eal_close(void)
{
	// What a driver still uses the kernel frees with the process.
	if (dpdk_devices_are_closed())
		rte_eal_cleanup();
}

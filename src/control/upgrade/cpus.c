#include "control/upgrade/cpus.h"

void upgrade_cpus_borrow(struct upgrade_cpus *cpus, const struct engine_options *options)
{
	cpus->borrowed = false;
	CPU_ZERO(&cpus->workers);
	for (uint32_t i = 0; i < options->worker_count; i++) {
		if (options->cpus[i] < 0)
			return;
		CPU_SET((size_t)options->cpus[i], &cpus->workers);
	}
	cpus->borrowed = sched_getaffinity(0, sizeof(cpus->before), &cpus->before) == 0 &&
			 sched_setaffinity(0, sizeof(cpus->workers), &cpus->workers) == 0;
}

void upgrade_cpus_return(struct upgrade_cpus *cpus)
{
	cpu_set_t others;

	if (!cpus->borrowed)
		return;
	cpus->borrowed = false;
	// Off the workers' CPUs at once, where there are others: they are needed there.
	CPU_XOR(&others, &cpus->before, &cpus->workers);
	CPU_AND(&others, &others, &cpus->before);
	sched_setaffinity(0, sizeof(others), &others);
	sched_setaffinity(0, sizeof(cpus->before), &cpus->before);
}

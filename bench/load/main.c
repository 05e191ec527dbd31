// The load of the benchmarks: plays both ends of a device under test, from one core, and reports
// what came back. bench/README.md tells of its options and of what it prints.
//
//	load EAL-OPTIONS -- --vhost-user path=A,server=1 --vhost-user path=B,server=1 [OPTIONS]

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "load.h"

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
	stopping = 1;
}

// Those with a socket first, then DPDK's. Status of the process, 0 for success.
static int ports_open(const struct options *options, struct port *ports[SIDES])
{
	unsigned int count = options->device_count + rte_eth_dev_count_avail();
	uint16_t id = 0;

	if (count != SIDES) {
		fprintf(stderr, "load: %u ports instead of two: --vhost-user, or DPDK's --vdev\n",
			count);
		return 2;
	}
	for (unsigned int i = 0; i < SIDES && (i == 0 || ports[0]); i++)
		ports[i] = i < options->device_count ? vhost_user_port_open(&options->devices[i])
						     : ethdev_port_open(id++);
	return ports[0] && ports[1] ? 0 : 1;
}

static int run(const struct options *options)
{
	struct port *ports[SIDES] = {NULL, NULL};
	struct load *load = calloc(1, sizeof(*load));
	int status = ports_open(options, ports);

	if (status == 0 && (!load || !load_init(load, options, ports))) {
		fprintf(stderr, "load: no memory\n");
		status = 1;
	}
	if (status == 0)
		status = load_run(load, &stopping) ? 0 : 1;
	for (unsigned int i = 0; i < SIDES; i++) {
		if (ports[i])
			ports[i]->operations->close(ports[i]);
	}
	if (load && load->mode)
		load_free(load);
	free(load);
	return status;
}

// getopt's word for a program's name, and what comes after "--".
static void own_options_read(struct options *options, int argc, char **argv)
{
	int first = 1;

	while (first < argc && strcmp(argv[first], "--") != 0)
		first++;
	if (first == argc) {
		char *none[] = {argv[0], NULL};

		options_read(options, 1, none);
		return;
	}
	argv[first] = argv[0];
	options_read(options, argc - first, &argv[first]);
	argv[first] = NULL;
}

// EAL, with --no-pci unless devices are named: those of the machine are not the load's.
static bool eal_start(int count, char **argv)
{
	static char no_pci[] = "--no-pci";
	char **words = calloc((size_t)count + 2, sizeof(*words));
	bool names = false, started;

	if (!words)
		return false;
	for (int i = 0; i < count; i++) {
		names |= strncmp(argv[i], "-a", 2) == 0 || strncmp(argv[i], "--allow", 7) == 0;
		words[i] = argv[i];
	}
	if (!names)
		words[count++] = no_pci;
	started = rte_eal_init(count, words) >= 0;
	if (!started)
		fprintf(stderr, "load: EAL: %s\n", rte_strerror(rte_errno));
	free(words);
	return started;
}

int main(int argc, char **argv)
{
	// Without SA_RESTART: a socket that waits for its device ends, too.
	struct sigaction action = {.sa_handler = stop};
	struct options options;
	int status, count = 0;

	// Wrong ones are told in one line, before EAL says anything.
	own_options_read(&options, argc, argv);
	while (count < argc && argv[count])
		count++;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (!eal_start(count, argv))
		return 1;
	status = run(&options);
	rte_eal_cleanup();
	return status;
}

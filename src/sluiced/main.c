// sluiced: one Sluice node.

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/log.h"
#include "control/control.h"
#include "control/upgrade/upgrade.h"
#include "sluiced/dpdk_log.h"
#include "sluiced/eal.h"
#include "sluiced/notify.h"
#include "sluiced/options.h"
#include "sluiced/waiter.h"

#define MMAP_THRESHOLD (128 * 1024) // bytes

static void on_signal(evutil_socket_t fd, short what, void *base)
{
	log_info("stopping", log_text("signal", fd == SIGTERM ? "SIGTERM" : "SIGINT"));
	event_base_loopbreak(base);
}

// Of this thread. Others never get SIGTERM and SIGINT: they are made while these are blocked.
static void signals_block(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(how, &set, NULL);
}

// Whoever started it waits for this line, which is not like the others in text.
static void ready_say(const struct options *options)
{
	if (options->log_format == LOG_FORMAT_JSON)
		log_info("ready");
	else
		fputs("ready\n", stderr);
}

// The socket to the process whose place this one takes; -1: there is none.
static int take_over_socket(void)
{
	const char *text = getenv(UPGRADE_ENVIRONMENT);
	int fd = text ? atoi(text) : -1;

	unsetenv(UPGRADE_ENVIRONMENT);
	if (text) {
		// It was started by the descriptor's path, and would be called so.
		prctl(PR_SET_NAME, "sluiced");
		close(UPGRADE_PROGRAM);
	}
	return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

// `successor`: the process that has taken our place; 0: none.
static int serve(const struct options *options, char **argv, struct event_base *base,
		 pid_t *successor, struct error *err)
{
	struct control_options control_options = {
		.node = options->node,
		.api = options->api,
		.state = options->state,
		.flows = strcmp(options->flows, "none") == 0 ? NULL : options->flows,
		.metrics = *options->metrics ? options->metrics : NULL,
		.page = options->page,
		.listen = *options->listen ? options->listen : NULL,
		.tls = {options->tls_cert, options->tls_key, options->tls_ca},
		.roles = &options->roles,
		.engine = options->engine,
		.arguments = argv,
		.take_over = take_over_socket(),
	};
	struct event *terminate = evsignal_new(base, SIGTERM, on_signal, base);
	struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);
	struct control *control;
	struct notify *notify;
	int result = -1;

	if (!terminate || !interrupt || event_add(terminate, NULL) < 0 ||
	    event_add(interrupt, NULL) < 0) {
		error_set(err, "no memory for signals");
	} else if (control_open(&control_options, base, &control, err) == 0) {
		ready_say(options);
		notify = notify_ready(base, options->node);
		waiter_follow(base);
		signals_block(SIG_UNBLOCK);
		event_base_dispatch(base);
		// Who asks twice is not to cut the end short.
		signals_block(SIG_BLOCK);
		*successor = upgrade_successor(control);
		if (*successor)
			notify_successor(notify, *successor);
		else
			notify_stopping(notify);
		control_close(control);
		result = 0;
	}
	if (terminate)
		event_free(terminate);
	if (interrupt)
		event_free(interrupt);
	return result;
}

int main(int argc, char **argv)
{
	struct event_base *base;
	struct options options;
	pid_t successor = 0;
	struct error err;
	int result;

	if (waiter_is_wanted())
		return waiter_run();
	if (options_parse(argc, argv, &options, &err) < 0) {
		fprintf(stderr, "sluiced: %s\n", err.text);
		options_clear(&options);
		return 2;
	}
	if (options.help) {
		options_help_print();
		return 0;
	}
	if (options.version) {
		puts("sluiced " SLUICE_VERSION);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	signals_block(SIG_BLOCK);
	// Tables come and go whole: what is large goes back to the kernel at once. Otherwise glibc
	// takes their size as a reason to keep ever more.
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
	log_set_format(options.log_format);
	if (dpdk_log_open(&err) < 0 || eal_open(&options.engine, argv, &err) < 0) {
		log_error("cannot start", log_text("reason", err.text));
		options_clear(&options);
		return 1;
	}
	log_info("starting", log_text("node", options.node), log_text("version", SLUICE_VERSION));
	base = event_base_new();
	result = base ? serve(&options, argv, base, &successor, &err)
		      : error_set(&err, "no event loop");
	if (result < 0)
		log_error("cannot start", log_text("reason", err.text));
	else if (!successor)
		log_info("stopped");
	if (base)
		event_base_free(base);
	options_clear(&options);
	eal_close();
	dpdk_log_close();
	// A service manager knows the other one; else the first process of all waits.
	if (successor && !getenv("NOTIFY_SOCKET") && !getenv(UPGRADE_WAITED))
		waiter_become(argv);
	return result < 0 ? 1 : 0;
}

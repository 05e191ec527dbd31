// What a worker does when there is nothing to do: it asks its queues to wake it, makes sure that
// nothing came in between, and blocks. While it sleeps nobody has to wait for it (RCU: offline).

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "worker/worker.h"

#define SLEEP_POLL_MAX 1024
#define NANOSECONDS    1000000000L

// How long at most: packets that wait for their time go then, ports without a descriptor are looked
// at in short steps, the table is aged, seconds go by.
static struct timespec sleep_time(const struct worker *worker, bool needs_polling)
{
	struct timespec time = {.tv_nsec = 0};
	uint64_t now, next, second = worker->engine->cycles_per_second;

	if (needs_polling)
		time.tv_nsec = NANOSECONDS / 10000;
	else if (worker->held_count || flow_table_count(worker->flows))
		time.tv_nsec = NANOSECONDS / 10;
	else
		time.tv_sec = 1;
	now = rte_rdtsc();
	next = delays_next(&worker->delays, now);
	if (worker->uplink_queues.first)
		next = RTE_MIN(next, worker->uplink_queues.ready > now
					     ? worker->uplink_queues.ready - now
					     : 0);
	if (next < second &&
	    next * NANOSECONDS / second < (uint64_t)time.tv_nsec + time.tv_sec * NANOSECONDS)
		time = (struct timespec){.tv_nsec = (long)(next * NANOSECONDS / second)};
	return time;
}

void worker_sleep(struct worker *worker)
{
	const struct poll_list *list = &worker->tables->polls[worker->index];
	struct pollfd fds[SLEEP_POLL_MAX];
	struct timespec time;
	nfds_t count = 0;
	bool needs_polling = false, work = false;
	uint64_t value;

	atomic_store(&worker->sleeping, true);
	// Whoever gives work looks at the flag after giving it.
	atomic_thread_fence(memory_order_seq_cst);
	fds[count++] = (struct pollfd){.fd = worker->event_fd, .events = POLLIN};
	for (uint32_t i = 0; i < list->count && !work; i++) {
		struct port *port = worker->tables->ports[list->entries[i].port].port;
		int fd = -1;

		if (!port->driver->arm(port, list->entries[i].queue, &fd)) {
			if (fd < 0 && port->needs_polling)
				needs_polling = true;
			else
				work = true;
		} else if (fd >= 0 && count < SLEEP_POLL_MAX) {
			fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
		} else if (fd >= 0) {
			needs_polling = true;
		}
	}
	if (!work && !hand_over_waiting(worker) && !atomic_load(&worker->offload_wanted) &&
	    !worker->offload_begun && !atomic_load(&worker->stop)) {
		time = sleep_time(worker, needs_polling);
		rte_rcu_qsbr_thread_offline(worker->engine->readers, worker->index);
		ppoll(fds, count, &time, NULL);
		rte_rcu_qsbr_thread_online(worker->engine->readers, worker->index);
	}
	atomic_fetch_add(&worker->sleeps, 1);
	atomic_store(&worker->sleeping, false);
	if (fds[0].revents && read(worker->event_fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
		atomic_store(&worker->stop, true);
	// While this worker was offline the tables may have been swapped and freed, and ports with
	// them: what is awake again is what the tables name now. Disarming a queue that was not
	// armed does nothing.
	worker->tables = atomic_load(&worker->engine->tables);
	list = &worker->tables->polls[worker->index];
	for (uint32_t i = 0; i < list->count; i++) {
		struct port *port = worker->tables->ports[list->entries[i].port].port;

		port->driver->disarm(port, list->entries[i].queue);
	}
}

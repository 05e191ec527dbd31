// A worker's loop: one turn after the other, and sleep when there is nothing to do.

#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#include "layer/nat/nat.h"
#include "worker/awake.h"
#include "worker/health.h"
#include "worker/worker.h"

// Turns of the loop without a packet before a worker thinks of sleeping: some tens of microseconds.
// With ports that are asked by system calls a turn takes longer, and what runs on the same CPU
// waits for it: time counts, too.
#define IDLE_TURNS	  200
#define IDLE_MICROSECONDS 20

// Microseconds that ageing takes in one turn at most, while there are packets and while there are
// none.
#define AGE_BUSY 3
#define AGE_IDLE 30

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	// It can only fail when the counter is full, and then the worker wakes anyway.
	if (write(worker->event_fd, &one, sizeof(one)) < 0)
		return;
}

static uint32_t receive_all(struct worker *worker)
{
	const struct poll_list *list = &worker->tables->polls[worker->index];
	uint32_t total = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		const struct poll_entry *entry = &list->entries[i];
		struct port *port = worker->tables->ports[entry->port].port;
		struct rte_mbuf *mbufs[PORT_BURST];
		uint32_t count = port->driver->receive(port, entry->queue, mbufs, PORT_BURST);

		if (!count)
			continue;
		fast_path_receive(worker, entry, mbufs, count);
		transmit_flush_prompt(worker);
		total += count;
	}
	worker->packets += total;
	return total;
}

// Seconds by the time stamp counter.
static bool tell_time(struct worker *worker, uint64_t cycles)
{
	if (cycles < worker->next_second)
		return false;
	worker->now = engine_now(worker->engine);
	worker->cpu = sched_getcpu();
	worker->next_second = worker->engine->clock +
			      (worker->now + UINT64_C(1)) * worker->engine->cycles_per_second;
	return true;
}

static void run(struct worker *worker)
{
	struct engine *engine = worker->engine;
	uint64_t microsecond = engine->cycles_per_second / 1000000;
	uint64_t patience = microsecond * IDLE_MICROSECONDS;
	uint64_t last = rte_rdtsc(), busy = last;
	struct awake awake = {.microsecond = microsecond, .begun = last};
	bool quiet = false;
	uint32_t idle = 0;

	while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
		uint64_t start = rte_rdtsc();
		bool new_second = tell_time(worker, start);
		uint32_t packets;

		awake_turn(&awake, start, quiet ? start - last : 0);
		__atomic_store_n(&worker->turns, worker->turns + 1, __ATOMIC_RELAXED);
		rte_rcu_qsbr_quiescent(engine->readers, worker->index);
		worker->tables = atomic_load_explicit(&engine->tables, memory_order_acquire);
		worker->captures = atomic_load_explicit(&engine->captures, memory_order_acquire);
		worker->flows->worker[worker->index].times = worker->tables->times;
		if (unlikely(new_second) && atomic_exchange(&engine->judge_later, false))
			engine_judge_anew(engine, worker->now);
		packets = delays_turn(worker, start);
		packets += receive_all(worker);
		packets += hand_over_receive(worker);
		packets += replicate_turn(worker);
		packets += multicast_turn(worker, new_second);
		hold_turn(worker, new_second);
		fragments_turn(worker, new_second);
		underlay_turn(worker, new_second);
		services_turn(worker, new_second);
		health_turn(worker, new_second);
		packets += uplink_queues_turn(worker, start);
		transmit_flush_all(worker);
		if (!packets)
			atomic_store_explicit(&worker->quiet, worker->quiet + 1,
					      memory_order_release);
		if (unlikely(worker->offload_begun ||
			     atomic_load_explicit(&worker->offload_wanted, memory_order_relaxed)))
			offload_turn(worker, packets == 0);
		packets += flow_table_age(worker->flows, worker->index, worker->now, start - last,
					  engine->cycles_per_second,
					  (packets ? AGE_BUSY : AGE_IDLE) * microsecond);
		packets += flow_table_shrink(worker->flows, worker->index, worker->now);
		if (unlikely(new_second || !packets))
			packets += nat_turn(worker->tables, worker->index, worker->now);
		last = start;
		quiet = !packets;
		if (packets) {
			busy = rte_rdtsc();
			worker->busy_cycles += busy - start;
			awake.busy += busy - start;
			idle = 0;
		} else if ((++idle >= IDLE_TURNS || start - busy > patience) &&
			   !engine->options.spin && !awake_stays(&awake, start - busy)) {
			worker_sleep(worker);
			quiet = false;
			// Whoever was woken for one packet soon sleeps again; a stream keeps it
			// awake.
			idle = IDLE_TURNS / 2;
			busy = rte_rdtsc() - patience / 2;
		}
	}
	hold_free(worker);
	// What was only to go later is not lost.
	delays_flush(worker);
	uplink_queues_flush(worker);
	transmit_flush_all(worker);
}

void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct engine *engine = worker->engine;
	int cpu = engine->options.cpus[worker->index];

	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((size_t)cpu, &set);
		pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	}
	// Without a number of its own a thread has no packet buffer cache; it works all the same.
	rte_thread_register();
	rte_rcu_qsbr_thread_register(engine->readers, worker->index);
	rte_rcu_qsbr_thread_online(engine->readers, worker->index);
	atomic_store(&worker->started, true);
	run(worker);
	rte_rcu_qsbr_thread_offline(engine->readers, worker->index);
	rte_rcu_qsbr_thread_unregister(engine->readers, worker->index);
	rte_thread_unregister();
	return NULL;
}

// All workers stop, and perhaps go on: for an upgrade, another process has their ports meanwhile.

#include "worker/worker.h"

// What they had handed to each other when they ended; by the calling thread, as nobody else
// touches anything of theirs.
static void hand_over_rest(struct engine *engine)
{
	uint32_t packets;

	do {
		packets = 0;
		for (uint32_t i = 0; i < engine->options.worker_count; i++) {
			struct worker *worker = engine->workers[i];

			worker->tables = atomic_load(&engine->tables);
			packets += hand_over_receive(worker);
			delays_flush(worker);
			uplink_queues_flush(worker);
			transmit_flush_all(worker);
			hold_free(worker);
		}
	} while (packets);
}

bool engine_shares_cpus(const struct engine *engine)
{
	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		struct sched_param parameters;
		int policy;

		if (pthread_getschedparam(engine->workers[i]->thread, &policy, &parameters) != 0 ||
		    policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE)
			return false;
	}
	return true;
}

void engine_pause(struct engine *engine)
{
	uint32_t count = engine->options.worker_count;

	for (uint32_t i = 0; i < count; i++) {
		atomic_store(&engine->workers[i]->stop, true);
		worker_wake(engine->workers[i]);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct worker *worker = engine->workers[i];

		pthread_join(worker->thread, NULL);
		atomic_store(&worker->started, false);
		atomic_store(&worker->stop, false);
	}
	hand_over_rest(engine);
}

void engine_forget(struct engine *engine, const struct port *port)
{
	struct tables *tables = atomic_load(&engine->tables);

	for (uint32_t number = 1; number < tables->port_count; number++)
		if (tables->ports[number].port == port)
			tables->ports[number].port = NULL;
	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		struct poll_list *list = &tables->polls[i];
		uint32_t left = 0;

		for (uint32_t j = 0; j < list->count; j++)
			if (tables->ports[list->entries[j].port].port)
				list->entries[left++] = list->entries[j];
		list->count = left;
	}
}

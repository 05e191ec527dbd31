#include "plane/plane.h"

#include <pthread.h>

static uint16_t receive_nothing(struct port *port, uint16_t queue, struct rte_mbuf **packets,
				uint16_t count)
{
	return 0;
}

static bool arm(struct port *port, uint16_t queue, int *fd)
{
	*fd = -1;
	return true;
}

static void disarm(struct port *port, uint16_t queue)
{
}

static bool is_up(const struct port *port)
{
	return true;
}

struct port_driver plane_driver(uint16_t (*send)(struct port *port, uint16_t queue,
						 struct rte_mbuf **packets, uint16_t count))
{
	return (struct port_driver){
		.name = "plane",
		.receive = receive_nothing,
		.send = send,
		.arm = arm,
		.disarm = disarm,
		.up = is_up,
	};
}

void plane_take_workers(struct engine *engine)
{
	for (uint32_t i = 0; i < engine->options.worker_count; i++) {
		struct worker *worker = engine->workers[i];

		atomic_store(&worker->stop, true);
		worker_wake(worker);
		pthread_join(worker->thread, NULL);
		atomic_store(&worker->started, false);
	}
}

#include "control/heartbeat.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

// Looks at a worker that has not moved, a second apart. A worker that sleeps does so for a second
// at most. Looks are counted, and not time: after the whole process was stopped nothing has to be
// made up for.
#define STILL_MAX 10

struct heartbeat {
	const struct engine *engine;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ending;
	bool end;
	uint64_t turns[ENGINE_WORKERS_MAX]; // as of the last look
	uint8_t still[ENGINE_WORKERS_MAX];  // looks since it has moved
};

static void look(struct heartbeat *heartbeat)
{
	for (uint32_t i = 0; i < heartbeat->engine->options.worker_count; i++) {
		uint64_t turns = engine_worker_turns(heartbeat->engine, i);

		if (turns != heartbeat->turns[i]) {
			heartbeat->turns[i] = turns;
			heartbeat->still[i] = 0;
			continue;
		}
		if (++heartbeat->still[i] < STILL_MAX)
			continue;
		log_error("a worker stands still; ending, so that a new process goes on",
			  log_number("worker", i), log_number("seconds", STILL_MAX));
		// With a core file, for whoever finds out why.
		abort();
	}
}

static void *heartbeat_main(void *argument)
{
	struct heartbeat *heartbeat = argument;
	struct timespec next;

	pthread_mutex_lock(&heartbeat->lock);
	while (!heartbeat->end) {
		clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_sec++;
		pthread_cond_clockwait(&heartbeat->ending, &heartbeat->lock, CLOCK_MONOTONIC,
				       &next);
		if (!heartbeat->end)
			look(heartbeat);
	}
	pthread_mutex_unlock(&heartbeat->lock);
	return NULL;
}

struct heartbeat *heartbeat_open(const struct engine *engine)
{
	struct heartbeat *heartbeat = calloc(1, sizeof(*heartbeat));

	if (!heartbeat)
		return NULL;
	heartbeat->engine = engine;
	pthread_mutex_init(&heartbeat->lock, NULL);
	pthread_cond_init(&heartbeat->ending, NULL);
	if (pthread_create(&heartbeat->thread, NULL, heartbeat_main, heartbeat) != 0) {
		free(heartbeat);
		return NULL;
	}
	pthread_setname_np(heartbeat->thread, "sluice-watch");
	return heartbeat;
}

void heartbeat_close(struct heartbeat *heartbeat)
{
	if (!heartbeat)
		return;
	pthread_mutex_lock(&heartbeat->lock);
	heartbeat->end = true;
	pthread_cond_signal(&heartbeat->ending);
	pthread_mutex_unlock(&heartbeat->lock);
	pthread_join(heartbeat->thread, NULL);
	free(heartbeat);
}

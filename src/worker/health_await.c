// Members at a node that is silent count as unhealthy: what nodes tell each other goes by the same
// tunnel as what would be for the members. As soon as it is heard, its word holds again.

#include "layer/load_balancer/load_balancer.h"
#include "layer/tunnel/neighbour.h"
#include "worker/health.h"
#include "worker/worker.h"

static bool is_silent(const struct worker *worker, const struct member_probe *probe)
{
	uint16_t peer = worker->tables->endpoints[probe->endpoint].peer;
	struct hearing *hearing = &worker->tables->peers[peer].path->hearing;

	// Once for all members of a node.
	return hearing->awaited == worker->now
		       ? atomic_load(&hearing->silent)
		       : hearing_await(hearing, worker->now, worker->health_awaited);
}

void health_await(struct worker *worker)
{
	const struct load_balancers *balancers = worker->tables->load_balancers;
	bool leave = false;

	for (uint32_t i = 0; i < balancers->probe_count; i++) {
		const struct member_probe *probe = &balancers->probes[i];
		bool silent = probe->awaited && is_silent(worker, probe);

		if (silent == member_is_silent(probe->health))
			continue;
		atomic_store(&probe->health->silent, silent);
		leave |= balancers->balancer[probe->balancer].has_datagrams;
	}
	worker->health_awaited = worker->now;
	// As in health_changed; once for all members.
	if (leave)
		engine_judge_anew(worker->engine, worker->now);
}

// What Nats have in use.

#include <stdlib.h>
#include <string.h>

#include "layer/nat/tables.h"
#include "layer/tables.h"
#include "telemetry/telemetry.h"

static Sluice__V1__NatPoolStatus *pool_status(const struct nat_tables *tables,
					      const struct nat_pool *pool, const char *family)
{
	Sluice__V1__NatPoolStatus *status = malloc(sizeof(*status));
	struct nat_pool_stats stats;

	if (!status)
		return NULL;
	nat_mappings_pool_stats(tables->mappings, pool, &stats);
	sluice__v1__nat_pool_status__init(status);
	status->family = strdup(family);
	status->addresses = pool->count;
	status->mappings = stats.mappings;
	status->blocks = stats.blocks;
	status->blocks_max = stats.blocks_max;
	status->refused = stats.refused;
	if (status->family)
		return status;
	free(status);
	return NULL;
}

size_t nat_pools_collect(const struct nat_tables *tables, const struct nat *nat,
			 Sluice__V1__NatPoolStatus *pools[2])
{
	size_t count = 0;

	if (nat->v4.count)
		pools[count++] = pool_status(tables, &nat->v4, "ipv4");
	if (nat->v6.count)
		pools[count++] = pool_status(tables, &nat->v6, "ipv6");
	return count;
}

static bool add(const struct nat *nat, Sluice__V1__NatPoolStatus *pool,
		Sluice__V1__StatsResponse *response)
{
	Sluice__V1__NatStats *stats = malloc(sizeof(*stats));

	if (!stats || !pool) {
		free(stats);
		if (pool)
			sluice__v1__nat_pool_status__free_unpacked(pool, NULL);
		return false;
	}
	sluice__v1__nat_stats__init(stats);
	stats->pool = pool;
	response->nats[response->n_nats++] = stats;
	stats->nat = strdup(nat->name);
	return stats->nat;
}

bool nat_stats_add(const struct tables *tables, Sluice__V1__StatsResponse *response)
{
	const struct nat_tables *nats = tables->nat;
	Sluice__V1__NatPoolStatus *pools[2];
	bool done = true;

	response->nats = calloc(2 * (size_t)nats->nat_count + 1, sizeof(*response->nats));
	if (!response->nats)
		return false;
	for (uint32_t i = 0; i < nats->nat_count; i++)
		for (size_t count = nat_pools_collect(nats, &nats->nats[i], pools), j = 0;
		     j < count; j++)
			done = add(&nats->nats[i], pools[j], response) && done;
	return done;
}

#include "port/vhost_user/allowance.h"

#include <stdio.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

static int give(struct rte_mempool *pool, void **objects, unsigned int count)
{
	struct allowance *allowance = pool->pool_config;
	bool first = allowance->calls++ == 0;

	if (count <= allowance->left &&
	    rte_mempool_get_bulk(allowance->from, objects, count) == 0) {
		allowance->left -= count;
		return 0;
	}
	allowance->lost |= !first;
	return -1;
}

// Nothing comes back: a buffer knows its own pool.
static int take_back(struct rte_mempool *pool, void *const *objects, unsigned int count)
{
	return -1;
}

static unsigned int count_left(const struct rte_mempool *pool)
{
	return ((const struct allowance *)pool->pool_config)->left;
}

static int nothing_alloc(struct rte_mempool *pool)
{
	return 0;
}

static void nothing_free(struct rte_mempool *pool)
{
}

static const struct rte_mempool_ops allowance_ops = {
	.name = "sluice_allowance",
	.alloc = nothing_alloc,
	.free = nothing_free,
	.enqueue = take_back,
	.dequeue = give,
	.get_count = count_left,
};

RTE_MEMPOOL_REGISTER_OPS(allowance_ops);

bool allowance_open(struct allowance *allowance, struct rte_mempool *from)
{
	struct rte_pktmbuf_pool_private *private;
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "allow-%p", (void *)allowance);
	allowance->from = from;
	// Never populated: it has no objects of its own.
	allowance->pool =
		rte_mempool_create_empty(name, 1, from->elt_size, 0,
					 sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY, 0);
	if (!allowance->pool)
		return false;
	if (rte_mempool_set_ops_byname(allowance->pool, allowance_ops.name, allowance) < 0) {
		allowance_close(allowance);
		return false;
	}
	private = rte_mempool_get_priv(allowance->pool);
	*private = *(struct rte_pktmbuf_pool_private *)rte_mempool_get_priv(from);
	return true;
}

void allowance_close(struct allowance *allowance)
{
	rte_mempool_free(allowance->pool);
	allowance->pool = NULL;
}

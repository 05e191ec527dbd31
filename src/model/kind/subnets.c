#include "model/kind/subnets.h"

#include <stdlib.h>
#include <string.h>

#include "base/prefix_map.h"
#include "model/memory.h"

static int compare(const void *a, const void *b)
{
	const struct vrf_subnet *x = a, *y = b;
	int order = strcmp(x->vrf, y->vrf);

	return order ? order : prefix_compare(&x->prefix, &y->prefix);
}

struct subnets subnets_of(const struct check *check)
{
	struct subnets subnets = {.list = NULL};

	for (size_t i = 0; i < check_count(check, SLUICE__V1__OBJECT__KIND_NETWORK); i++) {
		const Sluice__V1__Object *object =
			check_at(check, SLUICE__V1__OBJECT__KIND_NETWORK, i);
		const Sluice__V1__Network *network = object->network;

		for (size_t s = 0; *network->vrf && s < network->n_subnets; s++) {
			struct vrf_subnet subnet = {
				.vrf = network->vrf, .network = object, .index = s};

			if (!prefix_parse(network->subnets[s]->cidr, &subnet.prefix) ||
			    !prefix_clean(&subnet.prefix))
				continue;
			subnets.list = memory_grow(subnets.list, subnets.count, &subnets.capacity,
						   sizeof(*subnets.list));
			subnets.list[subnets.count++] = subnet;
		}
	}
	if (subnets.count)
		qsort(subnets.list, subnets.count, sizeof(*subnets.list), compare);
	return subnets;
}

const struct vrf_subnet *subnets_find(const struct subnets *subnets, const char *vrf,
				      const struct ip_address *address)
{
	struct vrf_subnet wanted = {.vrf = vrf, .prefix = {.address = *address, .length = 128}};
	size_t first = 0, end = subnets->count;
	const struct vrf_subnet *found;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (compare(&subnets->list[middle], &wanted) > 0)
			end = middle;
		else
			first = middle + 1;
	}
	found = first ? &subnets->list[first - 1] : NULL;
	return found && strcmp(found->vrf, vrf) == 0 && ip_in_prefix(address, &found->prefix)
		       ? found
		       : NULL;
}

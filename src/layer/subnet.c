#include "layer/tables.h"

const struct domain_prefix *tables_find_subnet(const struct tables *tables, uint16_t domain,
					       const struct ip_address *address)
{
	uint32_t first = 0, end = tables->subnet_count;

	// Whoever sends into the void must not make a worker look at the subnets of all others.
	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (tables->subnets[middle].domain < domain)
			first = middle + 1;
		else
			end = middle;
	}
	for (; first < tables->subnet_count && tables->subnets[first].domain == domain; first++)
		if (ip_in_prefix(address, &tables->subnets[first].prefix))
			return &tables->subnets[first];
	return NULL;
}

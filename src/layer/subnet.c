#include "base/prefix_map.h"
#include "layer/tables.h"

// Is the subnet behind the address, so that it can't hold it?
static bool is_behind(const struct domain_prefix *subnet, uint16_t domain,
		      const struct ip_prefix *host)
{
	if (subnet->domain != domain)
		return subnet->domain > domain;
	return prefix_compare(&subnet->prefix, host) > 0;
}

const struct domain_prefix *tables_find_subnet(const struct tables *tables, uint16_t domain,
					       const struct ip_address *address)
{
	struct ip_prefix host = {.address = *address, .length = 128};
	uint32_t first = 0, end = tables->subnet_count;
	const struct domain_prefix *subnet;

	while (first < end) {
		uint32_t middle = first + (end - first) / 2;

		if (is_behind(&tables->subnets[middle], domain, &host))
			end = middle;
		else
			first = middle + 1;
	}
	subnet = first ? &tables->subnets[first - 1] : NULL;
	return subnet && subnet->domain == domain && ip_in_prefix(address, &subnet->prefix) ? subnet
											    : NULL;
}

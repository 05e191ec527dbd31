#include "layer/services/compile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/domain_name.h"

#define DEFAULT_LEASE 3600

uint32_t services_search(const Sluice__V1__Dhcp *dhcp, uint8_t *wire, uint32_t room)
{
	uint32_t used = 0;

	if (!dhcp)
		return 0;
	for (size_t i = 0; i < dhcp->n_domain_search; i++)
		used += domain_name_write(dhcp->domain_search[i], true, wire + used, room - used);
	if (!dhcp->n_domain_search)
		used = domain_name_write(dhcp->domain, true, wire, room);
	return used;
}

// *result stays NULL where there is no object.
static int compile_boot(const Sluice__V1__Boot *object, struct boot **result, struct error *err)
{
	struct ip_address server;
	struct boot *boot;

	if (!object)
		return 0;
	*result = boot = calloc(1, sizeof(*boot));
	if (!boot)
		return compile_no_memory(err);
	snprintf(boot->server, sizeof(boot->server), "%s", object->server);
	if (ip_parse(object->server, &server) && ip_is_v4(&server))
		boot->server_address = server.words[3];
	snprintf(boot->file, sizeof(boot->file), "%s", object->file);
	snprintf(boot->efi_file, sizeof(boot->efi_file), "%s", object->efi_file);
	snprintf(boot->ipxe_file, sizeof(boot->ipxe_file), "%s", object->ipxe_file);
	snprintf(boot->url, sizeof(boot->url), "%s", object->url);
	return 0;
}

static int compile_network(const Sluice__V1__Network *object, const struct network *network,
			   struct service_network *service, struct error *err)
{
	const Sluice__V1__Dhcp *dhcp = object->dhcp;

	service->lease = DEFAULT_LEASE;
	if (dhcp) {
		size_t length = strlen(dhcp->domain);

		service->disabled = dhcp->disabled;
		if (dhcp->has_lease_seconds_case)
			service->lease = dhcp->lease_seconds;
		snprintf(service->domain, sizeof(service->domain), "%s", dhcp->domain);
		if (length && service->domain[length - 1] == '.')
			service->domain[length - 1] = 0;
		if (compile_boot(dhcp->boot, &service->boot, err) < 0)
			return -1;
	}
	service->subnets = calloc(network->subnet_count + 1, sizeof(*service->subnets));
	if (!service->subnets)
		return compile_no_memory(err);
	service->subnet_count = network->subnet_count;
	router_advertisement_compile(object, network, service);
	if (!dhcpv6_compile(object, network, service))
		return compile_no_memory(err);
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (ip_is_v4(&network->subnets[i].prefix.address) &&
		    !dhcp_compile_subnet(object, object->subnets[i], service, network->mtu,
					 &service->subnets[i]))
			return compile_no_memory(err);
	return 0;
}

static int compile_endpoint(struct compile *compile, const Sluice__V1__Port *object, uint32_t index,
			    struct error *err)
{
	struct tables *tables = compile->tables;
	struct services *services = tables->services;
	const struct endpoint *endpoint = &tables->endpoints[index];
	const struct endpoint_detail *detail = &tables->details[index];
	const struct service_network *network = services->networks[endpoint->network];
	struct service_endpoint *service = &services->endpoints[services->endpoint_count];
	const Sluice__V1__Object *network_object = object_set_find(
		compile->objects, SLUICE__V1__OBJECT__KIND_NETWORK, object->network);
	const char *host_name = *object->host_name ? object->host_name : object->name;
	const struct boot *boot;

	service->endpoint = index;
	services->by_endpoint[index] = ++services->endpoint_count;
	if (compile_boot(object->boot, &service->own_boot, err) < 0)
		return -1;
	boot = service_boot(service, network);
	if (domain_label_valid(host_name))
		snprintf(service->host_name, sizeof(service->host_name), "%s", host_name);
	service->dhcp = (struct dhcp_offer){
		.mac = endpoint->mac, .host_name = service->host_name, .boot = boot};
	service->dhcpv6 = (struct dhcpv6_offer){
		.host_name = service->host_name, .domain = network->domain, .boot = boot};
	if (!network->disabled) {
		dhcp_compile_offer(&tables->networks[endpoint->network], network, detail,
				   &service->dhcp);
		if (!dhcpv6_compile_offer(network, detail, &service->dhcpv6))
			return compile_no_memory(err);
	}
	router_advertisement_compile_offer(network_object->network, network, endpoint, detail,
					   &service->advertisement);
	return 0;
}

static int compile_endpoints(struct compile *compile, struct error *err)
{
	struct services *services = compile->tables->services;
	const struct tables *tables = compile->tables;

	services->endpoints = calloc(tables->port_count, sizeof(*services->endpoints));
	services->by_endpoint = calloc(tables->endpoint_count, sizeof(*services->by_endpoint));
	if (!services->endpoints || !services->by_endpoint)
		return compile_no_memory(err);
	for (uint32_t number = 1; number < tables->port_count; number++) {
		uint32_t index = tables->ports[number].endpoint;

		// The topology's endpoints are the Ports in the set's order.
		if (index &&
		    compile_endpoint(compile,
				     object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_PORT,
						   index - 1)
					     ->port,
				     index, err) < 0)
			return -1;
	}
	return 0;
}

// The MTU is the only thing in it that may come from elsewhere.
static bool keep_network(struct compile *compile, size_t place, uint32_t number)
{
	const struct tables *previous = compile->previous;

	if (!compile_kept(compile, SLUICE__V1__OBJECT__KIND_NETWORK, place) ||
	    previous->networks[number].mtu != compile->tables->networks[number].mtu)
		return false;
	compile->tables->services->networks[number] = previous->services->networks[number];
	compile->tables->services->networks[number]->references++;
	return true;
}

int services_compile(struct compile *compile, struct error *err)
{
	struct tables *tables = compile->tables;
	struct services *services = calloc(1, sizeof(*services));
	size_t count = object_set_count(compile->objects, SLUICE__V1__OBJECT__KIND_NETWORK);

	tables->services = services;
	if (!services)
		return compile_no_memory(err);
	services->networks = calloc(tables->network_count + 1, sizeof(*services->networks));
	if (!services->networks)
		return compile_no_memory(err);
	services->network_count = tables->network_count;
	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Network *object =
			object_set_at(compile->objects, SLUICE__V1__OBJECT__KIND_NETWORK, i)
				->network;
		uint32_t number = numbers_find(&compile->numbers->networks, object->name);

		if (keep_network(compile, i, number))
			continue;
		services->networks[number] = calloc(1, sizeof(*services->networks[number]));
		if (!services->networks[number])
			return compile_no_memory(err);
		services->networks[number]->references = 1;
		if (compile_network(object, &tables->networks[number], services->networks[number],
				    err) < 0)
			return -1;
	}
	return compile_endpoints(compile, err);
}

static void release_network(struct service_network *network)
{
	if (!network || --network->references)
		return;
	for (uint32_t i = 0; network->subnets && i < network->subnet_count; i++)
		service_options_free(&network->subnets[i].options);
	service_options_free(&network->dhcpv6.options);
	free(network->subnets);
	free(network->boot);
	free(network);
}

void services_free(struct services *services)
{
	if (!services)
		return;
	for (uint32_t i = 0; services->networks && i < services->network_count; i++)
		release_network(services->networks[i]);
	for (uint32_t i = 0; services->endpoints && i < services->endpoint_count; i++) {
		free(services->endpoints[i].own_boot);
		free(services->endpoints[i].dhcpv6.addresses);
	}
	free(services->networks);
	free(services->endpoints);
	free(services->by_endpoint);
	free(services);
}

// DHCP, DHCPv6 and router advertisements, for the workloads of this node.

#include "layer/services/services.h"

#include <rte_random.h>

#include "worker/worker.h"

bool services_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress)
{
	const struct tables *tables = worker->tables;
	const struct port_binding *binding = &tables->ports[ingress.port];
	const struct endpoint *source = tables_endpoint(tables, binding->endpoint);
	enum drop_reason reason = DROP_NONE;
	const char *about = "";

	if (!source)
		return false;
	// A trace takes nobody's turn.
	switch (services_from_port(tables, source, mbuf, packet,
				   worker->trace ? NULL : binding->schedule, worker->now, &reason,
				   &about)) {
	case SERVICE_NONE:
		return false;
	case SERVICE_ANSWERED:
		worker_say(worker, "services", "%s", about);
		transmit_add(worker, mbuf, ingress.port);
		break;
	case SERVICE_DONE:
		worker_say(worker, "services", "%s", about);
		rte_pktmbuf_free(mbuf);
		break;
	case SERVICE_DROP:
		worker_drop(worker, mbuf, ingress.port, reason);
		break;
	}
	return true;
}

static void advertise(struct worker *worker, const struct service_endpoint *service)
{
	const struct endpoint *endpoint = &worker->tables->endpoints[service->endpoint];
	const struct port_binding *binding = &worker->tables->ports[endpoint->port];
	const struct router_offer *offer = &service->advertisement;
	struct rte_mbuf *mbuf;

	if (!binding->port || !binding->schedule || binding->first_worker != worker->index ||
	    !router_schedule_look(binding->schedule, offer,
				  binding->port->driver->up(binding->port), worker->now) ||
	    !router_schedule_take(binding->schedule, worker->now))
		return;
	mbuf = rte_pktmbuf_alloc(worker->engine->pool);
	if (mbuf && services_advertise(&worker->tables->networks[endpoint->network], offer,
				       binding->schedule, mbuf)) {
		transmit_add(worker, mbuf, endpoint->port);
		mbuf = NULL;
	}
	rte_pktmbuf_free(mbuf);
	router_schedule_sent(binding->schedule, offer, worker->now, (uint32_t)rte_rand());
}

void services_turn(struct worker *worker, bool new_second)
{
	const struct services *services = worker->tables->services;

	if (likely(!new_second) || !services)
		return;
	for (uint32_t i = 0; i < services->endpoint_count; i++)
		advertise(worker, &services->endpoints[i]);
}

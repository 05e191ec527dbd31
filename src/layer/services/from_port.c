// Which packets of a workload are for the services, and what becomes of them.

#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "layer/address_resolution/address_resolution.h"
#include "layer/allowed_address/allowed_address.h"
#include "layer/services/services.h"
#include "packet/datagram.h"
#include "packet/fragment.h"
#include "packet/header.h"

// Largest message that is looked at.
#define MESSAGE_MAX 1500
#define FRAME_MAX   1600
#define ND_HOPS	    255

static const struct ip_address all_nodes = {.bytes = {0xff, 2, [15] = 1}};
static const struct mac_address all_nodes_mac = {{0x33, 0x33, 0, 0, 0, 1}};
static const struct ip_address dhcpv6_servers = {.bytes = {0xff, 2, [13] = 1, [15] = 2}};
static const struct mac_address broadcast_mac = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
static const struct ip_address unspecified;

struct request {
	const struct tables *tables;
	const struct network *network;
	const struct endpoint *source;
	const struct service_endpoint *service;
	struct rte_mbuf *mbuf;
	const struct packet *packet;
	enum drop_reason *reason;
	const char **about;
};

static enum service drop(struct request *request, enum drop_reason reason)
{
	*request->reason = reason;
	return SERVICE_DROP;
}

static enum service done(struct request *request, const char *about)
{
	*request->about = about;
	return SERVICE_DONE;
}

static enum service answer(struct request *request, const uint8_t *frame, uint32_t size,
			   const char *about)
{
	struct rte_mbuf *mbuf = request->mbuf;
	char *data;

	rte_pktmbuf_free(mbuf->next);
	rte_pktmbuf_reset(mbuf);
	data = rte_pktmbuf_append(mbuf, (uint16_t)size);
	if (!data)
		return drop(request, DROP_NO_BUFFER);
	memcpy(data, frame, size);
	*request->about = about;
	return SERVICE_ANSWERED;
}

// The UDP payload, in one piece; NULL where it is too long for any such message, or came in
// fragments.
static const uint8_t *payload(const struct request *request, uint8_t *room, uint32_t *size)
{
	const struct packet *packet = request->packet;
	const uint8_t *udp =
		rte_pktmbuf_mtod_offset(request->mbuf, const uint8_t *, packet->l4_offset);

	if (packet->fragments)
		return NULL;
	*size = (uint32_t)(udp[4] << 8 | udp[5]) - UDP_HEADER_SIZE;
	return *size > MESSAGE_MAX
		       ? NULL
		       : rte_pktmbuf_read(request->mbuf, packet->l4_offset + UDP_HEADER_SIZE, *size,
					  room);
}

static bool is_gateway(const struct network *network, const struct ip_address *address)
{
	struct ip_address own = ip_link_local_of(&network->gateway_mac);

	if (ip_equal(address, &own) || services_dhcp_address(network, address))
		return true;
	for (uint32_t i = 0; i < network->subnet_count; i++)
		if (network->subnets[i].has_gateway &&
		    ip_equal(address, &network->subnets[i].gateway))
			return true;
	return false;
}

static bool to_gateway(const struct request *request)
{
	return mac_equal(&request->packet->destination_mac, &request->network->gateway_mac) &&
	       is_gateway(request->network, &request->packet->destination);
}

static struct datagram to_client(const struct request *request, uint16_t source_port,
				 uint16_t destination_port)
{
	return (struct datagram){
		.destination_mac = request->source->mac,
		.source_mac = request->network->gateway_mac,
		.source_port = source_port,
		.destination_port = destination_port,
		.hop_limit = DATAGRAM_HOP_LIMIT,
	};
}

static enum service receive_dhcp(struct request *request)
{
	const struct dhcp_offer *offer = &request->service->dhcp;
	struct datagram datagram = to_client(request, DHCP_SERVER_PORT, DHCP_CLIENT_PORT);
	uint8_t room[MESSAGE_MAX], frame[FRAME_MAX];
	struct dhcp_message message;
	struct dhcp_answer reply;
	enum drop_reason reason;
	const uint8_t *data;
	uint32_t size;

	data = payload(request, room, &size);
	if (!data || !dhcp_read(data, size, &message))
		return drop(request, DROP_DHCP_MALFORMED);
	datagram.source = ip_from_v4(offer->subnet ? offer->subnet->server : 0);
	reason = dhcp_answer(offer, &message, frame + datagram_udp_offset(&datagram), &reply);
	if (reason != DROP_NONE)
		return drop(request, reason);
	if (!reply.size)
		return done(request, "DHCP: nothing to answer");
	datagram.destination = ip_from_v4(reply.broadcast ? UINT32_MAX : reply.destination);
	if (reply.broadcast)
		datagram.destination_mac = broadcast_mac;
	return answer(request, frame, datagram_write_udp(&datagram, frame, reply.size),
		      "DHCP: answered");
}

static enum service receive_dhcpv6(struct request *request, bool unicast)
{
	const struct dhcpv6_offer *offer = &request->service->dhcpv6;
	struct datagram datagram = to_client(request, DHCPV6_SERVER_PORT, DHCPV6_CLIENT_PORT);
	uint8_t room[MESSAGE_MAX], frame[FRAME_MAX];
	struct dhcpv6_message message;
	enum drop_reason reason;
	const uint8_t *data;
	uint32_t size;

	datagram.destination = request->packet->source;
	datagram.source = ip_link_local_of(&request->network->gateway_mac);
	data = payload(request, room, &size);
	if (!data || !dhcpv6_read(data, size, &message) ||
	    ip_equal(&datagram.destination, &unspecified) || ip_is_multicast(&datagram.destination))
		return drop(request, DROP_DHCP_MALFORMED);
	reason = dhcpv6_answer(offer, &message, unicast, frame + datagram_udp_offset(&datagram),
			       &size);
	if (reason != DROP_NONE)
		return drop(request, reason);
	return answer(request, frame, datagram_write_udp(&datagram, frame, size),
		      "DHCPv6: answered");
}

static uint32_t write_advertisement(const struct network *network, const struct router_offer *offer,
				    const struct router_withdrawal *past,
				    const struct mac_address *to_mac, const struct ip_address *to,
				    uint8_t *frame)
{
	struct datagram datagram = {
		.destination_mac = *to_mac,
		.source_mac = network->gateway_mac,
		.destination = *to,
		.source = ip_link_local_of(&network->gateway_mac),
		.hop_limit = ND_HOPS,
	};
	uint32_t size = router_advertisement_write(offer, past, frame + datagram_offset(&datagram));

	return datagram_write(&datagram, frame, IPPROTO_ICMPV6, ICMP_CHECKSUM_OFFSET, size);
}

static bool may_be_source(const struct request *request)
{
	const struct ip_address *source = &request->packet->source;

	return ip_equal(source, &unspecified) || ip_is_link_local(source) ||
	       allowed_address_may_use(request->tables, request->source, source);
}

// Whoever has an address is answered alone, at once; who has none, with all nodes, as often as that
// may be (RFC 4861 section 6.2.6).
static enum service receive_solicitation(struct request *request, struct router_schedule *schedule,
					 uint32_t now)
{
	const struct router_offer *offer = &request->service->advertisement;
	const uint8_t *data = rte_pktmbuf_mtod(request->mbuf, const uint8_t *);
	struct address_resolution message;
	uint8_t frame[FRAME_MAX];
	enum drop_reason reason;
	uint32_t size;

	reason = nd_read(data, rte_pktmbuf_data_len(request->mbuf), request->packet, &message);
	if (reason == DROP_NONE)
		reason = router_solicitation_read(data, request->packet);
	if (reason == DROP_NONE && !may_be_source(request))
		reason = DROP_ND_SPOOFED;
	if (reason != DROP_NONE)
		return drop(request, reason);
	if (!ip_equal(&request->packet->source, &unspecified)) {
		size = write_advertisement(request->network, offer, NULL, &request->source->mac,
					   &request->packet->source, frame);
		return answer(request, frame, size, "router solicitation: answered");
	}
	if (schedule && !router_schedule_take(schedule, now))
		return done(request, "router solicitation: all nodes hear of it soon");
	size = write_advertisement(request->network, offer, NULL, &all_nodes_mac, &all_nodes,
				   frame);
	return answer(request, frame, size, "router solicitation: answered to all nodes");
}

bool services_advertise(const struct network *network, const struct router_offer *offer,
			const struct router_schedule *schedule, struct rte_mbuf *mbuf)
{
	uint8_t frame[FRAME_MAX];
	uint32_t size = write_advertisement(network, offer, &schedule->past, &all_nodes_mac,
					    &all_nodes, frame);
	char *data = rte_pktmbuf_append(mbuf, (uint16_t)size);

	if (data)
		memcpy(data, frame, size);
	return data != NULL;
}

static enum service receive_nd(struct request *request, struct router_schedule *schedule,
			       uint32_t now)
{
	switch (request->packet->icmp_type) {
	case ND_ROUTER_ADVERTISEMENT:
	case ND_REDIRECT:
		return drop(request, DROP_RA_SPOOFED);
	case ND_ROUTER_SOLICITATION:
		return request->service->advertisement.network->present
			       ? receive_solicitation(request, schedule, now)
			       : SERVICE_NONE;
	default:
		return SERVICE_NONE;
	}
}

static enum service receive_udp(struct request *request)
{
	const struct packet *packet = request->packet;
	bool v4 = ip_is_v4(&packet->source);

	switch (ntohs(packet->key.destination_port)) {
	case DHCP_CLIENT_PORT:
		return v4 ? drop(request, DROP_DHCP_SPOOFED) : SERVICE_NONE;
	case DHCPV6_CLIENT_PORT:
		return v4 ? SERVICE_NONE : drop(request, DROP_DHCP_SPOOFED);
	case DHCP_SERVER_PORT:
		// Otherwise it is for another workload, which may well have such a server.
		return v4 && (mac_is_multicast(&packet->destination_mac) || to_gateway(request))
			       ? receive_dhcp(request)
			       : SERVICE_NONE;
	case DHCPV6_SERVER_PORT:
		if (v4)
			return SERVICE_NONE;
		if (ip_equal(&packet->destination, &dhcpv6_servers))
			return receive_dhcpv6(request, false);
		return to_gateway(request) ? receive_dhcpv6(request, true) : SERVICE_NONE;
	default:
		return SERVICE_NONE;
	}
}

// Advertisements and servers' messages are never so long that they are cut: nobody may hide one in
// fragments (RFC 6980, RFC 7113). What does not show here is known when the datagram is whole.
static enum service receive_fragment(struct request *request)
{
	const struct packet *packet = request->packet;
	const uint8_t *data = rte_pktmbuf_mtod(request->mbuf, const uint8_t *);
	uint32_t available = rte_pktmbuf_data_len(request->mbuf), port;
	bool v4 = ip_is_v4(&packet->source);
	struct fragment fragment;

	if (!fragment_read(data, available, packet, &fragment))
		return SERVICE_NONE;
	if (fragment.protocol == IPPROTO_ICMPV6 && ip_is_multicast(&packet->destination))
		return drop(request, DROP_ND_MALFORMED);
	// Further headers only hide what follows (RFC 7112).
	if (!v4 && ip_is_multicast(&packet->destination) &&
	    (fragment.protocol == IPPROTO_HOPOPTS || fragment.protocol == IPPROTO_ROUTING ||
	     fragment.protocol == IPPROTO_DSTOPTS || fragment.protocol == IPPROTO_FRAGMENT))
		return drop(request, DROP_EXTENSION_HEADERS);
	if (fragment.protocol != IPPROTO_UDP || fragment.offset ||
	    fragment.payload + 4u > available)
		return SERVICE_NONE;
	port = (uint32_t)data[fragment.payload + 2] << 8 | data[fragment.payload + 3];
	return port == (v4 ? DHCP_CLIENT_PORT : DHCPV6_CLIENT_PORT)
		       ? drop(request, DROP_DHCP_SPOOFED)
		       : SERVICE_NONE;
}

enum service services_from_port(const struct tables *tables, const struct endpoint *source,
				struct rte_mbuf *mbuf, const struct packet *packet,
				struct router_schedule *schedule, uint32_t now,
				enum drop_reason *reason, const char **about)
{
	struct request request = {
		.tables = tables,
		.network = &tables->networks[source->network],
		.source = source,
		.service = services_find(tables, (uint32_t)(source - tables->endpoints)),
		.mbuf = mbuf,
		.packet = packet,
		.reason = reason,
		.about = about,
	};
	enum service service = SERVICE_NONE;

	if (!request.service)
		return SERVICE_NONE;
	// Who lies about its MAC address is answered nothing: port security and address resolution
	// have their words for that.
	if (!mac_equal(&packet->source_mac, &source->mac))
		return SERVICE_NONE;
	if (packet->kind == PACKET_ND)
		service = receive_nd(&request, schedule, now);
	else if (packet->kind == PACKET_FRAGMENT)
		service = receive_fragment(&request);
	else if (packet->kind == PACKET_IP && packet->key.protocol == IPPROTO_UDP)
		service = receive_udp(&request);
	return service;
}

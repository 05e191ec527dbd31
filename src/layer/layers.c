// The order in which a first packet meets the layers.

#include "layer/external/external.h"
#include "layer/l2/l2.h"
#include "layer/l3/l3.h"
#include "layer/load_balancer/load_balancer.h"
#include "layer/nat/nat.h"
#include "layer/port_security/port_security.h"
#include "layer/qos/qos.h"
#include "layer/security_group/security_group.h"
#include "layer/tunnel/tunnel.h"

const struct layer *const layers[] = {
	&port_security_layer,	// is the sender who it says? (a port of this node)
	&tunnel_source_layer,	// the same for what comes through the tunnel
	&external_source_layer, // and for what comes from an external network
	&l2_layer,		// to whom, inside the network
	&load_balancer_layer,	// to which member, behind a virtual address
	&nat_destination_layer, // to whom inside, from an address outside
	&l3_layer,		// to whom, through the gateway
	&nat_source_layer,	// under which address outside
	&external_layer,	// may it go out to an external network, or come in?
	&security_group_layer,	// do both sides' groups allow the connection?
	&qos_layer,		// what limits and marks concern it
	&tunnel_layer,		// by which port, and inside what
	NULL,
};

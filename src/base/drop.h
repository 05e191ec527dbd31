// Why packets are dropped: the one list from which names, statistics and docs/reference/drops.md
// follow.

#pragma once

// name, text for the reference
#define DROP_REASONS(X)                                                                            \
	X(TRUNCATED, "truncated",                                                                  \
	  "The packet ends inside a header, or before the length that a header gives.")            \
	X(MALFORMED, "malformed",                                                                  \
	  "A header contradicts itself: version, lengths, options, addresses that can't be a "     \
	  "source. Or it asks for a source route.")                                                \
	X(CHECKSUM, "checksum", "The IPv4 header's checksum is wrong.")                            \
	X(ETHERTYPE, "ethertype", "Neither IPv4, IPv6 nor ARP.")                                   \
	X(VLAN, "vlan", "The frame has a VLAN tag that the port does not have.")                   \
	X(EXTENSION_HEADERS, "extension-headers",                                                  \
	  "More IPv6 extension headers, or more in them, than are looked through.")                \
	X(SOURCE_MAC, "source-mac", "The source MAC address is not the port's.")                   \
	X(SOURCE_ADDRESS, "source-address",                                                        \
	  "The source address is neither one of the port's nor in its allowedAddresses.")          \
	X(ARP_SPOOFED, "arp-spoofed", "An ARP packet gives a sender that is not the port.")        \
	X(ARP_MALFORMED, "arp-malformed",                                                          \
	  "An ARP packet is not for Ethernet and IPv4, or is no request or reply.")                \
	X(ARP_UNKNOWN, "arp-unknown", "Nobody in the network has the address that ARP asks for.")  \
	X(ND_SPOOFED, "nd-spoofed",                                                                \
	  "A neighbour discovery packet gives an address or a link-layer address that is not the " \
	  "port's.")                                                                               \
	X(ND_MALFORMED, "nd-malformed",                                                            \
	  "A neighbour discovery packet breaks the rules of RFC 4861 sections 6.1 and 7.1.")       \
	X(ND_UNKNOWN, "nd-unknown",                                                                \
	  "Nobody in the network has the address that neighbour discovery asks for.")              \
	X(RA_SPOOFED, "ra-spoofed",                                                                \
	  "A router advertisement or redirect from a workload: only the gateway sends these.")     \
	X(DHCP_SPOOFED, "dhcp-spoofed",                                                            \
	  "A DHCP or DHCPv6 server's or relay agent's message from a workload, or a client's "     \
	  "that speaks for another MAC address.")                                                  \
	X(DHCP_MALFORMED, "dhcp-malformed",                                                        \
	  "A DHCP or DHCPv6 message that breaks the rules of RFC 2131 or RFC 8415.")               \
	X(DHCP_UNANSWERED, "dhcp-unanswered",                                                      \
	  "A DHCP or DHCPv6 message that gets no answer: the service is disabled, the port has "   \
	  "no address, or another server was asked.")                                              \
	X(MULTICAST, "multicast",                                                                  \
	  "Multicast or broadcast that is not for workloads: a service's, of interface-local "     \
	  "scope, with a unicast MAC address, or in a network where its rate is 0.")               \
	X(MULTICAST_RATE, "multicast-rate",                                                        \
	  "More multicast, broadcast and unknown unicast than a port of the network may send.")    \
	X(NO_RECEIVER, "no-receiver",                                                              \
	  "Multicast or broadcast that nobody else in the network is to have: no other port, or "  \
	  "no member of the group.")                                                               \
	X(REPLICATION_QUEUE_FULL, "replication-queue-full",                                        \
	  "Too many packets wait for the rest of their copies to be made.")                        \
	X(ADDRESS_MOVES, "address-moves",                                                          \
	  "An address that several ports may use moves between them more often than it may.")      \
	X(MEMBERSHIP_MALFORMED, "membership-malformed",                                            \
	  "An IGMP or MLD message breaks the rules of RFC 2236, 3376, 2710 or 3810.")              \
	X(MEMBERSHIP_QUERY, "membership-query",                                                    \
	  "A workload's IGMP or MLD query: in each network Sluice is the one that asks.")          \
	X(MEMBERSHIP_FULL, "membership-full",                                                      \
	  "A report of a group, and the port or the node has as many as it may.")                  \
	X(UNKNOWN_MAC, "unknown-mac",                                                              \
	  "No port of the network has the destination MAC address, and multicast's rate is 0.")    \
	X(NOT_ROUTED, "not-routed", "Sent to the gateway of a network without a Vrf.")             \
	X(NO_ROUTE, "no-route", "No subnet or Route of the Vrf holds the destination address.")    \
	X(BLACKHOLE, "blackhole", "The Route to the destination address is a black hole.")         \
	X(NO_NEXT_HOP, "no-next-hop", "No port has the address of any next hop of the Route.")     \
	X(NO_MEMBER, "no-member",                                                                  \
	  "No member of the LoadBalancer takes a new connection: each is unhealthy, drains, or "   \
	  "no port has its address.")                                                              \
	X(ROUTE_LOOP, "route-loop", "Routes lead through more than 4 Vrfs.")                       \
	X(NO_HOST, "no-host",                                                                      \
	  "A subnet of the Vrf holds the destination address, but no port has it.")                \
	X(GATEWAY, "gateway", "Sent to the gateway's own address, and nothing that it answers.")   \
	X(TTL, "ttl", "The time to live or hop limit ended here.")                                 \
	X(HAIRPIN, "hairpin", "The packet would leave by the port that it came from.")             \
	X(SECURITY_GROUP_EGRESS, "security-group-egress",                                          \
	  "No egress rule of the sender's security groups allows the connection.")                 \
	X(SECURITY_GROUP_INGRESS, "security-group-ingress",                                        \
	  "No ingress rule of the receiver's security groups allows the connection.")              \
	X(NAT_PORTS, "nat-ports",                                                                  \
	  "A new connection, and no external port is left for it that its destination does not "   \
	  "see already.")                                                                          \
	X(NAT_BLOCKS, "nat-blocks",                                                                \
	  "The same, and the port has as many blocks of external ports as it may.")                \
	X(NAT_INBOUND, "nat-inbound",                                                              \
	  "To an address of a Nat's pool, and neither a reply nor what its forwards name.")        \
	X(TRANSLATION_GONE, "translation-gone",                                                    \
	  "The addresses or ports that a live connection was translated to are none any more "     \
	  "that the objects lead to.")                                                             \
	X(TRANSLATION_FULL, "translation-full",                                                    \
	  "A new connection to be translated, and no source port would let its replies be told "   \
	  "apart from others'.")                                                                   \
	X(TRANSLATION_UNFIT, "translation-unfit",                                                  \
	  "A packet that can't be translated: ICMP that is neither a query, its answer nor an "    \
	  "error, or a fragmented SCTP packet whose ports would change. Into the other IP family " \
	  "also SCTP, fragments of ICMP or of UDP without a checksum, and extension headers that " \
	  "can't be left out (RFC 7915).")                                                         \
	X(NAT64_ADDRESS, "nat64-address",                                                          \
	  "The IPv4 address in the destination is no host's, or not global, which 64:ff9b::/96 "   \
	  "may not stand for (RFC 6052 section 3.1): other prefixes may.")                         \
	X(HELPER, "helper",                                                                        \
	  "A packet of FTP or SIP that names addresses which are translated, and can't be "        \
	  "changed: "                                                                              \
	  "too much is expected already, it would be too large, or a part of what was changed "    \
	  "before comes again alone.")                                                             \
	X(NO_CONNECTION, "no-connection",                                                          \
	  "An ICMP error, an ICMP answer, a TCP packet but a SYN or an SCTP packet but an INIT "   \
	  "that belongs to no live connection.")                                                   \
	X(TCP_FLAGS, "tcp-flags", "TCP flags that no implementation sends.")                       \
	X(TCP_WINDOW, "tcp-window",                                                                \
	  "A TCP packet whose sequence or acknowledgement number is outside the connection's "     \
	  "windows or does not fit its handshake, or an ICMP error about such a one.")             \
	X(SCTP_TAG, "sctp-tag",                                                                    \
	  "An SCTP packet whose verification tag or chunk is not one of the association, or an "   \
	  "ICMP error about such a one.")                                                          \
	X(CONNECTION_TABLE_FULL, "connection-table-full",                                          \
	  "A new connection, and the table holds as many as it may.")                              \
	X(CONNECTION_LIMIT, "connection-limit",                                                    \
	  "A new connection, and the port that it comes from, or on the uplink the node, has as "  \
	  "many as it may.")                                                                       \
	X(HALF_OPEN_LIMIT, "half-open-limit",                                                      \
	  "A new connection, and the port or node that it comes from has as many half-open ones "  \
	  "as it may.")                                                                            \
	X(CONNECTION_RATE, "connection-rate",                                                      \
	  "A new connection, and the port or node that it comes from opens more a second than it " \
	  "may.")                                                                                  \
	X(UNKNOWN_VNI, "unknown-vni", "A tunnel packet with a VNI that no network has.")           \
	X(UNKNOWN_VTEP, "unknown-vtep", "A tunnel packet from an address that is no node's.")      \
	X(TUNNEL_HEADER, "tunnel-header",                                                          \
	  "A tunnel header that RFC 7348 or RFC 8926 does not allow.")                             \
	X(TUNNEL_SOURCE, "tunnel-source",                                                          \
	  "The inner source is not a port of the node that the tunnel packet came from.")          \
	X(TUNNEL_DESTINATION, "tunnel-destination",                                                \
	  "The inner destination is not a port of this node.")                                     \
	X(EXTERNAL_SOURCE, "external-source",                                                      \
	  "From an external network, and the source is an address that is not outside, or that "   \
	  "no Route leads back to there.")                                                         \
	X(NOT_TRANSLATED, "not-translated",                                                        \
	  "To an external network, and the source address is neither known there nor translated "  \
	  "to one that is.")                                                                       \
	X(NO_UPLINK, "no-uplink",                                                                  \
	  "The destination is on another node, and this node has no uplink or tunnel address, or " \
	  "the network no VNI.")                                                                   \
	X(NO_UNDERLAY_ROUTE, "no-underlay-route",                                                  \
	  "The other node's tunnel address is of another family, or off the link without a "       \
	  "gateway.")                                                                              \
	X(NEIGHBOUR_UNRESOLVED, "neighbour-unresolved",                                            \
	  "The next hop on the underlay does not answer ARP or ND, or too many packets wait for "  \
	  "it.")                                                                                   \
	X(NOT_FOR_US, "not-for-us",                                                                \
	  "On the uplink, and neither for Sluice nor for a host that goes on beside it.")          \
	X(FRAGMENT_MALFORMED, "fragment-malformed",                                                \
	  "A fragment that can't be one, or whose length contradicts its datagram's others.")      \
	X(FRAGMENT_TINY, "fragment-tiny",                                                          \
	  "A first fragment that does not hold all headers (RFC 1858, RFC 7112), or one of its "   \
	  "datagram.")                                                                             \
	X(FRAGMENT_OVERLAP, "fragment-overlap",                                                    \
	  "Fragments that overlap: their datagram ends (RFC 5722).")                               \
	X(FRAGMENT_DUPLICATE, "fragment-duplicate",                                                \
	  "A second copy of a fragment; the first one counts.")                                    \
	X(FRAGMENT_TIMEOUT, "fragment-timeout",                                                    \
	  "The rest of the datagram did not come within 30 seconds.")                              \
	X(FRAGMENT_LIMIT, "fragment-limit",                                                        \
	  "Too many datagrams or fragments wait for their rest; those of the port are limited, "   \
	  "and so are all together.")                                                              \
	X(CONGESTION, "congestion",                                                                \
	  "The underlay has marked its tunnel packet as one that met congestion, and its sender "  \
	  "does not understand such marks (RFC 6040).")                                            \
	X(RATE_LIMIT, "rate-limit",                                                                \
	  "More than a QosPolicy lets the port send or receive, or the connections of a rule or "  \
	  "group there.")                                                                          \
	X(TOO_BIG, "too-big", "Larger than the network's MTU, or than what the way out carries.")  \
	X(PORT_DOWN, "port-down", "The port that it should leave by is not connected.")            \
	X(QUEUE_FULL, "queue-full",                                                                \
	  "The port that it should leave by takes no more at the moment.")                         \
	X(WORKER_QUEUE_FULL, "worker-queue-full",                                                  \
	  "The worker that should go on with it is behind.")                                       \
	X(NO_BUFFER, "no-buffer", "No packet buffer was free.")                                    \
	X(OFFLOAD, "offload",                                                                      \
	  "What the packet leaves to a network card (a checksum, segmentation) contradicts its "   \
	  "headers, or is more than Sluice does.")                                                 \
	X(RECEIVE_ERROR, "receive-error",                                                          \
	  "The device handed over something broken, or there was no packet buffer for it.")        \
	X(SEND_ERROR, "send-error", "The device refused a packet that it had taken.")

enum drop_reason {
	DROP_NONE,
#define X(name, text, description) DROP_##name,
	DROP_REASONS(X)
#undef X
	DROP_REASON_COUNT,
};

// "source-mac" for DROP_SOURCE_MAC; "none" for DROP_NONE.
const char *drop_reason_name(enum drop_reason reason);
const char *drop_reason_description(enum drop_reason reason);

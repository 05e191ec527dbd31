// A worker: one thread that receives from its ports' queues, and does everything with a packet
// until it is sent.
//
// state.h       what it has
// fast_path.c   later packets: parse, look up, apply, send
// forward.c     how they leave
// slow_path.c   all that is no plain packet of a connection
// connection.c  first packets, and those that are judged anew
// limits.c      how many connections who may open
// reject.c      drops with an ICMP error to the sender
// size.c        packets that are larger than their way
// fragments.c   fragments wait for the rest of their datagram
// underlay.c    ARP and ND on the uplink
// external.c    networks outside
// multicast.c   who is in which multicast group
// announce.c    addresses that move from port to port
// replicate.c   packets with several receivers
// translation.c connections with other addresses or ports at their other side
// helper.c      addresses in the messages of connections that are translated
// services.c    DHCP, DHCPv6, router advertisements for this node's workloads
// qos.c         what a port, or a rule's connections, may send and receive
// credit.c      what limits allow a burst in advance
// delay.c       packets that a limit lets go later
// uplink_queue.c  packets that wait for their port's turn on the uplink
// hold.c        packets that wait for a next hop's MAC address
// hand_over.c   to other workers: first packets for a connection's owner, packets to send
// transmit.c    gathers packets for a port into bursts
// vlan.c        tags between a workload and its sub-ports
// offload.c     connections that are left to the kernel
// capture.c     copies for who captures packets
// loop.c        one turn after the other
// sleep.c       what a worker does when there is nothing to do; awake.h: when it does not
// trace.c       a packet through all of it that reaches nobody and changes nothing

#pragma once

#include "worker/state.h"

// engine.c
void worker_wake(struct worker *worker);
// loop.c: what a worker's thread does, until it is to stop.
void *worker_main(void *worker);

// How a packet goes on, after it was decided.
struct passage {
	struct ingress ingress;
	struct flow_action action;
	struct flow_hash hash;
	const struct flow *flow; // that it is of; NULL: of none, it has several receivers
	enum flow_direction_index direction;
	uint64_t slot; // in which it may leave (worker/delay.h); 0: at once
};

// fast_path.c
void fast_path_receive(struct worker *worker, const struct poll_entry *from,
		       struct rte_mbuf **mbufs, uint32_t count);
void fast_path_again(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count);

// forward.c: take the mbuf over. Whatever the passage says is done, with the second one also to a
// datagram in fragments.
void forward_any(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		 const struct passage *passage);
void fast_path_forward(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage);

// translation.c: rewrites a packet of a FLOW_ACTION_TRANSLATE, and takes `hops` (0 or 1) off it.
// Anything but a plain packet; false: it can't be translated, and nothing was done.
bool translation_apply(struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct flow_key *back, unsigned int hops);
// The same of a FLOW_ACTION_FAMILY. Its data lie elsewhere then.
bool translation_change_family(struct rte_mbuf *mbuf, const struct packet *packet,
			       const struct flow_key *back, unsigned int hops);
// How long an IP packet may be, as it is received, to leave in an `mtu` with the other family's
// headers.
uint32_t translation_family_mtu(const struct rte_mbuf *mbuf, const struct packet *packet,
				uint32_t mtu);
// In a trace.
void translation_say(struct worker *worker, const struct packet *packet,
		     const struct flow_key *back);
// Sees to it that no other connection has the key of a new one's replies, and that these come to
// its owner: by another source port of the packets as they leave, if need be. `hash` is that of the
// walk's packet, `replaced` a connection that ends with this one's begin (0: none). False: there is
// no such port.
bool translation_fit(const struct worker *worker, struct walk *walk, struct flow_hash hash,
		     flow_reference replaced);

// helper.c, all of it of a FLOW_ACTION_HELPED at its owner: before a packet is accounted, what it
// acknowledges becomes what was sent.
void helper_unshift(const struct worker *worker, const struct flow *flow,
		    enum flow_direction_index direction, struct packet *packet);
// Before it is translated, as it is on its way: what it names, of at most `limit` bytes of IP
// packet. False: it can't go on.
bool helper_apply(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		  const struct passage *passage, uint32_t limit);
// Messages that came in pieces, or were too long to be looked at. Any thread.
uint64_t helper_untranslated(const struct worker *worker);
bool helper_open(struct worker *worker);
void helper_close(struct worker *worker);

// slow_path.c: take the mbuf over. `reference`: what flow_table_find has found.
void slow_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
	       struct ingress ingress, struct flow_hash hash);
void slow_path_found(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash, flow_reference reference);
// What a walk dropped goes to the account of the port whose policy it was.
void slow_path_drop_walked(struct worker *worker, struct rte_mbuf *mbuf, const struct walk *walk);
// What is for the gateway itself.
void slow_path_answer(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress);

static inline enum drop_reason slow_path_outside(const struct packet *packet)
{
	return packet->key.protocol == IPPROTO_SCTP ? DROP_SCTP_TAG : DROP_TCP_WINDOW;
}

// connection.c: the same, of what has one receiver and is not for services.
void connection_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_hash hash, flow_reference reference);

// limits.c: may one more connection be opened from there, in place of `replaced` (0: of none)?
// DROP_NONE, or why not. Owner, and traces.
enum drop_reason limits_judge(struct worker *worker, const struct packet *packet,
			      struct ingress ingress, struct flow_hash hash,
			      flow_reference replaced);

// reject.c: like worker_drop, to the account of the port of ingress, and the sender is told where a
// router would. `mtu` is what the packet exceeds.
void worker_reject(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, enum drop_reason reason);
void worker_reject_size(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress, uint32_t mtu);
bool reject_open(struct worker *worker);
void reject_close(struct worker *worker);

// services.c. True: it was for them, and the mbuf is taken over.
bool services_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress);
void services_turn(struct worker *worker, bool new_second);

// size.c: take the mbuf over. `mtu` is what an IP packet of it may have.
void size_exceeded(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		   const struct passage *passage, uint32_t mtu);
// Of the sender's own network.
void size_exceeded_at_port(struct worker *worker, struct rte_mbuf *mbuf,
			   const struct packet *packet, struct ingress ingress);
// Of the way to the destination's node, as far as that is known still: false, and nothing is done.
bool size_exceeds_path(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage);

// fragments.c
bool fragments_open(struct worker *worker);
void fragments_close(struct worker *worker);
void fragments_clear(struct worker *worker);
void fragments_turn(struct worker *worker, bool new_second);
// A PACKET_FRAGMENT. Takes the mbuf over.
void fragments_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       struct ingress ingress, struct flow_hash hash);
// A whole datagram that was handed over.
void fragments_again(struct worker *worker, struct rte_mbuf *mbuf);
// With each fragment of a datagram (MBUF_DATAGRAM), what `packet` says is decided of the whole.
void fragments_forward(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		       const struct passage *passage);
void fragments_replicate(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			 struct ingress ingress, struct flow_hash hash);
// False: the gateway has no answer, and nothing is done.
bool fragments_answer(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		      struct ingress ingress);

// underlay.c
struct tunnel_outer;

// A TUNNEL_PATH_MTU. False: it is not believed, and nothing is done.
bool underlay_path_mtu(struct worker *worker, struct rte_mbuf *mbuf,
		       const struct tunnel_outer *outer);
void underlay_receive(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet);
void underlay_to_host(struct worker *worker, struct rte_mbuf *mbuf, enum drop_reason reason);
void underlay_from_host(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count);
void underlay_turn(struct worker *worker, bool new_second);

// ARP and ND that says where a next hop is, in an external network or (0) on the underlay.
struct address_resolution;
void underlay_learn(struct worker *worker, uint16_t network,
		    const struct address_resolution *message);

// external.c: what came on the uplink and is not the tunnels'.
enum external_receive {
	EXTERNAL_NOT_OURS, // nothing was done
	EXTERNAL_DONE,	   // the mbuf is taken over
	EXTERNAL_PACKET,   // for an address of ours in `network`; without a tag now
};
enum external_receive external_receive(struct worker *worker, struct rte_mbuf *mbuf,
				       struct packet *packet, uint16_t *network);
// Sends a frame that is complete, but for the tag, into an external network.
void external_send(struct worker *worker, struct rte_mbuf *mbuf, const struct network *network);
// The uplink's worker, once a second and with other tables: says which addresses have come here.
void external_announce(struct worker *worker, bool new_second);

// Says to everybody there that this node has the address.
void external_announce_one(struct worker *worker, const struct network *network,
			   const struct ip_address *address);

// conflict.c: ARP or ND on an external network; somebody else may say to have an address of ours.
void conflict_heard(struct worker *worker, const struct network *network,
		    const struct packet *packet, const struct address_resolution *message);

// relay.c

// A packet from outside that is for a Port of another node: is taken over, or false. Without a tag.
bool relay_out(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet,
	       uint16_t network);
// In which external network it came to that node; 0: that can't be.
uint16_t relay_in(struct worker *worker, const struct packet *packet, uint16_t peer);
// What such a frame's source begins with; Ports can't have it.
#define RELAY_MAC 0x06, 0x53, 0x4c, 0
// Has another node sent it on so? Of what came out of a tunnel.
static inline bool relay_is(const struct packet *packet)
{
	static const uint8_t begin[] = {RELAY_MAC};

	return memcmp(&packet->source_mac, begin, sizeof(begin)) == 0;
}

// announce.c

// `sender` says by ARP or ND that it has an address, which it is allowed.
void announce_heard(struct worker *worker, const struct endpoint *sender,
		    const struct address_resolution *message, struct ingress ingress);

// Somebody looks for an address. Nothing is done but for one that several ports may have: they are
// asked. `port` is where the question comes from.
void announce_ask(struct worker *worker, uint16_t network, const struct ip_address *address,
		  uint16_t port);
void announce_ask_owner(struct worker *worker, const struct shared_address *shared, uint16_t port);

// ARP or ND that came through the tunnel. Takes the mbuf over.
void announce_from_node(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
			struct ingress ingress);

// qos.c: of a packet that an action with FLOW_ACTION_LIMIT is about, before it is forwarded.
// `sender` and `receiver` are the rules that let the connection in. False: it is too much, and the
// packet was dropped. Else the passage may have another mark, and a slot.
bool qos_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		struct passage *passage, struct flow_rule sender, struct flow_rule receiver);

// A packet of such an action that is finished leaves: at once, in its slot, or in its port's turn.
void qos_leave(struct worker *worker, struct rte_mbuf *mbuf, const struct passage *passage);
void qos_send(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from);

// Of a packet that has passed, and will come again.
void qos_give_back(struct worker *worker, const struct rte_mbuf *mbuf, const struct packet *packet,
		   struct ingress ingress, const struct flow *flow, unsigned int direction);

// The same of a packet with several receivers, at its sender's port and then at each receiver's.
// Only says so.
bool qos_group(struct worker *worker, const struct rte_mbuf *mbuf, const struct packet *packet,
	       uint16_t port, struct flow_rule rule, bool sends);

static inline bool qos_passes(struct worker *worker, struct rte_mbuf *mbuf,
			      const struct packet *packet, struct passage *passage,
			      struct flow_rule sender, struct flow_rule receiver)
{
	return likely(!(passage->action.flags & FLOW_ACTION_LIMIT)) ||
	       qos_packet(worker, mbuf, packet, passage, sender, receiver);
}

// Of a live connection's.
static inline bool qos_passes_flow(struct worker *worker, struct rte_mbuf *mbuf,
				   const struct packet *packet, struct passage *passage)
{
	return likely(!(passage->action.flags & FLOW_ACTION_LIMIT)) ||
	       qos_packet(worker, mbuf, packet, passage,
			  passage->flow->direction[passage->direction].rule,
			  passage->flow->direction[!passage->direction].rule);
}

// hold.c: `hash` of a packet whose connection has counted it, else NULL.
void hold_packet(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		 struct ingress ingress, struct neighbour *neighbour, const struct flow_hash *hash);
// Does a packet wait for it still? Those that come now go behind it, even if the answer is there.
bool hold_has(const struct worker *worker, const struct neighbour *neighbour);
void hold_turn(struct worker *worker, bool new_second);
void hold_free(struct worker *worker);

// hand_over.c
void hand_over_first(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, uint32_t owner);
void hand_over_transmit(struct worker *worker, struct rte_mbuf **mbufs, uint32_t count,
			uint16_t port, uint32_t owner);
// One that came `from` a port.
void hand_over_queue(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port, uint16_t from,
		     uint32_t owner);
uint32_t hand_over_receive(struct worker *worker);
bool hand_over_waiting(const struct worker *worker);

// transmit.c
void transmit_flush(struct worker *worker, struct transmit_buffer *buffer);
// Only to ports that are prompt: packets for them don't wait until those of other ports are done.
void transmit_flush_prompt(struct worker *worker);
void transmit_flush_all(struct worker *worker);

static inline void transmit_add(struct worker *worker, struct rte_mbuf *mbuf, uint16_t port)
{
	struct transmit_buffer *buffer = &worker->transmit[port % TRANSMIT_BUFFERS];

	if (unlikely(buffer->port != port || buffer->count == PORT_BURST)) {
		if (buffer->count)
			transmit_flush(worker, buffer);
		buffer->port = port;
	}
	buffer->packets[buffer->count++] = mbuf;
	worker->transmit_pending |= UINT64_C(1) << (port % TRANSMIT_BUFFERS);
}

// Sends an answer where the question came from, by `port` in `network`.
static inline void worker_answer(struct worker *worker, struct rte_mbuf *mbuf, uint16_t network,
				 uint16_t port)
{
	if (port == PORT_UPLINK)
		external_send(worker, mbuf, &worker->tables->networks[network]);
	else
		transmit_add(worker, mbuf, port);
}

// offload.c: after a burst of `count` packets that can be of connections for the kernel.
void offload_sample(struct worker *worker, uint32_t count);
// At the end of a turn; `quiet`: one in which nothing came.
void offload_turn(struct worker *worker, bool quiet);
// A next hop's MAC address or the MTU of a way is another one now.
void offload_underlay_changed(struct worker *worker);
// The second in which the kernel last sent something by a next hop; long ago if it never has.
uint32_t offload_next_hop_used(const struct worker *worker, const struct neighbour *next_hop);
// A packet of a connection that is the kernel's. True: forwarded; the mbuf is taken over. False:
// the connection is Sluice's again. Owner.
bool offload_receive(struct worker *worker, struct rte_mbuf *mbuf, const struct packet *packet,
		     struct ingress ingress, struct flow_hash hash, flow_reference reference);

// vlan.c
#define VLAN_TAG_SIZE 4

// Takes the tag off a frame that has one. Returns the port whose packet it is: `port` itself, or
// the one that is this VLAN on it. 0: nobody's, and it is dropped.
uint16_t vlan_receive(struct worker *worker, struct rte_mbuf *mbuf, struct packet *packet,
		      uint16_t port);

// Takes the tag off, and puts one on. False: there is no room for it.
void vlan_remove(struct rte_mbuf *mbuf, struct packet *packet);
bool vlan_insert(struct rte_mbuf *mbuf, uint16_t vlan);

// Tags packets on their way to the device. Returns how many are left; the others had no room.
uint32_t vlan_send(struct rte_mbuf **mbufs, uint32_t count, uint16_t vlan);

// sleep.c
void worker_sleep(struct worker *worker);

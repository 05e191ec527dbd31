// A port: where packets enter and leave, whatever is behind it. Drivers fill a struct port_driver
// and embed struct port at the start of their own state.
//
// Threads: open and close run on the control thread. receive, send and arm run on the one worker
// that owns the queue; nothing else touches a queue. After the control thread took a port out of
// the workers' configuration and waited for their quiescent state, it may close it.

#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

#include "base/address.h"
#include "base/drop.h"
#include "base/error.h"

struct rte_mbuf;
struct event_base;
struct rte_mempool;
struct port;
struct port_landing;
struct port_parts;
struct claims;

#define PORT_NAME_SIZE	 64
#define PORT_QUEUES_MAX	 16
#define PORT_BURST	 32
#define PORT_MODE_NONE	 UINT32_MAX
#define PORT_MEMBERS_MAX 8

enum port_device_kind {
	PORT_DEVICE_VHOST_USER,
	PORT_DEVICE_TAP,
	PORT_DEVICE_NETDEV,
	PORT_DEVICE_PCI,
	PORT_DEVICE_DEVARGS,
	PORT_DEVICE_FAILOVER, // several, of which the best one that works carries all
};

// How a PORT_DEVICE_NETDEV is taken. Tests and measurements choose; everybody else leaves it at
// AUTO.
enum port_netdev_method {
	PORT_NETDEV_AUTO,
	PORT_NETDEV_AF_XDP,
	PORT_NETDEV_AF_PACKET,
};

// What to open.
struct port_device {
	enum port_device_kind kind;
	// Socket path, interface name, PCI address or devargs.
	char name[256];
	// PORT_DEVICE_TAP: named network namespace, or empty.
	char netns[64];
	// PORT_DEVICE_VHOST_USER: Sluice makes the socket, with these permissions (PORT_MODE_NONE:
	// the umask's) for this user and group (names or numbers; empty: the process's own).
	bool server;
	uint32_t mode;
	char owner[33];
	char group[33];
	// Queue pairs wanted, 1 to PORT_QUEUES_MAX. A driver may open fewer (port->queues), never
	// more.
	uint16_t queues;
	// Largest IP packet in bytes. For an interface of the kernel's the lesser of this and what
	// that has; 0: what that has.
	uint16_t mtu;
	// MAC address given to a tap's kernel side, and to a DPDK device that is an uplink. All
	// zero: left alone.
	struct mac_address mac;
	// The device leads to the underlay and is shared with the host's kernel: only tunnel
	// packets, ARP and ND for `vtep` are Sluice's; the rest must reach the kernel.
	bool uplink;
	struct ip_address vtep;
	enum port_netdev_method method;
	// It is one of several: nothing is left to the kernel that would go on by this one alone.
	bool member;
	// PORT_DEVICE_FAILOVER: 1 to PORT_MEMBERS_MAX, best first. `name` lists them for people.
	const struct port_device *members;
	uint16_t member_count;
};

// Zero what is not set: all bytes are compared.
bool port_device_same(const struct port_device *a, const struct port_device *b);

// Programs that forward connections in the kernel, by file descriptor (flow_offload/): at a packet
// socket, at that of the uplink, and at the interface's ingress. What the one of the uplink does
// not forward goes through the filter in `filters`, an array of one program. `tunnel_send`, at the
// uplink's egress, makes a tunnel's of large sends with outer headers that have this mark.
struct port_programs {
	int decide;
	int decide_tunnel;
	int filters;
	int forward;
	int tunnel_send;
	uint32_t mark;
};

// What drivers may use, for all ports alike. Outlives the ports: they keep the pointer.
struct port_environment {
	struct rte_mempool *pool;     // for received packets; headroom RTE_PKTMBUF_HEADROOM
	struct rte_rcu_qsbr *workers; // the workers' quiescent state; a sleeping worker is offline
	const struct port_programs *programs; // NULL: there are none
	const struct claims *claims;	      // of an uplink; NULL: its tunnel address alone
	struct event_base *base;	      // the control thread's; for vhost-user
	int changed_fd; // eventfd: a device has to be looked at; 0: nobody does (port_changed)
};

// What a port finishes by itself in packets that it sends (port/offload.h).
#define PORT_OFFLOAD_CHECKSUM	     1 // of TCP and UDP
#define PORT_OFFLOAD_TSO4	     2 // these include the checksum
#define PORT_OFFLOAD_TSO6	     4
#define PORT_OFFLOAD_USO	     8
#define PORT_OFFLOAD_UFO	     16
#define PORT_OFFLOAD_TUNNEL_CHECKSUM 32 // of a packet in a tunnel
#define PORT_OFFLOAD_TUNNEL_TSO	     64
#define PORT_OFFLOAD_TSO_CWR	     128 // also with CWR in the TCP header (offload.h)

// Counters of one worker for one port; written by that worker only. A packet that is to be cut
// counts as one where it comes in, and where it leaves as it is; its segments count each where they
// are made before they leave.
struct port_counters {
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t drops[DROP_REASON_COUNT];
} __rte_cache_aligned;

static inline void port_counters_add(struct port_counters *sum, const struct port_counters *one)
{
	sum->rx_packets += one->rx_packets;
	sum->rx_bytes += one->rx_bytes;
	sum->tx_packets += one->tx_packets;
	sum->tx_bytes += one->tx_bytes;
	for (unsigned int reason = 0; reason < DROP_REASON_COUNT; reason++)
		sum->drops[reason] += one->drops[reason];
}

struct port_errors {
	uint64_t send;
	uint64_t receive;
	uint64_t offload;
};

struct port_driver {
	const char *name;

	// Sending a few packets now and a few later costs about as much as all at once: no system
	// call, no doorbell.
	bool prompt;

	// Receives up to `count` packets; each is whole in its mbuf chain, all headers in the first
	// segment (at least 256 bytes of the packet, or all of it). It is complete, or says in the
	// form of port/offload.h what is missing, and that was checked. From an uplink it is never
	// to be cut, but for TCP in a tunnel.
	uint16_t (*receive)(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			    uint16_t count);

	// Sends up to `count` packets and returns how many were taken; those are the driver's and
	// freed by it. The rest stays the caller's. A mbuf may be a chain. No more is left to do in
	// a packet than port->offloads says.
	uint16_t (*send)(struct port *port, uint16_t queue, struct rte_mbuf **packets,
			 uint16_t count);

	// Prepares to sleep: after it, `*fd` polls readable (POLLIN) when the queue may have
	// packets. Returns false where there is work already or the port can't wake anybody up
	// (`*fd` is then -1 and the worker has to look from time to time). A queue that can't have
	// packets (nobody connected) sets *fd to -1 and returns true; the driver calls port_wake
	// when that changes. Arm and disarm are called while the worker is online.
	bool (*arm)(struct port *port, uint16_t queue, int *fd);

	// Ends what arm began; drains the descriptor if need be. Never blocks.
	void (*disarm)(struct port *port, uint16_t queue);

	// Is somebody at the other end, as far as is known? Any thread. To be shown, and to choose
	// between two reasons of a drop: a port that was down may only be seen to be up by sending.
	bool (*up)(const struct port *port);

	// Looks whether the device is still there, and sets port->gone if not. Control thread, once
	// a second; NULL where receive and send notice it by themselves.
	void (*check)(struct port *port);

	// Live upgrade: gives what another process needs to go on in this one's place, with nothing
	// lost of what has come and was not received (port/parts.h). No worker runs; the port does
	// nothing more until it is closed, or hand_over_undo has it go on. False: no memory. NULL:
	// it can't, so one process has to close the device before the other opens it.
	bool (*hand_over)(struct port *port, struct port_parts *parts);
	void (*hand_over_undo)(struct port *port); // NULL: there is nothing to do
	// Of a port that was taken over, once it forwards and before the other process closes its
	// own: what takes long, and what the other one still does. True: offload_interface is
	// another one now. NULL: there is nothing to do.
	bool (*settle)(struct port *port);
	// The following are of ports with several devices; NULL: it is one device.

	// `sender` took nothing of what it was given. Who sends from now on: perhaps another one.
	// Worker.
	struct port *(*refused)(struct port *port, struct port *sender);
	// wake_fds and landings of a queue are other ones now. Control thread, before workers see
	// it.
	void (*assigned)(struct port *port, uint16_t queue);
	// Adds what was counted by its devices. Control thread.
	void (*errors_add)(const struct port *port, struct port_errors *errors);

	void (*close)(struct port *port);
};

struct port {
	const struct port_driver *driver;
	char name[PORT_NAME_SIZE]; // of the Port object, or `uplink`
	uint16_t queues;	   // queue pairs in use, at least 1
	// The one that sends what is for this port: itself, or of several devices one. It may
	// change at any time: a worker takes it once a burst, and what its fields say then counts.
	_Atomic(struct port *) sender;
	// Grows when another one sends. Written by any thread.
	_Atomic uint32_t moves;
	// Time stamp counter when send first took nothing; 0: it has since. Written by workers.
	uint64_t stuck;
	// Some queue's arm can return false with *fd -1: the worker then sleeps in short steps.
	// Written by any thread, relaxed.
	bool needs_polling;
	// The interface behind it was removed: it stays down until the port is closed and opened
	// anew. Set by a worker or driver thread, read by any.
	bool gone;
	// Another process has the device now: closing leaves it as it is.
	bool handed_over;
	// What was made for it is to be there for the next process, too. Set before it is closed.
	bool stays;
	// PORT_OFFLOAD_ bits. A guest's may change while it runs: written by any thread, relaxed.
	uint32_t offloads;
	// Queues on which the other end takes packets, a bit each: a guest may use fewer than the
	// port has. Sending on another is lost. Written by any thread, relaxed.
	uint32_t send_queues;
	// Packets that send took and the device then refused (too large, no room for a copy), and
	// packets from the device that were broken or found no buffer. Written by workers, read by
	// any thread.
	uint64_t send_errors;
	uint64_t receive_errors;
	// Packets whose virtio header contradicted them, likewise.
	uint64_t offload_errors;
	// The device's own MAC address, and the largest IP packet in bytes that it carries; for
	// uplinks.
	struct mac_address mac;
	uint16_t mtu;
	// Index of the kernel's interface, if the environment's programs are at it; else 0.
	unsigned int offload_interface;
	// Index of the kernel's interface behind it; 0: there is none.
	unsigned int interface_index;
	// Eventfd of the worker of each queue, or -1; set by the control thread before workers see
	// the port.
	int wake_fds[PORT_QUEUES_MAX];
	// What the worker of each queue lends it to receive into; likewise. Not NULL while it
	// receives.
	struct port_landing *landings[PORT_QUEUES_MAX];
};

// Opens the device. On success `*port` is the caller's until port_close. On failure nothing is left
// behind and the error names device and cause in one line. Control thread; may block for some
// milliseconds.
int port_open(const char *name, const struct port_device *device,
	      const struct port_environment *environment, struct port **port, struct error *err);

// The same with what another process gave of its port for this device; `parts` stays the caller's.
int port_take_over(const char *name, const struct port_device *device,
		   const struct port_environment *environment, struct port_parts *parts,
		   struct port **port, struct error *err);
// What the devices refused or got broken.
struct port_errors port_errors(const struct port *port);

// Has the control thread look at the devices soon: one may have gone, or its link have changed. Any
// thread.
void port_changed(const struct port_environment *environment);

// No worker may use it any more. Frees `port`.
void port_close(struct port *port);

// Makes the workers of the port look at it soon. Any thread; drivers call it when a queue comes to
// life.
void port_wake(struct port *port);

// The control thread's state: desired objects, the devices that are open for them, and the engine
// that runs on both. Everything here belongs to one thread, the one of the event loop.

#pragma once

#include <limits.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "control/heartbeat.h"
#include "flow/adopt.h"
#include "flow/keep.h"
#include "layer/compile.h"
#include "layer/router_advertisement/router_advertisement.h"
#include "model/set.h"
#include "model/store.h"
#include "port/port.h"
#include "rpc/server.h"
#include "worker/conflict.h"
#include "worker/engine.h"

#define CONTROL_PORTS_MAX 65536

// A device that should be open: the uplink or a Port of this node.
struct control_port {
	char name[PORT_NAME_SIZE];
	struct port_device device;	 // its members are the entry's own
	struct port *port;		 // NULL while it can't be opened
	struct port_counters *counters;	 // one a worker, and one for tracing
	struct router_schedule schedule; // the workers'
	// Of devices that were open before; the present one's are in `port`.
	struct port_errors errors;
	// What the kernel had counted for its number before.
	struct port_counters offloaded_before;
	char problem[512]; // why it can't be opened
	uint32_t parent;   // the port whose device it uses, for a VLAN; else 0
	uint64_t told;	   // status_mark of what those who watch know
	bool wanted;	   // in the present objects
	bool closing;	   // the next tables are to be without it
	bool given;	   // by another process, and not settled
};

struct audit;
struct upgrade;
struct claims;
struct members;
struct drain;
struct device_events;
struct watch;

#define ADDRESS_CONFLICTS_MAX 64

// conflicts.c
struct address_conflicts {
	struct {
		struct conflict conflict;
		uint32_t last; // second
	} list[ADDRESS_CONFLICTS_MAX];
	uint32_t count;
	bool changed; // since those who watch were told
};

struct control {
	const char *node;
	struct event_base *base;
	struct event *retry;
	struct drain *drains;	      // calls that wait
	struct device_events *events; // NULL: nothing is heard of devices
	struct engine *engine;
	struct audit *audit;	     // NULL: not yet
	const char *state;	     // path of the store
	struct store *store;	     // NULL: it can't be opened, and is tried again
	char store_problem[512];     // why the last change could not be stored; empty: it was
	char set_aside[PATH_MAX];    // the last store that was damaged; empty: there is none
	uint64_t copied;	     // revision + 1 of the store's copy; 0: none was written yet
	bool copy_failed;	     // and that was said
	struct heartbeat *heartbeat; // NULL: nobody looks yet
	struct object_set *objects;
	uint64_t revision;
	struct compile_numbers numbers;
	struct flow_keep keep;		   // where connections outlive the process
	struct flow_adoption adoption;	   // of an earlier process's
	bool names_missing;		   // what their numbers mean is to be written there
	bool pages_missing;		   // some of the table found no room there
	struct tables *tables;		   // in force
	bool untidy;			   // after a change there is memory to give back
	const struct object_set *in_force; // what they were compiled from; NULL: gone
	struct control_port *ports[CONTROL_PORTS_MAX]; // by port number
	uint32_t port_count;			       // highest number + 1
	struct port_counters *ended;		       // of ports that are no more, one a worker
	char behind[512]; // why the tables in force are not those of the objects; empty: they are
	struct rpc_server *server;
	struct reflection *reflection;
	struct health *health; // serving: the tables in force are those of the objects
	struct metrics_server *metrics;
	uint32_t flow_followers;
	struct store_waiting waiting; // the last change, if it is to be confirmed
	struct event *confirmation;   // the end of the wait; NULL: there has never been one
	TAILQ_HEAD(, impact) impacts; // that are being worked out
	unsigned int impact_count;
	int64_t revert_pause; // milliseconds until a revert that failed is tried again
	struct address_conflicts conflicts;
	struct members *members;	     // NULL: not yet
	struct watch *watch;		     // NULL: nobody can yet
	struct mac_address uplink_mac;	     // of the device that was open last
	struct port_device *members_asked;   // PORT_MEMBERS_MAX, of what was asked for last
	struct port_environment environment; // drivers keep a pointer to it
	struct upgrade *upgrade;	     // to another process; NULL: none is under way
	char *const *arguments;		     // of this process
	struct claims *claims; // what on the uplink is Sluice's; NULL: the kernel has no map of it
};

struct control_options {
	const char *node;
	const char *api;     // unix:PATH
	const char *state;   // path of the store
	const char *flows;   // path where connections outlive the process; NULL: they don't
	const char *metrics; // HOST:PORT; NULL: not served
	bool page;	     // there, too
	const char *listen;  // HOST:PORT of the API with TLS; NULL: not served
	struct rpc_tls_files tls;
	const struct rpc_roles *roles; // of callers there
	struct engine_options engine;
	char *const *arguments; // of this process, for the one that takes its place
	int take_over;		// socket to the process whose place this one takes; -1: none
};

// Opens the store, brings its state back into force, and answers on the API when it returns. EAL is
// initialised.
int control_open(const struct control_options *options, struct event_base *base,
		 struct control **control, struct error *err);
void control_close(struct control *control);

// reconcile.c: makes `tables` (compiled from control->objects) real: closes devices that are no
// longer wanted, opens new ones, puts the tables in force. A device that can't be opened stays out
// and is tried again later; that is no error. The tables are taken over.
void control_reconcile(struct control *control, struct tables *tables);
// Its two steps. Without what changes or goes; false: the earlier tables stay in force. Then with
// what is new.
bool control_reconcile_begin(struct control *control, struct tables *tables);
void control_reconcile_end(struct control *control);

// The port whose device the entry's packets go through: itself, or a VLAN's parent; NULL: there is
// none now.
const struct control_port *control_device(const struct control *control,
					  const struct control_port *entry);

// What the objects want of one port number of the tables; false: nothing. The name lives as long as
// the tables.
bool control_wants_device(const struct control *control, const struct tables *tables,
			  uint32_t number, const char **name, struct port_device *device);

// audit.c: holds what is in force against the objects, by itself and when it is asked to. False: no
// memory.
bool audit_open(struct control *control);
// Before the server: calls that wait are answered. NULL does nothing.
void audit_close(struct audit *audit);
void audit_answer(struct control *control, struct rpc_call *call);

// NULL without memory.
Sluice__V1__AuditStats *audit_stats(const struct control *control);

// Compiles a set with the next generation. Nothing is in force yet.
int control_compile(struct control *control, const struct object_set *objects,
		    struct tables **tables, struct error *err);

// status.c: adds what the data plane has of each object; statuses_free takes that out again.
void statuses_add(const struct control *control, Sluice__V1__GetResponse *response);
void statuses_free(Sluice__V1__GetResponse *response);

// Of one object, freed with its free_unpacked.
Sluice__V1__ObjectStatus *status_new(const struct control *control,
				     const Sluice__V1__Object *object);

// Another number as soon as the status of the entry's object is another one.
uint64_t status_mark(const struct control *control, const struct control_port *entry);
// Does the Route lead to this router outside?
struct external_hop;
bool status_route_names(const struct control *control, const Sluice__V1__Route *route,
			const struct external_hop *router);

// watch.c: calls that are told of changes. False: no memory.
bool watch_open(struct control *control);
// After the server, which has the calls. NULL does nothing.
void watch_close(struct watch *watch);
void watch_answer(struct control *control, struct rpc_call *call,
		  const Sluice__V1__WatchRequest *request);

// Other objects are in force than `before`, with the number in control->revision.
void watch_objects(struct control *control, const struct object_set *before);

// Something else may be: looks at what the data plane has.
void watch_statuses(struct control *control);

// Of one device of an uplink with several, freed with its free_unpacked.
Sluice__V1__DeviceStatus *status_device_new(const struct port *uplink, uint16_t index);
// The port of an uplink with several devices, or NULL.
struct port *control_failover(const struct control *control);

// drain.c: has other devices of the uplink carry its traffic. The call is answered when it is done.
rpc_handler drain_answer, undrain_answer;
// Before the server: calls that wait are answered.
void drains_end(struct control *control);

// claims.c: tells the kernel which addresses on the uplink are Sluice's by these tables.
void control_claim(struct control *control, const struct tables *tables);

// conflicts.c: once a second; and how often somebody else said to have an address, since the start.
void control_conflicts(struct control *control);
uint64_t control_conflict_count(const struct control *control);

// watched_nodes.c: once a second.
void control_watched_nodes(const struct control *control);

// members.c: how many connections members of LoadBalancers have, counted again and again; and what
// becomes of their health, in the log. False: no memory.
bool members_open(struct control *control);
void members_close(struct members *members);

// An address of a member.
struct member_view {
	const char *balancer, *member;
	const struct ip_address *address;
	const char *state;		    // of MemberStatus
	char reason[TABLES_NAME_SIZE + 32]; // of that, if there is one
	bool up;
	uint64_t connections;
};

// Calls `look` for each that LoadBalancer number `index` of the tables has, UINT32_MAX: of all.
// Ended by false.
bool members_visit(const struct control *control, uint32_t index,
		   bool (*look)(void *context, const struct member_view *view), void *context);

// Entries for what the tables want open; none is opened.
void control_want_ports(struct control *control, const struct tables *tables);

// Once a second, and when something has happened to a device: those that could not be opened or
// have gone.
void control_look(struct control *control);
// Ports that another process gave get what could wait until they forward.
void control_settle(struct control *control);
// Once a second: gives back what is not needed any more.
void control_tidy(struct control *control);

// Has the uplink another MTU or MAC address than those in the tables in force?
bool control_uplink_differs(const struct control *control);

void control_port_free(struct control_port *entry);

// events.c: hears what becomes of devices. Without it they are looked at once a second. NULL: that
// is so.
struct device_events *device_events_open(struct control *control, struct error *err);
void device_events_close(struct device_events *events);

// Says which blocks of ports Nats have given and got back. Once a second.
void control_nat_log(struct control *control);

// load.c: reads the stored objects into the empty set, or their copy, where the store is damaged.
int load_objects(struct control *control, struct error *err);

// Those of the process whose place this one takes, which has the store still; and the store, when
// it has closed that.
struct take_over;
int load_given(struct control *control, struct take_over *take_over, struct error *err);
int load_store(struct control *control, struct error *err);
// Writes the copy, if it is not that of the revision.
void load_copy(struct control *control);

// store.c
struct store_record;
// Is there one? Otherwise why not.
bool control_store_opened(const struct control *control, struct error *err);
// Persists the transaction under the next revision, which `record` gets.
int control_store_commit(struct control *control, const struct transaction *transaction,
			 struct store_record *record, struct error *err);
// Makes another one of the objects, under the next revision; what is there is set aside. False:
// there is none now, and control->store_problem.
bool control_store_renew(struct control *control, const char *comment);
// What StatsResponse says of it; NULL without memory.
Sluice__V1__StoreStats *control_store_stats(const struct control *control);
// The same in a line for people; false: there is nothing to say.
bool control_store_say(const struct control *control, char *text, size_t size);
// Once a second, but during an upgrade: opens it, where it could not be.
void control_store_check(struct control *control);

// refusal.c: ends the call with all problems in its details.
void refuse(struct rpc_call *call, enum rpc_code code, const struct problems *problems,
	    const struct transaction *transaction);

// change.c: the calls that change desired state, and those about what was changed.
rpc_handler change_apply, change_delete, change_rollback, change_confirm, change_history;

// Takes the transaction's next set for the present one, and puts `tables` (taken over) in force.
void change_put_in_force(struct control *control, struct transaction *transaction,
			 struct tables *tables);
// Persists the transaction under the next revision, which `record` gets, and says so in the log.
// `from`: where the order came from (struct rpc_peer); NULL: from sluiced itself.
int change_store(struct control *control, const struct transaction *transaction,
		 struct store_record *record, const char *from, struct error *err);

// confirmation.c: a change that reverts by itself.
// At the start, with the stored objects loaded and nothing in force: one whose time is over reverts
// now.
int confirmation_load(struct control *control, struct error *err);
// The last change, `control->waiting`, has so many milliseconds from now on.
int confirmation_wait(struct control *control, int64_t milliseconds);
void confirmation_end(struct control *control);
// The time of the history: milliseconds since 1970.
int64_t confirmation_now(void);

// Each holds tables of its own.
#define IMPACTS_MAX 8
// impact.c: works out what `tables` (taken over; not in force) would mean for the live connections,
// in slices between other work. Then `*impact`, which lies in `response`, is filled, the call is
// answered by the response, and that is freed with free_unpacked.
void impact_begin(struct control *control, struct tables *tables, struct rpc_call *call,
		  ProtobufCMessage *response, Sluice__V1__Impact **impact);
// The tables in force are about to change: those that are not done are answered as far as they are.
void impact_end_all(struct control *control);

// service.c
// `listeners`: those that another process gave (enum upgrade_listener), -1: none; what is taken is
// set to -1.
int control_serve(struct control *control, const struct control_options *options, int listeners[],
		  struct error *err);

// device.c: what to open for an object of this node.
// With several devices they are in `members`, which has room for PORT_MEMBERS_MAX.
void device_of_port(const Sluice__V1__Port *object, uint16_t mtu, struct port_device *members,
		    struct port_device *device);
void device_of_uplink(const Sluice__V1__Node *object, struct port_device *members,
		      struct port_device *device);
void device_of_host(const Sluice__V1__Node *object, const struct mac_address *mac,
		    struct port_device *device);

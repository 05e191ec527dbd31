// What the checks of the kinds share. Each kind has one file with one function, which checks all
// objects of the kind in the set.

#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "model/key_map.h"
#include "model/kind.h"
#include "model/problem.h"
#include "model/set.h"

// Objects of a kind: those that were there before, then the changed ones.
struct check_objects {
	const Sluice__V1__Object **list;
	size_t count;
};

struct check {
	const struct object_set *set;
	const struct object_set *before; // may be NULL
	struct check_objects kinds[KIND_MAX];
	struct problems *problems;
	// How many names were looked for among others.
	size_t suggestions;
	// Devices that are used, by node; one device has one user.
	struct key_map *devices;
	struct check_external *external; // what check_external_prefix was given
};

static inline size_t check_count(const struct check *check, Sluice__V1__Object__KindCase kind)
{
	return check->kinds[kind].count;
}

static inline const Sluice__V1__Object *check_at(const struct check *check,
						 Sluice__V1__Object__KindCase kind, size_t index)
{
	return check->kinds[kind].list[index];
}

void node_check(struct check *check);
void vrf_check(struct check *check);
void network_check(struct check *check);
void security_group_check(struct check *check);
void port_check(struct check *check);
void route_check(struct check *check);
void load_balancer_check(struct check *check);
void qos_policy_check(struct check *check);
void nat_check(struct check *check);
void floating_ip_check(struct check *check);
// At the end: addresses outside that two have.
void external_check(struct check *check);

// Bits a second (qos_policy.c).
bool check_rate(struct check *check, const Sluice__V1__Object *object, const char *field,
		const char *text, uint64_t *rate);

#define CHECK_PATH_SIZE 160

// A field's path, as CHECK_PATH("rules[%zu].ports", i); it lives as long as the block around it.
const char *check_path(char path[CHECK_PATH_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
#define CHECK_PATH(...) check_path((char[CHECK_PATH_SIZE]){0}, __VA_ARGS__)

// Each adds a problem and returns false where the text is not what it should be.

// An object of the kind is there; an empty name is missing.
bool check_reference(struct check *check, const Sluice__V1__Object *object, const char *field,
		     Sluice__V1__Object__KindCase kind, const char *name);
bool check_address(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *text, struct ip_address *address);
// Without host bits.
bool check_prefix(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const char *text, struct ip_prefix *prefix);
bool check_mac(struct check *check, const Sluice__V1__Object *object, const char *field,
	       const char *text, struct mac_address *mac);

// An address that a host can have: not multicast, loopback, unspecified.
bool check_host_address(struct check *check, const Sluice__V1__Object *object, const char *field,
			const struct ip_address *address);

// An IPv4 prefix's network and broadcast addresses are nobody's (RFC 3021 excepts /31).
bool check_inside(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const struct ip_address *address, const struct ip_prefix *prefix);

bool prefix_is_v4(const struct ip_prefix *prefix);

// Of TCP, UDP or SCTP.
void check_port_number(struct check *check, const Sluice__V1__Object *object, const char *field,
		       uint32_t number);

// Of a Nat or FloatingIp.
void check_nat_helpers(struct check *check, const Sluice__V1__Object *object,
		       Sluice__V1__NatHelper *const *helpers, size_t count);

void check_health(struct check *check, const Sluice__V1__Object *object,
		  const Sluice__V1__HealthCheck *health);

void check_domain_name(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text);

// What makes a Network external, and what it can't have then (external.c).
void check_external_network(struct check *check, const Sluice__V1__Object *object);
// The name of an external Network; false where it is none.
bool check_external_reference(struct check *check, const Sluice__V1__Object *object,
			      const char *field, const char *network);
// The node has a part in a valid external Network.
bool check_external_part(struct check *check, const Sluice__V1__Object *object, const char *field,
			 const Sluice__V1__Object *network, const char *node);
// Addresses of a valid external Network that are to be Sluice's, inside one of its subnets: the
// routers there don't have them, and nobody else who says so here.
bool check_external_prefix(struct check *check, const Sluice__V1__Object *object, const char *field,
			   const char *network, const struct ip_prefix *prefix);

// What DHCP, DHCPv6 and router advertisements hand out (dhcp.c).
void check_dhcp(struct check *check, const Sluice__V1__Object *object,
		const Sluice__V1__Dhcp *dhcp);
void check_boot(struct check *check, const Sluice__V1__Object *object, const char *field,
		const Sluice__V1__Boot *boot);
void check_subnet_services(struct check *check, const Sluice__V1__Object *object, size_t index,
			   const struct ip_prefix *prefix);

// How many connections may be opened (limits.c); may be NULL.
void check_limits(struct check *check, const Sluice__V1__Object *object,
		  const Sluice__V1__ConnectionLimits *limits);

// Devices. A name that is used twice on the node is a problem too.
void check_interface(struct check *check, const Sluice__V1__Object *object, const char *field,
		     const char *node, const char *netns, const char *name);
void check_pci(struct check *check, const Sluice__V1__Object *object, const char *field,
	       const char *node, const char *address);
void check_devargs(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *node, const char *devargs);
void check_socket(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const char *node, const char *path);
// Permissions of a socket in octal, and a user or group by name or number; empty is fine.
void check_permissions(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text);
void check_account(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *what, const char *text);
// `path`: of the field that it is.
void check_vhost_user(struct check *check, const Sluice__V1__Object *object, const char *path,
		      const char *node, const Sluice__V1__VhostUser *vhost_user,
		      uint32_t queues_max);
// A tag on the device of another Port.
void check_vlan(struct check *check, const Sluice__V1__Object *object, const char *field,
		const char *node, const char *port, uint32_t id);
// A named network namespace; empty is fine.
void check_netns(struct check *check, const Sluice__V1__Object *object, const char *field,
		 const char *netns);

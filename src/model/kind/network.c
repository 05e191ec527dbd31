// Checks of Network: its VNI, and subnets that a Vrf can route between.

#include <stdlib.h>

#include "model/kind/check.h"
#include "model/memory.h"
#include "model/message.h"
#include "model/object.h"

#define VNI_MAX	   16777215
#define MTU_MIN	   68
#define MTU_MIN_V6 1280
#define MTU_MAX	   9000
// 30 days.
#define IDLE_TIME_MAX 2592000

#define SUBNETS_MAX    256 // what asks for a gateway is held against each of them
#define SUBNETS_V6_MAX 16

#define PACKET_RATE_MAX 1000000

// A subnet and where it is.
struct subnet_entry {
	const char *domain; // name of the Vrf, or of the network without one
	bool routed;
	bool outside; // known there; the same subnet is in its own domain, too
	struct ip_prefix prefix;
	const Sluice__V1__Object *object;
	size_t index;
	size_t order; // in which they are checked
};

struct subnet_list {
	struct subnet_entry *entries;
	size_t count;
	size_t capacity;
};

// No host has these; subnets may not overlap with them.
static bool subnet_usable(struct check *check, const Sluice__V1__Object *object, const char *field,
			  const struct ip_prefix *prefix)
{
	static const char *const reserved[] = {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3",
					       "::/8",	    "fe80::/10",   "ff00::/8"};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++) {
		struct ip_prefix other;

		if (!prefix_parse(reserved[i], &other) ||
		    prefix_is_v4(&other) != prefix_is_v4(prefix) ||
		    !prefix_overlaps(&other, prefix))
			continue;
		problems_add(check->problems, object, field, "overlaps with %s, where no host is",
			     reserved[i]);
		return false;
	}
	return true;
}

static void subnet_add(struct subnet_list *list, const struct subnet_entry *entry)
{
	list->entries =
		memory_grow(list->entries, list->count, &list->capacity, sizeof(*list->entries));
	list->entries[list->count] = *entry;
	list->entries[list->count].order = list->count;
	list->count++;
}

static void subnet_check(struct check *check, const Sluice__V1__Object *object, size_t index,
			 struct subnet_list *list)
{
	const Sluice__V1__Network *network = object->network;
	const Sluice__V1__Subnet *subnet = network->subnets[index];
	const char *field = CHECK_PATH("subnets[%zu].cidr", index);
	struct ip_prefix prefix;
	struct ip_address address;

	if (!check_prefix(check, object, field, subnet->cidr, &prefix) ||
	    !subnet_usable(check, object, field, &prefix))
		return;
	subnet_add(list, &(struct subnet_entry){
				 .domain = *network->vrf ? network->vrf : network->name,
				 .routed = *network->vrf,
				 .prefix = prefix,
				 .object = object,
				 .index = index,
			 });
	// On a network where it is known, it is like one of that.
	for (size_t i = 0; i < subnet->n_external; i++)
		subnet_add(list, &(struct subnet_entry){
					 .domain = subnet->external[i],
					 .outside = true,
					 .prefix = prefix,
					 .object = object,
					 .index = index,
				 });
	if (*subnet->gateway) {
		field = CHECK_PATH("subnets[%zu].gateway", index);
		if (check_address(check, object, field, subnet->gateway, &address))
			check_inside(check, object, field, &address, &prefix);
	}
	check_subnet_services(check, object, index, &prefix);
	for (size_t i = 0; i < subnet->n_dns; i++) {
		field = CHECK_PATH("subnets[%zu].dns[%zu]", index, i);
		if (!check_address(check, object, field, subnet->dns[i], &address) ||
		    !check_host_address(check, object, field, &address))
			continue;
		if (ip_is_v4(&address) != prefix_is_v4(&prefix))
			problems_add(check->problems, object, field,
				     "%s is not of the subnet's address family", subnet->dns[i]);
	}
}

static void mtu_check(struct check *check, const Sluice__V1__Object *object, bool v6)
{
	const Sluice__V1__Network *network = object->network;

	if (!network->has_mtu_case)
		return;
	if (network->mtu < MTU_MIN || network->mtu > MTU_MAX)
		problems_add(check->problems, object, "mtu", "%u is not %d to %d", network->mtu,
			     MTU_MIN, MTU_MAX);
	else if (v6 && network->mtu < MTU_MIN_V6)
		problems_add(check->problems, object, "mtu",
			     "%u is less than the %d that IPv6 needs", network->mtu, MTU_MIN_V6);
}

static void multicast_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Multicast *multicast = object->network->multicast;

	if (!multicast)
		return;
	if (multicast->has_rate_case && multicast->rate > PACKET_RATE_MAX)
		problems_add(check->problems, object, "multicast.rate", "%u is not 0 to %d",
			     multicast->rate, PACKET_RATE_MAX);
	if (multicast->has_burst_case &&
	    (multicast->burst < 1 || multicast->burst > PACKET_RATE_MAX))
		problems_add(check->problems, object, "multicast.burst", "%u is not 1 to %d",
			     multicast->burst, PACKET_RATE_MAX);
}

// All of its fields are seconds.
static void idle_times_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__ConnectionTracking *tracking = object->network->connection_tracking;
	const ProtobufCMessage *times =
		tracking && tracking->idle_times ? &tracking->idle_times->base : NULL;

	for (unsigned int i = 0; times && i < times->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &times->descriptor->fields[i];
		const uint32_t *seconds = field_data(field, times);
		char name[FIELD_NAME_SIZE];

		if (*seconds > IDLE_TIME_MAX)
			problems_add(check->problems, object,
				     CHECK_PATH("connectionTracking.idleTimes.%s",
						field_name(field, name)),
				     "%u is more than %d seconds", *seconds, IDLE_TIME_MAX);
	}
}

// By domain, then address, then the wider one first: what overlaps then follows the prefix that
// holds it.
static int subnet_compare(const void *a, const void *b)
{
	const struct subnet_entry *left = a;
	const struct subnet_entry *right = b;
	int order = (int)left->routed - (int)right->routed;

	if (!order)
		order = strcmp(left->domain, right->domain);
	if (!order)
		order = memcmp(&left->prefix.address, &right->prefix.address,
			       sizeof(left->prefix.address));
	if (!order)
		order = (int)left->prefix.length - (int)right->prefix.length;
	return order;
}

static void overlaps_check(struct check *check, struct subnet_list *list)
{
	const struct subnet_entry *wide = NULL;

	if (list->count)
		qsort(list->entries, list->count, sizeof(*list->entries), subnet_compare);
	for (size_t i = 0; i < list->count; i++) {
		const struct subnet_entry *entry = &list->entries[i];
		const struct subnet_entry *later, *earlier;
		char text[IP_TEXT_SIZE], field[CHECK_PATH_SIZE];

		if (!wide || wide->routed != entry->routed ||
		    strcmp(wide->domain, entry->domain) != 0 ||
		    prefix_is_v4(&wide->prefix) != prefix_is_v4(&entry->prefix) ||
		    !prefix_overlaps(&wide->prefix, &entry->prefix)) {
			wide = entry;
			continue;
		}
		// Given twice, and reported already.
		if (wide->object == entry->object && wide->index == entry->index)
			continue;
		later = wide->order > entry->order ? wide : entry;
		earlier = later == wide ? entry : wide;
		check_path(field, "subnets[%zu].cidr", earlier->index);
		problem_other(problems_add(check->problems, later->object,
					   CHECK_PATH("subnets[%zu].cidr", later->index),
					   "overlaps with %s of Network/%s%s%s",
					   prefix_format(&earlier->prefix, text),
					   object_name(earlier->object),
					   entry->routed ? " in Vrf/" : "",
					   entry->routed ? entry->domain : ""),
			      earlier->object, field);
	}
}

void network_check(struct check *check)
{
	struct key_map *vnis = key_map_new();
	struct subnet_list list = {0};
	size_t count = check_count(check, SLUICE__V1__OBJECT__KIND_NETWORK);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object =
			check_at(check, SLUICE__V1__OBJECT__KIND_NETWORK, i);
		const Sluice__V1__Network *network = object->network;
		size_t first = list.count;
		size_t v6 = 0;

		if (network->vni > VNI_MAX)
			problems_add(check->problems, object, "vni", "%u is not 1 to %d",
				     network->vni, VNI_MAX);
		else if (network->vni) {
			const Sluice__V1__Object *other =
				key_map_add(vnis, &network->vni, sizeof(network->vni), object);

			if (other)
				problem_other(problems_add(check->problems, object, "vni",
							   "Network/%s has %u already",
							   object_name(other), network->vni),
					      other, "vni");
		}
		if (*network->vrf)
			check_reference(check, object, "vrf", SLUICE__V1__OBJECT__KIND_VRF,
					network->vrf);
		if (network->encapsulation == SLUICE__V1__ENCAPSULATION__ENCAPSULATION_GENEVE)
			problems_add(check->problems, object, "encapsulation",
				     "geneve is not supported yet");
		for (size_t s = 0; s < network->n_subnets; s++)
			subnet_check(check, object, s, &list);
		for (size_t s = first; s < list.count; s++)
			v6 += !list.entries[s].outside && !prefix_is_v4(&list.entries[s].prefix);
		if (network->n_subnets > SUBNETS_MAX)
			problems_add(check->problems, object, "subnets", "more than %d",
				     SUBNETS_MAX);
		if (v6 > SUBNETS_V6_MAX)
			problems_add(check->problems, object, "subnets",
				     "more than %d of IPv6: router advertisements have no room for "
				     "them",
				     SUBNETS_V6_MAX);
		mtu_check(check, object, v6 > 0);
		multicast_check(check, object);
		if (network->dhcp)
			check_dhcp(check, object, network->dhcp);
		check_external_network(check, object);
		idle_times_check(check, object);
	}
	overlaps_check(check, &list);
	free(list.entries);
	key_map_free(vnis);
}

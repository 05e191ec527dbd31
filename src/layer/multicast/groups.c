#include "layer/multicast/groups.h"

#include <sys/random.h>

#include "base/pages.h"

struct groups *groups_open(void)
{
	struct groups *groups = pages_get(sizeof(*groups));

	if (groups && getrandom(&groups->secret, sizeof(groups->secret), 0) < 0) {
		groups_close(groups);
		return NULL;
	}
	if (groups)
		groups->secret |= 1;
	return groups;
}

void groups_close(struct groups *groups)
{
	pages_free(groups, sizeof(*groups));
}

static uint32_t *bucket_of(struct groups *groups, uint16_t network,
			   const struct ip_address *address)
{
	__uint128_t product = (__uint128_t)(address->halves[0] ^ groups->secret) *
			      (address->halves[1] ^ (groups->secret >> 7) ^ network);
	uint64_t hash = (uint64_t)product ^ (uint64_t)(product >> 64);

	hash *= groups->secret;
	return &groups->buckets[hash >> 50];
}

_Static_assert(GROUPS_BUCKETS == 1 << 14, "the hash's upper bits");

struct group *groups_find(struct groups *groups, uint16_t network, const struct ip_address *address)
{
	uint32_t index = *bucket_of(groups, network, address);

	// A reader beside the owner must not walk for ever.
	for (uint32_t steps = 0; index && steps < GROUPS_MAX; steps++) {
		struct group *group = &groups->groups[index - 1];

		if (group->network == network && ip_equal(&group->address, address))
			return group;
		index = group->next;
	}
	return NULL;
}

struct group_member *groups_from(struct groups *groups, const struct group *group, uint32_t key)
{
	uint32_t index = group->members;

	for (uint32_t steps = 0; index && steps < GROUPS_MEMBERS_MAX; steps++) {
		struct group_member *member = &groups->members[index - 1];

		if (member->key >= key)
			return member;
		index = member->next;
	}
	return NULL;
}

struct group_member *groups_member(struct groups *groups, const struct group *group, uint32_t key)
{
	struct group_member *member = groups_from(groups, group, key);

	return member && member->key == key ? member : NULL;
}

static struct group *make_group(struct groups *groups, uint16_t network,
				const struct ip_address *address)
{
	uint32_t index = groups->groups_free, *bucket = bucket_of(groups, network, address);
	struct group *group;

	if (groups->of_network[network].groups == GROUPS_OF_A_NETWORK_MAX)
		return NULL;
	if (index)
		groups->groups_free = groups->groups[index - 1].next;
	else if (groups->groups_used < GROUPS_MAX)
		index = ++groups->groups_used;
	else
		return NULL;
	group = &groups->groups[index - 1];
	*group = (struct group){.address = *address, .network = network, .next = *bucket};
	*bucket = index;
	groups->of_network[network].groups++;
	return group;
}

static struct group_member *make_member(struct groups *groups, struct group *group, uint32_t key)
{
	uint32_t index = groups->members_free, *link = &group->members;
	struct group_member *member;

	if (groups->of_network[group->network].members == MEMBERS_OF_A_NETWORK_MAX)
		return NULL;
	if (index)
		groups->members_free = groups->members[index - 1].next;
	else if (groups->members_used < GROUPS_MEMBERS_MAX)
		index = ++groups->members_used;
	else
		return NULL;
	while (*link && groups->members[*link - 1].key < key)
		link = &groups->members[*link - 1].next;
	member = &groups->members[index - 1];
	*member = (struct group_member){.key = key, .next = *link};
	*link = index;
	groups->of_network[group->network].members++;
	return member;
}

enum groups_join groups_join(struct groups *groups, uint16_t network,
			     const struct ip_address *address, uint32_t key, uint32_t expires)
{
	struct group *group = groups_find(groups, network, address);
	struct group_member *member = group ? groups_member(groups, group, key) : NULL;
	bool port = key < GROUPS_NODE;

	if (member) {
		member->expires = expires;
		member->queries = 0;
		return GROUPS_KEPT;
	}
	if (port && groups->of_port[key] == GROUPS_OF_A_PORT_MAX)
		return GROUPS_FULL;
	if (!group)
		group = make_group(groups, network, address);
	member = group ? make_member(groups, group, key) : NULL;
	if (!member) {
		if (group && !group->members && !group->announce)
			groups_drop(groups, group);
		return GROUPS_FULL;
	}
	member->expires = expires;
	if (!port)
		return GROUPS_NEW;
	groups->of_port[key]++;
	return ++group->local == 1 ? GROUPS_FIRST : GROUPS_NEW;
}

static void unlink_member(struct groups *groups, struct group *group, uint32_t *link)
{
	uint32_t index = *link;
	struct group_member *member = &groups->members[index - 1];

	*link = member->next;
	member->next = groups->members_free;
	groups->members_free = index;
	groups->of_network[group->network].members--;
	if (member->key >= GROUPS_NODE)
		return;
	groups->of_port[member->key]--;
	group->local--;
}

void groups_remove(struct groups *groups, struct group *group, uint32_t key)
{
	uint32_t *link = &group->members;

	while (*link && groups->members[*link - 1].key != key)
		link = &groups->members[*link - 1].next;
	if (*link)
		unlink_member(groups, group, link);
}

void groups_filter(struct groups *groups, struct group *group,
		   bool (*keep)(struct group_member *member, void *context), void *context)
{
	uint32_t *link = &group->members;

	while (*link) {
		struct group_member *member = &groups->members[*link - 1];

		if (keep(member, context))
			link = &member->next;
		else
			unlink_member(groups, group, link);
	}
}

void groups_drop(struct groups *groups, struct group *group)
{
	uint32_t index = (uint32_t)(group - groups->groups) + 1;
	uint32_t *link = bucket_of(groups, group->network, &group->address);

	while (*link != index)
		link = &groups->groups[*link - 1].next;
	*link = group->next;
	groups->of_network[group->network].groups--;
	group->network = 0;
	group->next = groups->groups_free;
	groups->groups_free = index;
}

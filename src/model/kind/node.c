// Checks of Node: its place on the underlay.

#include "model/kind/check.h"
#include "model/object.h"

static void gateway_check(struct check *check, const Sluice__V1__Object *object,
			  const struct ip_prefix *vtep, const struct ip_prefix *link)
{
	const char *text = object->node->gateway;
	struct ip_address gateway;

	if (!*text || !check_address(check, object, "gateway", text, &gateway))
		return;
	if (ip_equal(&gateway, &vtep->address))
		problems_add(check->problems, object, "gateway", "is the vtep itself");
	else if (check_host_address(check, object, "gateway", &gateway))
		check_inside(check, object, "gateway", &gateway, link);
}

static void vtep_check(struct check *check, const Sluice__V1__Object *object, struct key_map *vteps)
{
	const Sluice__V1__Node *node = object->node;
	struct ip_prefix vtep;

	if (!*node->vtep) {
		if (node->uplink)
			problems_add(check->problems, object, "vtep",
				     "missing, an uplink needs it");
		if (*node->gateway)
			problems_add(check->problems, object, "gateway",
				     "is of no use without vtep");
		return;
	}
	if (!prefix_parse(node->vtep, &vtep)) {
		problems_add(
			check->problems, object, "vtep",
			"'%s' is no address with the prefix length of its link, as 192.0.2.1/24",
			node->vtep);
		return;
	}
	if (!check_host_address(check, object, "vtep", &vtep.address))
		return;
	// The prefix of the link, without the host's bits.
	struct ip_prefix link = vtep;
	for (unsigned bit = link.length; bit < 128; bit++)
		link.address.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	if (!check_inside(check, object, "vtep", &vtep.address, &link))
		return;

	const Sluice__V1__Object *other =
		key_map_add(vteps, &vtep.address, sizeof(vtep.address), object);
	if (other)
		problem_other(problems_add(check->problems, object, "vtep",
					   "Node/%s has this address already", object_name(other)),
			      other, "vtep");
	else if (!node->uplink)
		problems_add(check->problems, object, "vtep",
			     "is of no use without uplink: nothing could reach it");
	gateway_check(check, object, &vtep, &link);
}

#define UPLINK_MTU_MIN	   1280
#define UPLINK_MTU_MAX	   9216
#define UPLINK_DEVICES_MAX 8

static void device_check(struct check *check, const Sluice__V1__Object *object, size_t index)
{
	const Sluice__V1__UplinkDevice *device = object->node->uplink->devices[index];
	const char *node = object->node->name;

	switch (device->device_case) {
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_NETDEV:
		check_interface(check, object, CHECK_PATH("uplink.devices[%zu].netdev", index),
				node, "", device->netdev);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_PCI:
		check_pci(check, object, CHECK_PATH("uplink.devices[%zu].pci", index), node,
			  device->pci);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_DEVARGS:
		check_devargs(check, object, CHECK_PATH("uplink.devices[%zu].devargs", index), node,
			      device->devargs);
		break;
	case SLUICE__V1__UPLINK_DEVICE__DEVICE_VHOST_USER:
		check_vhost_user(check, object, CHECK_PATH("uplink.devices[%zu].vhostUser", index),
				 node, device->vhost_user, 1);
		break;
	default:
		break;
	}
}

static void devices_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Uplink *uplink = object->node->uplink;

	if (!uplink->n_devices)
		return;
	if (uplink->device_case != SLUICE__V1__UPLINK__DEVICE__NOT_SET)
		problems_add(check->problems, object, "uplink.devices",
			     "is a list instead of the one device that is named beside it");
	if (uplink->n_devices > UPLINK_DEVICES_MAX)
		problems_add(check->problems, object, "uplink.devices", "more than %d",
			     UPLINK_DEVICES_MAX);
	for (size_t i = 0; i < uplink->n_devices; i++)
		device_check(check, object, i);
}

static bool has_netdev(const Sluice__V1__Uplink *uplink)
{
	for (size_t i = 0; i < uplink->n_devices; i++)
		if (uplink->devices[i]->device_case == SLUICE__V1__UPLINK_DEVICE__DEVICE_NETDEV)
			return true;
	return uplink->device_case == SLUICE__V1__UPLINK__DEVICE_NETDEV;
}

static void uplink_check(struct check *check, const Sluice__V1__Object *object)
{
	const Sluice__V1__Uplink *uplink = object->node->uplink;
	const char *node = object->node->name;
	uint64_t rate;

	if (!uplink)
		return;
	switch (uplink->device_case) {
	case SLUICE__V1__UPLINK__DEVICE_NETDEV:
		check_interface(check, object, "uplink.netdev", node, "", uplink->netdev);
		break;
	case SLUICE__V1__UPLINK__DEVICE_PCI:
		check_pci(check, object, "uplink.pci", node, uplink->pci);
		break;
	case SLUICE__V1__UPLINK__DEVICE_DEVARGS:
		check_devargs(check, object, "uplink.devargs", node, uplink->devargs);
		break;
	case SLUICE__V1__UPLINK__DEVICE_VHOST_USER:
		check_vhost_user(check, object, "uplink.vhostUser", node, uplink->vhost_user, 1);
		break;
	default: // reported by the check that all messages have
		break;
	}
	devices_check(check, object);
	if (uplink->has_mtu_case && (uplink->mtu < UPLINK_MTU_MIN || uplink->mtu > UPLINK_MTU_MAX))
		problems_add(check->problems, object, "uplink.mtu", "%u is not %d to %d",
			     uplink->mtu, UPLINK_MTU_MIN, UPLINK_MTU_MAX);
	if (*uplink->rate)
		check_rate(check, object, "uplink.rate", uplink->rate, &rate);
	if (!*uplink->host_interface)
		return;
	if (has_netdev(uplink))
		problems_add(check->problems, object, "uplink.hostInterface",
			     "is of no use with netdev: the host has that interface already");
	else
		check_interface(check, object, "uplink.hostInterface", node, "",
				uplink->host_interface);
}

void node_check(struct check *check)
{
	struct key_map *vteps = key_map_new();
	size_t count = check_count(check, SLUICE__V1__OBJECT__KIND_NODE);

	for (size_t i = 0; i < count; i++) {
		const Sluice__V1__Object *object =
			check_at(check, SLUICE__V1__OBJECT__KIND_NODE, i);

		vtep_check(check, object, vteps);
		uplink_check(check, object);
		check_limits(check, object, object->node->limits);
	}
	key_map_free(vteps);
}

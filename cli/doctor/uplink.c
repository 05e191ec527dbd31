// Several devices of the uplink: do all of them work, and which one sends?

#include <string.h>

#include "cli/doctor/doctor.h"

// NULL: the API does not say, or it is one device.
static const Sluice__V1__ObjectStatus *node_status(const struct doctor *doctor)
{
	const Sluice__V1__GetResponse *nodes = doctor->nodes;

	for (size_t i = 0; nodes && doctor->node && i < nodes->n_statuses; i++)
		if (nodes->objects[i]->kind_case == SLUICE__V1__OBJECT__KIND_NODE &&
		    nodes->objects[i]->node == doctor->node)
			return nodes->statuses[i];
	return NULL;
}

const char *doctor_uplink_netdev(const struct doctor *doctor)
{
	const Sluice__V1__Uplink *uplink = doctor->node->uplink;
	const Sluice__V1__ObjectStatus *status = node_status(doctor);

	if (uplink->device_case == SLUICE__V1__UPLINK__DEVICE_NETDEV)
		return uplink->netdev;
	for (size_t i = 0; i < uplink->n_devices; i++)
		if (uplink->devices[i]->device_case == SLUICE__V1__UPLINK_DEVICE__DEVICE_NETDEV &&
		    (uplink->n_devices == 1 ||
		     (status && i < status->n_devices &&
		      status->devices[i]->state == SLUICE__V1__DEVICE_STATE__DEVICE_STATE_CARRIES)))
			return uplink->devices[i]->netdev;
	return NULL;
}

void doctor_uplink(struct doctor *doctor)
{
	const Sluice__V1__ObjectStatus *status = node_status(doctor);
	size_t working = 0;

	if (!status || !status->n_devices)
		return;
	for (size_t i = 0; i < status->n_devices; i++) {
		const Sluice__V1__DeviceStatus *device = status->devices[i];
		bool drained = device->state >= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_DRAINING &&
			       device->state <= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_DRAINED;

		if (device->state <= SLUICE__V1__DEVICE_STATE__DEVICE_STATE_HELD)
			working++;
		else if (drained)
			finding_add(doctor, "uplink", FINDING_WARNING,
				    "sluice undrain uplink, when it is serviced", "%s is drained",
				    device->name);
		else
			finding_add(doctor, "uplink", FINDING_WARNING,
				    "look at its cable and switch; until it is back nothing stands "
				    "in for the one that sends",
				    "%s does not work: %s", device->name, device->reason);
	}
	if (working == status->n_devices)
		finding_add(doctor, "uplink", FINDING_OK, "", "all of its %zu devices work",
			    working);
}

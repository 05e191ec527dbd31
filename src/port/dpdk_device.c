#include "port/dpdk_device.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_pci.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_pci.h>

#include "port/bus_error.h"
#include "port/pci.h"
#include "port/port.h"

// One that is being closed by a thread of its own.
struct closing {
	struct closing *next;
	struct dpdk_device device;
};

// The process's, as DPDK's own lists are: the lock is for those of its buses, too.
static struct {
	pthread_mutex_t lock;
	struct closing *first;
} closings = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_closing(const char *name)
{
	for (const struct closing *one = closings.first; one; one = one->next)
		if (strcmp(one->device.name, name) == 0)
			return true;
	return false;
}

// True: it is a PCI device.
static bool name_get(const struct port_device *device, char name[DPDK_DEVICE_NAME_SIZE])
{
	struct rte_pci_addr address;

	memcpy(name, device->name, strcspn(device->name, ","));
	name[strcspn(device->name, ",")] = 0;
	if (rte_pci_addr_parse(name, &address) < 0)
		return false;
	rte_pci_device_name(&address, name, DPDK_DEVICE_NAME_SIZE);
	return true;
}

static int probe(const struct port_device *device, struct dpdk_device *opened, struct error *err)
{
	struct rte_eth_dev_info information;
	int result;

	if (is_closing(opened->name))
		return error_set(err, "%s: what was there before is still being closed",
				 device->name);
	if (rte_eth_dev_get_port_by_name(opened->name, &opened->id) == 0)
		return error_set(err, "%s: the device is in use already", device->name);
	if (device->kind == PORT_DEVICE_PCI && pci_check(opened->name, err) < 0)
		return -1;
	result = rte_dev_probe(device->name);
	if (result == -EFAULT)
		return error_set(err, "%s: DPDK has no such device or driver", device->name);
	if (result < 0 && device->kind == PORT_DEVICE_PCI)
		return error_set(err, "%s: DPDK has no driver for it, or that can't open it",
				 device->name);
	if (result < 0)
		return error_set(err, "%s: DPDK's driver cannot open it", device->name);
	RTE_ETH_FOREACH_DEV(opened->id)
	{
		if (rte_eth_dev_info_get(opened->id, &information) == 0 &&
		    strcmp(rte_dev_name(information.device), opened->name) == 0) {
			opened->device = information.device;
			return 0;
		}
	}
	return error_set(err, "%s: the device has no Ethernet port", device->name);
}

int dpdk_device_open(const struct port_device *device, struct dpdk_device *opened,
		     struct error *err)
{
	bool pci;
	int result;

	*opened = (struct dpdk_device){0};
	pci = name_get(device, opened->name);
	if (!pci && device->kind == PORT_DEVICE_PCI)
		return error_set(err, "%s: is not a PCI address", device->name);
	if (device->kind == PORT_DEVICE_PCI && !rte_eal_has_pci())
		return error_set(err, "%s: PCI is switched off", device->name);
	if (pci) {
		bus_error_guard();
		opened->pci_identity = pci_identity(opened->name);
	}
	pthread_mutex_lock(&closings.lock);
	result = probe(device, opened, err);
	pthread_mutex_unlock(&closings.lock);
	return result;
}

bool dpdk_device_is_torn_out(const struct dpdk_device *device)
{
	return device->pci_identity && pci_identity(device->name) != device->pci_identity;
}

static void stop(const struct dpdk_device *device)
{
	if (device->started)
		rte_eth_dev_stop(device->id);
	rte_eth_dev_close(device->id);
}

static void *closing_run(void *context)
{
	struct closing *closing = context, **place;

	stop(&closing->device);
	pthread_mutex_lock(&closings.lock);
	rte_dev_remove(closing->device.device);
	for (place = &closings.first; *place != closing; place = &(*place)->next)
		;
	*place = closing->next;
	pthread_mutex_unlock(&closings.lock);
	free(closing);
	return NULL;
}

static bool close_aside(const struct dpdk_device *device)
{
	struct closing *closing = malloc(sizeof(*closing));
	pthread_t thread;
	bool begun;

	if (!closing)
		return false;
	pthread_mutex_lock(&closings.lock);
	*closing = (struct closing){.next = closings.first, .device = *device};
	begun = pthread_create(&thread, NULL, closing_run, closing) == 0;
	if (begun) {
		closings.first = closing;
		pthread_setname_np(thread, "sluice-closing");
		pthread_detach(thread);
	} else {
		free(closing);
	}
	pthread_mutex_unlock(&closings.lock);
	return begun;
}

void dpdk_device_close(const struct dpdk_device *device)
{
	if (dpdk_device_is_torn_out(device) && close_aside(device))
		return;
	stop(device);
	pthread_mutex_lock(&closings.lock);
	rte_dev_remove(device->device);
	pthread_mutex_unlock(&closings.lock);
}

bool dpdk_devices_are_closed(void)
{
	bool closed;

	pthread_mutex_lock(&closings.lock);
	closed = !closings.first;
	pthread_mutex_unlock(&closings.lock);
	return closed;
}

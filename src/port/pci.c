#include "port/pci.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>

#define FOLDER	    "/sys/bus/pci/devices/"
#define DRIVER_SIZE 64

uint64_t pci_identity(const char *address)
{
	char path[PATH_MAX];
	struct stat status;

	// The folder of one that comes is a new one.
	snprintf(path, sizeof(path), FOLDER "%s", address);
	return stat(path, &status) == 0 ? status.st_ino : 0;
}

// Empty: none.
static void driver_of(const char *address, char driver[DRIVER_SIZE])
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *name;
	ssize_t length;

	snprintf(path, sizeof(path), FOLDER "%s/driver", address);
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = 0;
	name = strrchr(target, '/');
	snprintf(driver, DRIVER_SIZE, "%s", name ? name + 1 : "");
}

// Bound to vfio-pci, with nothing that translates its addresses?
static bool is_without_iommu(const char *address)
{
	char path[PATH_MAX], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), FOLDER "%s/iommu_group/name", address);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	return strncmp(name, "vfio-noiommu", strlen("vfio-noiommu")) == 0;
}

static bool is_uio(const char *driver)
{
	return strcmp(driver, "uio_pci_generic") == 0 || strcmp(driver, "igb_uio") == 0;
}

bool pci_has_one_interrupt(const char *address)
{
	char driver[DRIVER_SIZE];

	driver_of(address, driver);
	return is_uio(driver);
}

int pci_check(const char *address, struct error *err)
{
	char driver[DRIVER_SIZE];
	bool vfio, uio;

	if (!pci_identity(address))
		return error_set(err, "%s: there is no such device", address);
	driver_of(address, driver);
	vfio = strcmp(driver, "vfio-pci") == 0;
	uio = is_uio(driver);
	if (!*driver)
		return error_set(err,
				 "%s: is bound to no driver: driverctl set-override %s vfio-pci",
				 address, address);
	// NVIDIA's stay with the kernel's driver.
	if (!vfio && !uio && strncmp(driver, "mlx", 3) != 0)
		return error_set(
			err, "%s: is bound to the kernel's %s: driverctl set-override %s vfio-pci",
			address, driver, address);
	if ((uio || (vfio && is_without_iommu(address))) && rte_eal_iova_mode() != RTE_IOVA_PA)
		return error_set(
			err,
			"%s: %s without an IOMMU needs physical addresses: sluiced has them if it "
			"starts with that module there, huge pages and no IOMMU in use",
			address, driver);
	return 0;
}

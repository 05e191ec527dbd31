#include "sluiced/iova.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE_NUMBER_BITS 55 // of an entry in pagemap

static bool has_iommu(void)
{
	DIR *folder = opendir("/sys/class/iommu");
	const struct dirent *entry;
	bool found = false;

	while (folder && (entry = readdir(folder)) != NULL)
		found |= entry->d_name[0] != '.';
	if (folder)
		closedir(folder);
	return found;
}

// What drives devices without an IOMMU, and is there for nothing else.
static bool devices_go_without(void)
{
	FILE *file;
	int value;

	if (access("/sys/module/uio_pci_generic", F_OK) == 0 ||
	    access("/sys/module/igb_uio", F_OK) == 0)
		return true;
	file = fopen("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "re");
	if (!file)
		return false;
	value = fgetc(file);
	fclose(file);
	return value == 'Y';
}

// The kernel tells them to those only who have CAP_SYS_ADMIN; without it EAL would not start.
static bool physical_addresses_are_told(void)
{
	uint64_t entry = 1; // a page that is there
	const uint64_t *in_memory = &entry;
	off_t offset = (off_t)((uintptr_t)in_memory / (uintptr_t)getpagesize() * sizeof(entry));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool told = fd >= 0 && pread(fd, &entry, sizeof(entry), offset) == sizeof(entry) &&
		    (entry & ((1ULL << PAGE_NUMBER_BITS) - 1)) != 0;

	if (fd >= 0)
		close(fd);
	return told;
}

const char *iova_mode_option(bool huge_pages)
{
	return huge_pages && !has_iommu() && devices_go_without() && physical_addresses_are_told()
		       ? "--iova-mode=pa"
		       : "--iova-mode=va";
}

// Which file a workload boots.

#include <string.h>

#include "layer/services/options.h"

// Anything that is not a BIOS (0) or an old kind of machine boots by UEFI.
static bool is_efi(uint16_t architecture)
{
	return architecture != ARCHITECTURE_NONE && architecture >= 6;
}

const char *boot_file(const struct boot *boot, uint16_t architecture, bool ipxe)
{
	if (ipxe && *boot->ipxe_file)
		return boot->ipxe_file;
	return is_efi(architecture) && *boot->efi_file ? boot->efi_file : boot->file;
}

const char *boot_url(const struct boot *boot, bool ipxe)
{
	// Only a URL says over IPv6 where a file is.
	return ipxe && strstr(boot->ipxe_file, "://") ? boot->ipxe_file : boot->url;
}

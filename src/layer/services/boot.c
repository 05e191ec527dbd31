// Which file a workload boots.

#include <string.h>

#include "layer/services/options.h"

const struct boot boot_none;

// By IANA's list: 0 is a PC's BIOS, and what is not known yet boots by UEFI.
static bool is_efi(uint16_t architecture)
{
	switch (architecture) {
	case 0:	 // BIOS
	case 1:	 // NEC PC-98
	case 3:	 // Alpha
	case 4:	 // ARC
	case 5:	 // Intel Lean Client
	case 12: // PowerPC: Open Firmware, ePAPR, OPAL
	case 13:
	case 14:
	case 20: // BIOS, from HTTP
	case 21: // U-Boot
	case 22:
	case 23:
	case 24:
	case 31: // s390
	case 32:
	case 41: // Raspberry Pi's own
	case ARCHITECTURE_NONE:
		return false;
	default:
		return true;
	}
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

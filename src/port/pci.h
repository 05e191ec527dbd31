// PCI devices that DPDK is to drive: what the kernel says of them. DPDK would only say that it
// can't, in lines of its own. Addresses are as the kernel writes them, 0000:3b:00.0.

#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

// Which device is at this address: another one has another number. 0: none.
uint64_t pci_identity(const char *address);

// Fails where there is none, or it is bound to no driver of the kernel's by which DPDK can have it.
int pci_check(const char *address, struct error *err);

// By UIO: one line, which the kernel switches off for good when it is raised and nobody owns up.
bool pci_has_one_interrupt(const char *address);

// Options of DHCP and DHCPv6 as they go into messages, made ready when objects are compiled; and
// what a workload boots.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_TEXT_SIZE 256
#define HOST_NAME_SIZE	 64

struct service_option {
	uint16_t code;
	uint16_t size;
	uint32_t offset; // in bytes
};

struct service_options {
	struct service_option *list;
	uint32_t count;
	uint8_t *bytes;
	uint32_t size;
};

// Control thread. False without memory. An option without data is not added.
bool service_options_add(struct service_options *options, uint16_t code, const void *data,
			 uint32_t size);
void service_options_free(struct service_options *options);

// NULL where there is none.
static inline const struct service_option *
service_options_find(const struct service_options *options, uint16_t code)
{
	for (uint32_t i = 0; i < options->count; i++)
		if (options->list[i].code == code)
			return &options->list[i];
	return NULL;
}

static inline const uint8_t *service_option_data(const struct service_options *options,
						 const struct service_option *option)
{
	return options->bytes + option->offset;
}

// As message Boot. Empty: not given.
struct boot {
	char server[DOMAIN_TEXT_SIZE];
	uint32_t server_address; // network byte order; 0: it is a name, or none
	char file[128];
	char efi_file[128];
	char ipxe_file[128];
	char url[DOMAIN_TEXT_SIZE];
};

extern const struct boot boot_none;

// What asks: from the client's architecture (IANA's processor architecture types; RFC 4578 and
// RFC 5970) and user class. Empty where there is nothing.
#define ARCHITECTURE_NONE UINT16_MAX
const char *boot_file(const struct boot *boot, uint16_t architecture, bool ipxe);
const char *boot_url(const struct boot *boot, bool ipxe);

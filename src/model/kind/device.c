// Devices: what a Port or a Node's uplink may name, and that each has one user on its node.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/kind/check.h"
#include "model/object.h"

#define SOCKET_PATH_MAX	   107
#define INTERFACE_NAME_MAX 15
#define NETNS_NAME_MAX	   63
#define DEVARGS_MAX	   255
#define ACCOUNT_MAX	   32

// The field with the device of a Port or Node.
static const char *device_field(const Sluice__V1__Object *object)
{
	const Sluice__V1__Device *device;

	if (object->kind_case == SLUICE__V1__OBJECT__KIND_NODE)
		return "uplink";
	device = object->port->device;
	switch (device ? device->device_case : SLUICE__V1__DEVICE__DEVICE__NOT_SET) {
	case SLUICE__V1__DEVICE__DEVICE_VHOST_USER:
		return "device.vhostUser.path";
	case SLUICE__V1__DEVICE__DEVICE_TAP:
		return "device.tap.name";
	case SLUICE__V1__DEVICE__DEVICE_NETDEV:
		return "device.netdev.name";
	case SLUICE__V1__DEVICE__DEVICE_PCI:
		return "device.pci";
	case SLUICE__V1__DEVICE__DEVICE_DEVARGS:
		return "device.devargs";
	case SLUICE__V1__DEVICE__DEVICE_VLAN:
		return "device.vlan.id";
	default:
		return device && device->n_devices ? "device.devices" : "device";
	}
}

// Adds the device to those that the node uses.
static void device_use(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *node, const char *type, const char *name)
{
	const char *const parts[] = {node, type, name};
	char key[1024];
	size_t length = 0;

	if (!*node)
		return;
	for (size_t i = 0; i < 3; i++) {
		size_t part = strlen(parts[i]) + 1;

		// Too long is reported elsewhere.
		if (part > sizeof(key) - length)
			return;
		memcpy(key + length, parts[i], part);
		length += part;
	}
	const Sluice__V1__Object *other = key_map_add(check->devices, key, length, object);
	if (other == object)
		problems_add(check->problems, object, field, "is in the list already");
	else if (other)
		problem_other(problems_add(check->problems, object, field,
					   "%s/%s has this device already", object_kind_name(other),
					   object_name(other)),
			      other, device_field(other));
}

static bool file_name_valid(const char *name, size_t max)
{
	size_t length = strlen(name);

	if (length == 0 || length > max || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const char *c = name; *c; c++)
		if (*c == '/' || isspace((unsigned char)*c) || iscntrl((unsigned char)*c))
			return false;
	return true;
}

void check_interface(struct check *check, const Sluice__V1__Object *object, const char *field,
		     const char *node, const char *netns, const char *name)
{
	char key[512];

	if (!*name) {
		problems_add(check->problems, object, field, "missing");
		return;
	}
	// The kernel takes no colon and expands %d.
	if (!file_name_valid(name, INTERFACE_NAME_MAX) || strpbrk(name, ":%")) {
		problems_add(check->problems, object, field,
			     "'%s' is no interface name (1 to %d characters, no space, slash, "
			     "colon or %%)",
			     name, INTERFACE_NAME_MAX);
		return;
	}
	snprintf(key, sizeof(key), "%.*s/%s", NETNS_NAME_MAX, netns, name);
	device_use(check, object, field, node, "interface", key);
}

void check_netns(struct check *check, const Sluice__V1__Object *object, const char *field,
		 const char *netns)
{
	if (*netns && !file_name_valid(netns, NETNS_NAME_MAX))
		problems_add(check->problems, object, field,
			     "'%s' is no name of a network namespace", netns);
}

#define PCI_TEXT_SIZE sizeof("0000:00:00.0")

// The address in lower case; false where the first `length` characters are none.
static bool pci_parse(const char *address, size_t length, char key[PCI_TEXT_SIZE])
{
	static const char form[PCI_TEXT_SIZE] = "xxxx:xx:xx.d";
	size_t i;

	if (length != PCI_TEXT_SIZE - 1)
		return false;
	for (i = 0; i < length; i++) {
		char c = (char)tolower((unsigned char)address[i]);

		if (form[i] == 'x'   ? !isxdigit((unsigned char)c)
		    : form[i] == 'd' ? c < '0' || c > '7'
				     : c != form[i])
			return false;
		key[i] = c;
	}
	key[i] = 0;
	return true;
}

void check_pci(struct check *check, const Sluice__V1__Object *object, const char *field,
	       const char *node, const char *address)
{
	char key[PCI_TEXT_SIZE];

	if (!pci_parse(address, strlen(address), key))
		problems_add(check->problems, object, field,
			     "'%s' is no PCI address, as 0000:3b:00.0", address);
	else
		device_use(check, object, field, node, "pci", key);
}

void check_devargs(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *node, const char *devargs)
{
	char key[DEVARGS_MAX + 1], pci[PCI_TEXT_SIZE];

	if (!*devargs)
		problems_add(check->problems, object, field, "missing");
	else if (strlen(devargs) > DEVARGS_MAX)
		problems_add(check->problems, object, field, "longer than %d characters",
			     DEVARGS_MAX);
	else if (pci_parse(devargs, strcspn(devargs, ","), pci))
		device_use(check, object, field, node, "pci", pci);
	else {
		// DPDK's name of the device ends before its arguments.
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(devargs, ","), devargs);
		device_use(check, object, field, node, "devargs", key);
	}
}

// Without what does not change where an absolute path leads: // and /./
static const char *path_clean(const char *path, char clean[SOCKET_PATH_MAX + 1])
{
	char *end = clean;

	while (*path) {
		while (*path == '/' && (path[1] == '/' || (path[1] == '.' && path[2] == '/')))
			path += path[1] == '/' ? 1 : 2;
		*end++ = *path++;
	}
	*end = 0;
	return clean;
}

void check_socket(struct check *check, const Sluice__V1__Object *object, const char *field,
		  const char *node, const char *path)
{
	size_t length = strlen(path);
	char key[SOCKET_PATH_MAX + 1];

	if (!length)
		problems_add(check->problems, object, field, "missing");
	else if (*path != '/')
		problems_add(check->problems, object, field, "'%s' is no absolute path", path);
	else if (length > SOCKET_PATH_MAX)
		problems_add(check->problems, object, field,
			     "has %zu characters, a socket's path at most %d", length,
			     SOCKET_PATH_MAX);
	else if (path[length - 1] == '/')
		problems_add(check->problems, object, field, "'%s' is a directory", path);
	else
		device_use(check, object, field, node, "socket", path_clean(path, key));
}

void check_vlan(struct check *check, const Sluice__V1__Object *object, const char *field,
		const char *node, const char *port, uint32_t id)
{
	char key[1024];

	snprintf(key, sizeof(key), "%u/%s", id, port);
	device_use(check, object, field, node, "vlan", key);
}

void check_permissions(struct check *check, const Sluice__V1__Object *object, const char *field,
		       const char *text)
{
	size_t length = strlen(text);

	if (!length)
		return;
	// Three digits, or four with a leading zero.
	if (strspn(text, "01234567") != length || length < 3 || length > 4 ||
	    (length == 4 && *text != '0'))
		problems_add(check->problems, object, field, "'%s' is not 0000 to 0777 in octal",
			     text);
}

// The name's form is the one of useradd(8); whether there is such an account is known on the node
// only.
void check_account(struct check *check, const Sluice__V1__Object *object, const char *field,
		   const char *what, const char *text)
{
	size_t length = strlen(text);
	bool number = length && strspn(text, "0123456789") == length, valid;

	if (!length)
		return;
	if (number)
		// The last one stands for none.
		valid = length <= 10 && strtoull(text, NULL, 10) < UINT32_MAX;
	else
		valid = length <= ACCOUNT_MAX &&
			strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_.-$") == length &&
			*text != '-';
	if (!valid)
		problems_add(check->problems, object, field, "'%s' is no %s's name or number", text,
			     what);
}

void check_vhost_user(struct check *check, const Sluice__V1__Object *object, const char *path,
		      const char *node, const Sluice__V1__VhostUser *vhost_user,
		      uint32_t queues_max)
{
	check_socket(check, object, CHECK_PATH("%s.path", path), node, vhost_user->path);
	if (vhost_user->has_queues_case &&
	    (vhost_user->queues < 1 || vhost_user->queues > queues_max))
		problems_add(check->problems, object, CHECK_PATH("%s.queues", path),
			     queues_max > 1 ? "%u is not 1 to %u" : "%u is not %u",
			     vhost_user->queues, queues_max);
	check_permissions(check, object, CHECK_PATH("%s.permissions", path),
			  vhost_user->permissions);
	check_account(check, object, CHECK_PATH("%s.owner", path), "user", vhost_user->owner);
	check_account(check, object, CHECK_PATH("%s.group", path), "group", vhost_user->group);
	if (vhost_user->mode == SLUICE__V1__VHOST_USER_MODE__VHOST_USER_MODE_SERVER)
		return;
	if (*vhost_user->permissions || *vhost_user->owner || *vhost_user->group)
		problems_add(check->problems, object,
			     CHECK_PATH("%s.%s", path,
					*vhost_user->permissions ? "permissions"
					: *vhost_user->owner	 ? "owner"
								 : "group"),
			     "only with mode: server, where Sluice makes the socket");
}
